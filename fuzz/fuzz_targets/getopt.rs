//! Any command line is read to its end, and no word of it is seen twice.
#![no_main]

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use dormouse_core::getopt::{Arg, Getopt, OptSpec, Tier};
use libfuzzer_sys::fuzz_target;

const fn spec(short: Option<char>, long: &'static str, arg: Arg, tier: Tier) -> OptSpec {
    OptSpec { short, long, arg, tier }
}

const OPTIONS: &[OptSpec] = &[
    spec(Some('c'), "connections-max", Arg::Required, Tier::Original),
    spec(None, "exit-idle-time", Arg::Required, Tier::Original),
    spec(Some('h'), "help", Arg::No, Tier::Original),
    spec(None, "version", Arg::No, Tier::Original),
    spec(None, "proxy-protocol", Arg::Required, Tier::Original),
    spec(None, "wait", Arg::Required, Tier::Extension),
    spec(None, "connect-timeout", Arg::Required, Tier::Extension),
    spec(None, "half-close-timeout", Arg::Required, Tier::Extension),
    spec(None, "idle-timeout", Arg::Required, Tier::Extension),
    spec(None, "listen", Arg::Required, Tier::Extension),
];

fuzz_target!(|args: Vec<Vec<u8>>| {
    let words = args.len();
    let letters: usize = args.iter().map(Vec::len).sum();

    let mut getopt = Getopt::new("dormouse", OPTIONS, args.into_iter().map(OsString::from_vec));
    let mut answers = 0;
    let mut values = 0;
    for option in &mut getopt {
        answers += 1;
        match option {
            Ok(option) => {
                assert_eq!(option.value.is_some(), OPTIONS[option.index].arg == Arg::Required);
                values += usize::from(option.value.is_some());
            }
            Err(error) => assert!(error.to_string().starts_with("dormouse: ")),
        }
    }
    // An answer takes at least one letter, a value or a positional at least its word or a part of one.
    assert!(answers <= letters);
    assert!(values <= words);
    assert!(getopt.next().is_none());
    assert!(getopt.positionals().len() + values <= words);
});
