//! The command line, the manual pages and the shell completion describe the same options.

#![forbid(unsafe_code)]

mod check;
mod convert;
mod outputs;

use std::collections::BTreeSet;

use dormouse_tests::wait::SOON;
use dormouse_tests::{Failure, Launch, Result};

/// The commands that take flags, and their pages.
const COMMANDS: [(&str, &str); 7] = [
    ("proxy", include_str!("../../../docs/man/dormouse-proxy.8")),
    ("run", include_str!("../../../docs/man/dormouse-run.8")),
    ("reload", include_str!("../../../docs/man/dormouse-reload.8")),
    ("check", include_str!("../../../docs/man/dormouse-check.8")),
    ("convert", include_str!("../../../docs/man/dormouse-convert.1")),
    ("status", include_str!("../../../docs/man/dormouse-status.8")),
    ("top", include_str!("../../../docs/man/dormouse-top.8")),
];
/// The commands that share a manual page.
const ADMIN: [&str; 7] = ["wake", "sleep", "freeze", "thaw", "drain", "undrain", "explain"];
const ADMIN_PAGE: &str = include_str!("../../../docs/man/dormouse-status.8");
const COMPLETION: &str = include_str!("../../../docs/completions/dormouse.bash");

/// Returns the long options in a text: words that begin with two dashes.
fn options_in(text: &str) -> BTreeSet<String> {
    let plain = text.replace("\\-", "-").replace("\\fB", " ").replace("\\fR", " ");
    plain
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '-')
        .filter_map(|word| word.strip_prefix("--"))
        .filter(|name| name.starts_with(|c: char| c.is_ascii_lowercase()))
        .map(str::to_owned)
        .collect()
}

/// Returns the options that begin an item of a page; the page may mention options of other programs elsewhere.
fn options_of(page: &str) -> BTreeSet<String> {
    let items: String = page.lines().filter(|line| line.starts_with("\\fB\\-\\-")).collect();
    options_in(&items)
}

/// Returns the output of `dormouse COMMAND --help`.
fn help(command: &str) -> Result<String> {
    let mut subject = Launch::dormouse().args([command, "--help"]).start()?;
    let status = subject.wait(SOON)?;
    if !status.success() {
        return Err(Failure::Unexpected(format!(
            "{command} --help: {status}, {:?}",
            subject.stderr().text()
        )));
    }
    Ok(subject.stdout().text())
}

#[test]
fn help_with_a_command_prints_the_help_of_the_command() {
    for command in COMMANDS.map(|(command, _)| command).into_iter().chain(ADMIN) {
        let mut subject = Launch::dormouse().args(["help", command]).start().unwrap();
        assert!(subject.wait(SOON).unwrap().success(), "{command}: {}", subject.stderr().text());
        assert_eq!(subject.stdout().text(), help(command).unwrap(), "{command}");
    }
    assert!(answer(&["help"]).unwrap().0.contains("Usage: dormouse COMMAND"));
}

/// Runs dormouse, which must succeed unless it prints an error. Returns its output and its error.
fn answer(words: &[&str]) -> Result<(String, String)> {
    let mut subject = Launch::dormouse().args(words).start()?;
    let status = subject.wait(SOON)?;
    let (out, err) = (subject.stdout().text(), subject.stderr().text());
    if status.success() == err.is_empty() {
        return Ok((out, err));
    }
    Err(Failure::Unexpected(format!("{words:?}: {status}, {out:?}, {err:?}")))
}

#[test]
fn each_command_shows_its_help() {
    for command in ["help", "version", "manual", "completion", "demo"] {
        let (out, _) = answer(&[command, "--help"]).unwrap();
        assert!(out.starts_with(&format!("dormouse {command}")) && out.contains("--help"), "{out}");
        assert_eq!(answer(&["help", command]).unwrap().0, out);
    }
}

