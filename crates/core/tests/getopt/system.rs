//! The command line parser, compared with the C library through getopt(1).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test's helpers fail as its body does"
)]

use std::ffi::OsString;
use std::process::Command;

use dormouse_core::getopt::{Arg, Getopt, Opt, OptSpec, Tier};
use proptest::prelude::*;

const fn spec(short: Option<char>, long: &'static str, arg: Arg, tier: Tier) -> OptSpec {
    OptSpec { short, long, arg, tier }
}

const MANY: &[OptSpec] = &[
    spec(Some('a'), "alpha", Arg::No, Tier::Original),
    spec(Some('b'), "alpine", Arg::Required, Tier::Original),
    spec(Some('c'), "beta", Arg::Required, Tier::Original),
    spec(None, "be", Arg::No, Tier::Original),
    spec(None, "gamma-ray", Arg::No, Tier::Original),
    spec(None, "gamma-ray-burst", Arg::Required, Tier::Original),
];

/// The output and the errors of getopt(1), which uses the C library.
fn ask_glibc(args: &[String]) -> (String, String) {
    let output = Command::new("getopt")
        .args(["-n", "ARGV0", "-o", "ab:c:", "-l", "alpha,alpine:,beta:,be,gamma-ray,gamma-ray-burst:", "--"])
        .args(args)
        .env("LC_ALL", "C")
        .output()
        .expect("getopt(1) is needed for this test (Debian package: util-linux)");
    (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
}

/// The result of our parser in the output form of getopt(1). The parser does not report whether an option was short or
/// long, so all options appear with their long name.
fn ask_ours(args: &[String]) -> (String, String) {
    let (mut words, mut errors) = (vec![String::new()], Vec::new());
    let quoted = |word: OsString| format!("'{}'", word.to_string_lossy());
    let mut getopt = Getopt::new("ARGV0", MANY, args);
    for option in &mut getopt {
        match option {
            Ok(Opt { index, value }) => {
                words.push(MANY[index].long.to_owned());
                words.extend(value.map(quoted));
            }
            Err(error) => errors.push(format!("{error}\n")),
        }
    }
    words.push("--".to_owned());
    words.extend(getopt.positionals().into_iter().map(quoted));
    (words.join(" ") + "\n", errors.concat())
}

/// Replaces the short names (` -a`, ` -b`, ` -c`) and ` --name` in the output of getopt(1) by the long names.
fn only_long_names(out: &str) -> String {
    let words = out.split(' ').map(|word| match word {
        "-a" => "alpha",
        "-b" => "alpine",
        "-c" => "beta",
        "--" | "--\n" => word,
        other => other.strip_prefix("--").unwrap_or(other),
    });
    words.collect::<Vec<_>>().join(" ")
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "-[abcz:=-]{1,4}[0-9]{0,2}",
        2 => "--(alpha|alp|alpine|alpin|al|beta|bet|be|b|gamma|gamma-ray|gamma-ray-|g|x|)(=[a-z=]{0,3})?",
        2 => "[a-z]{0,3}",
        1 => Just("--".to_owned()),
        1 => Just("-".to_owned()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn agrees_with_glibc(args in prop::collection::vec(word(), 0..6)) {
        let (theirs, their_errors) = ask_glibc(&args);
        let (ours, our_errors) = ask_ours(&args);
        prop_assert_eq!(our_errors, their_errors);
        prop_assert_eq!(ours, only_long_names(&theirs));
    }
}
