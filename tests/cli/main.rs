//! The command line is described in full: what `--help` names is in the manual page and in the shell
//! completion, and nothing is described there that does not exist.

#![forbid(unsafe_code)]

use std::collections::BTreeSet;

use dormouse_tests::wait::SOON;
use dormouse_tests::{Failure, Launch, Result};

const MANUAL: &str = include_str!("../../docs/man/dormouse-proxy.8");
const COMPLETION: &str = include_str!("../../docs/completions/dormouse.bash");

/// The long options in a text: words that begin with two dashes.
fn options_in(text: &str) -> BTreeSet<String> {
    let plain = text.replace("\\-", "-").replace("\\fB", " ").replace("\\fR", " ");
    plain
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '-')
        .filter_map(|word| word.strip_prefix("--"))
        .filter(|name| name.starts_with(|c: char| c.is_ascii_lowercase()))
        .map(str::to_owned)
        .collect()
}

/// What `dormouse proxy --help` says.
fn help() -> Result<String> {
    let mut subject = Launch::dormouse().args(["proxy", "--help"]).start()?;
    let status = subject.wait(SOON)?;
    if !status.success() {
        return Err(Failure::Unexpected(format!("--help: {status}, {:?}", subject.stderr().text())));
    }
    Ok(subject.stdout().text())
}

#[test]
fn the_manual_describes_each_option_of_the_help_and_no_other() {
    let help = options_in(&help().unwrap());
    assert!(help.contains("exit-idle-time"), "--help names {help:?}");
    // The manual's options each begin an item; other programs' may be mentioned elsewhere.
    let items: String = MANUAL.lines().filter(|line| line.starts_with("\\fB\\-\\-")).collect();
    assert_eq!(options_in(&items), help);
}

#[test]
fn the_completion_knows_each_option_of_the_help() {
    let known = options_in(COMPLETION);
    let missing: Vec<_> = options_in(&help().unwrap()).difference(&known).cloned().collect();
    assert!(missing.is_empty(), "docs/completions/dormouse.bash does not know {missing:?}");
}

#[test]
fn each_option_of_the_help_is_taken() {
    for option in options_in(&help().unwrap()) {
        let mut subject =
            Launch::dormouse().args(["proxy", &format!("--{option}"), "127.0.0.1:9"]).start().unwrap();
        subject.wait(SOON).unwrap();
        let said = subject.stderr().text();
        assert!(!said.contains("unrecognized"), "--{option}: {said}");
    }
}