#[test]
fn superfluous_and_unknown_arguments_are_refused() {
    for (words, message) in [
        (&["help", "statsu"][..], "Unknown command \"statsu\"; did you mean status?"),
        (
            &["help", "run", "x"],
            "Unexpected argument \"x\": dormouse help takes only COMMAND; see dormouse help --help.",
        ),
        (
            &["version", "foo"],
            "Unexpected argument \"foo\": dormouse version takes no arguments; see dormouse version --help.",
        ),
        (
            &["demo", "foo", "bar"],
            "Unexpected argument \"foo\": dormouse demo takes no arguments; see dormouse demo --help.",
        ),
        (&["manual", "run", "top"], "Unexpected argument \"top\": dormouse manual takes only PAGE"),
        (&["completion", "zsh"], "No completion for \"zsh\"; dormouse completes in bash."),
        (&["version", "--foo"], "dormouse version: unrecognized option '--foo'"),
        (&["top", "x"], "Unexpected argument \"x\": dormouse top takes none"),
        (&["reload", "x"], "Unexpected argument \"x\": dormouse reload takes none"),
        (&["wake"], "dormouse wake needs the name of a service"),
    ] {
        let (out, err) = answer(words).unwrap();
        assert!(err.starts_with(message) && out.is_empty(), "{words:?}: {err}");
    }
}

#[test]
fn the_manual_lists_its_pages() {
    let (out, _) = answer(&["manual"]).unwrap();
    assert!(out.starts_with("Read a manual page with: dormouse manual PAGE | man -l -"), "{out}");
    assert!(out.contains("dormouse-run(8)") && !out.contains(".TH"), "{out}");
    assert!(out.lines().skip(3).all(|line| line.contains("dormouse")), "{out}");
}

#[test]
fn the_manual_describes_each_option_of_the_help_and_no_other() {
    for (command, manual) in COMMANDS {
        let help = options_in(&help(command).unwrap());
        assert!(help.contains("help"), "{command} --help names {help:?}");
        assert_eq!(options_of(manual), help, "{command}");
    }
}

#[test]
fn the_administrative_commands_share_one_page() {
    let (synopsis, page) = ADMIN_PAGE.split_once(".SH DESCRIPTION").unwrap();
    let synopsis = synopsis.lines().find(|line| line.contains("\\-\\-control")).unwrap();
    for verb in ADMIN {
        let said = help(verb).unwrap();
        assert!(said.starts_with(&format!("dormouse {verb} ")), "{said}");
        let help = options_in(&said);
        // The commands in the usage line, and help.
        let named = options_in(synopsis).into_iter().chain(["help".to_owned()]);
        assert_eq!(help, named.collect(), "{verb}");
        assert!(help.is_subset(&options_of(page)), "{verb}");
        assert!(page.contains(&format!("\\fBdormouse {verb}\\fR")), "{verb}");
    }
}

#[test]
fn the_completion_contains_each_option_of_the_help() {
    for command in COMMANDS.map(|(command, _)| command).into_iter().chain(ADMIN) {
        let known: String = COMPLETION
            .lines()
            .filter(|line| line.trim_start().starts_with(&format!("{command}:*)")))
            .collect();
        let known = options_in(&known);
        assert_eq!(known, options_in(&help(command).unwrap()), "{command} in docs/completions/dormouse.bash");
    }
}

#[test]
fn each_option_of_the_help_is_accepted() {
    for command in COMMANDS.map(|(command, _)| command).into_iter().chain(ADMIN) {
        for option in options_in(&help(command).unwrap()) {
            let mut subject =
                Launch::dormouse().args([command, &format!("--{option}"), "127.0.0.1:9"]).start().unwrap();
            subject.wait(SOON).unwrap();
            let said = subject.stderr().text();
            assert!(!said.contains("unrecognized"), "{command} --{option}: {said}");
        }
    }
}

#[test]
fn each_page_of_the_manual_is_printed() {
    for (page, text) in COMMANDS.into_iter().chain([
        ("toml", include_str!("../../../docs/man/dormouse.toml.5")),
        ("dormouse", include_str!("../../../docs/man/dormouse.8")),
        ("explain", ADMIN_PAGE),
    ]) {
        let mut subject = Launch::dormouse().args(["manual", page]).start().unwrap();
        assert!(subject.wait(SOON).unwrap().success());
        assert_eq!(subject.stdout().text(), text, "{page}");
    }
    let mut subject = Launch::dormouse().args(["manual", "nothing"]).start().unwrap();
    assert_eq!(subject.wait(SOON).unwrap().code(), Some(1));
    assert_eq!(
        subject.stderr().text(),
        "No manual page \"nothing\"; choose one of dormouse, proxy, run, reload, check, convert, status, top, toml.\n"
    );
}
