//! The command line parser: a table of cases.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test's helpers fail as its body does"
)]

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use dormouse_core::getopt::{Arg, Getopt, Opt, OptSpec, Tier};
use proptest::prelude::*;

const fn spec(short: Option<char>, long: &'static str, arg: Arg, tier: Tier) -> OptSpec {
    OptSpec { short, long, arg, tier }
}

const PROXY: &[OptSpec] = &[
    spec(Some('c'), "connections-max", Arg::Required, Tier::Original),
    spec(None, "exit-idle-time", Arg::Required, Tier::Original),
    spec(Some('h'), "help", Arg::No, Tier::Original),
    spec(None, "version", Arg::No, Tier::Original),
    spec(None, "connect-timeout", Arg::Required, Tier::Extension),
    spec(None, "half-close-timeout", Arg::Required, Tier::Extension),
    spec(None, "wait", Arg::Required, Tier::Extension),
];

/// The options as `name` or `name=value`, or the error; then the positional arguments.
fn read(specs: &[OptSpec], args: &[&str]) -> (Vec<String>, Vec<String>) {
    let mut getopt = Getopt::new("ARGV0", specs, args);
    let mut seen = Vec::new();
    for option in &mut getopt {
        seen.push(match option {
            Ok(Opt { index, value: None }) => specs[index].long.to_owned(),
            Ok(Opt { index, value: Some(value) }) => {
                format!("{}={}", specs[index].long, value.to_string_lossy())
            }
            Err(error) => error.to_string(),
        });
    }
    (seen, getopt.positionals().into_iter().map(|arg| arg.into_string().unwrap()).collect())
}

fn options(args: &[&str]) -> Vec<String> {
    read(PROXY, args).0
}

#[test]
fn values_in_all_forms() {
    for args in [
        &["-c5"][..],
        &["-c", "5"],
        &["--connections-max=5"],
        &["--connections-max", "5"],
        &["--conn=5"],
        &["--c", "5"],
    ] {
        assert_eq!(options(args), ["connections-max=5"], "{args:?}");
    }
    assert_eq!(options(&["-c", "--help"]), ["connections-max=--help"]);
    assert_eq!(options(&["-c", "--"]), ["connections-max=--"]);
    assert_eq!(options(&["--wait="]), ["wait="]);
    assert_eq!(options(&["--wait=a=b"]), ["wait=a=b"]);
    assert_eq!(options(&["-hhc5"]), ["help", "help", "connections-max=5"]);
    assert_eq!(options(&["-ch"]), ["connections-max=h"]);
}

#[test]
fn positionals_and_options_mix() {
    let (seen, positionals) =
        read(PROXY, &["a", "-h", "-", "", "-c", "1", "b", "--", "--version", "--", "-c"]);
    assert_eq!(seen, ["help", "connections-max=1"]);
    assert_eq!(positionals, ["a", "-", "", "b", "--version", "--", "-c"]);
}

#[test]
fn abbreviations_prefer_original_options() {
    assert_eq!(options(&["--conn", "5"]), ["connections-max=5"]);
    assert_eq!(options(&["--connect=5"]), ["connections-max=5"]);
    assert_eq!(options(&["--connect-=5"]), ["connect-timeout=5"]);
    assert_eq!(options(&["--h"]), ["help"]);
    assert_eq!(options(&["--ha=5"]), ["half-close-timeout=5"]);
    assert_eq!(options(&["--w=5"]), ["wait=5"]);
}

#[test]
fn exact_names_win() {
    let specs =
        [spec(None, "verbose-all", Arg::No, Tier::Original), spec(None, "verbose", Arg::No, Tier::Extension)];
    assert_eq!(read(&specs, &["--verbose"]).0, ["verbose"]);
    assert_eq!(read(&specs, &["--verb"]).0, ["verbose-all"]);
}

#[test]
fn errors_are_those_of_glibc() {
    for (args, error) in [
        (&["--bogus"][..], "ARGV0: unrecognized option '--bogus'"),
        (&["--bogus=3"], "ARGV0: unrecognized option '--bogus=3'"),
        (&["-z"], "ARGV0: invalid option -- 'z'"),
        (&["-:"], "ARGV0: invalid option -- ':'"),
        (&["--exit-idle"], "ARGV0: option '--exit-idle-time' requires an argument"),
        (&["-c"], "ARGV0: option requires an argument -- 'c'"),
        (&["--he=3"], "ARGV0: option '--help' doesn't allow an argument"),
        (
            &["--=5"],
            "ARGV0: option '--=5' is ambiguous; possibilities: '--connections-max' '--exit-idle-time' '--help' \
             '--version'",
        ),
    ] {
        assert_eq!(options(args), [error], "{args:?}");
    }
}

#[test]
fn parsing_continues_after_an_error() {
    assert_eq!(
        options(&["-zh", "--bogus", "-c3"]),
        ["ARGV0: invalid option -- 'z'", "help", "ARGV0: unrecognized option '--bogus'", "connections-max=3"]
    );
}

#[test]
fn options_are_yielded_one_at_a_time() {
    let mut getopt = Getopt::new("ARGV0", PROXY, ["--help", "--bogus"]);
    assert_eq!(getopt.next(), Some(Ok(Opt { index: 2, value: None })));
    assert!(getopt.next().unwrap().is_err());
    assert_eq!(getopt.next(), None);
    assert_eq!(getopt.next(), None);
}

#[test]
fn bytes_that_are_not_utf8() {
    let bytes = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    let args = [bytes(b"--wait=\xff"), bytes(b"-c\xfe"), bytes(b"\xfd"), bytes(b"--\xfc")];
    let mut getopt = Getopt::new("ARGV0", PROXY, args);
    assert_eq!(getopt.next().unwrap().unwrap().value, Some(bytes(b"\xff")));
    assert_eq!(getopt.next().unwrap().unwrap().value, Some(bytes(b"\xfe")));
    assert_eq!(getopt.next().unwrap().unwrap_err().to_string(), "ARGV0: unrecognized option '--\u{fffd}'");
    assert_eq!(getopt.positionals(), [bytes(b"\xfd")]);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn any_bytes_are_parsed_without_a_panic(args in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..8), 0..6)) {
        let given = args.len();
        let mut getopt = Getopt::new("ARGV0", PROXY, args.into_iter().map(OsString::from_vec));
        let answers = getopt.by_ref().count();
        prop_assert!(answers <= 8 * given);
        prop_assert!(getopt.positionals().len() <= given);
    }
}
