//! Options, numbers, time spans, messages and exit codes of the command line.

use dormouse_tests::wait::SOON;
use dormouse_tests::{Launch, Result, Subject, scaled};

use crate::case::Expect::{Changed, Differs, Same};
use crate::case::cases;
use crate::rig::{Plan, ending};

/// The message of both programs for a valid command line without passed sockets.
const ACCEPTED: &str = "exit 1: Didn't get any sockets passed in.*";

/// A target that is always valid.
const TARGET: &str = "127.0.0.1:9";

cases! {
    no_target: "no target" => Same("exit 1: Not enough parameters."), |s| says(s, &[]);
    two_targets: "two targets" => Same("exit 1: Too many parameters."), |s| says(s, &[TARGET, TARGET]);
    one_target: "one target, no sockets" => Differs {
        difference: "hints",
        socket_proxyd: "exit 1: Didn't get any sockets passed in.",
        dormouse: "exit 1: Didn't get any sockets passed in. (*)",
    }, |s| says(s, &[TARGET]);

    limit_zero: "-c 0" => Same("exit 1: Connection limit is too low."), |s| says(s, &["-c", "0", TARGET]);
    limit_rejected: "numbers that -c rejects" => Same("rejected: all"), |s| {
        let texts = ["abc", "-1", "", "5 ", "5x", "0x", "4294967296", "1.5", "0b2", "0o8", "08", "++5", "+-5", "5,"];
        limits(s, &texts, "rejected", |text| {
            format!("exit 1: Failed to parse --connections-max= argument: {text}")
        })
    };
    limit_accepted: "numbers that -c accepts" => Same("accepted: all"), |s| {
        let texts = [
            "1", " 5", "\t5", "+5", "0x10", "0XfF", "0b1", "0B11", "0o7", "0O17", "010", "4294967295", "00",
        ];
        // 00 is a valid number, but zero is too low.
        limits(s, &texts, "accepted", |text| match text {
            "00" => "exit 1: Connection limit is too low.".to_owned(),
            _ => ACCEPTED.to_owned(),
        })
    };
    limit_values: "how many sessions -c 0x3, 0b10, 0o4 and 05 allow" => Differs {
        difference: "hard-limit",
        socket_proxyd: "0x3: 4, 0b10: 3, 0o4: 5, 05: 6",
        dormouse: "0x3: 3, 0b10: 2, 0o4: 4, 05: 5",
    }, |s| {
        let mut served = Vec::new();
        for text in ["0x3", "0b10", "0o4", "05"] {
            let rig = Plan::new(s).args(["-c", text]).start()?;
            served.push(format!("{text}: {}", rig.served_of(8)?));
        }
        Ok(served.join(", "))
    };
    last_limit_wins: "-c 0x, then a valid number" => Same(
        "exit 1: Failed to parse --connections-max= argument: 0x"
    ), |s| says(s, &["-c", "0x", "-c", "5", TARGET]);

    span_rejected: "an invalid time span" => Same(
        "exit 1: Failed to parse --exit-idle-time= argument: 5 apples"
    ), |s| says(s, &["--exit-idle-time=5 apples", TARGET]);
    spans: "each of the known time spans" => Same("as listed: all"), known_spans;

    unknown_long: "an unknown long option" => Same("exit 1: ARGV0: unrecognized option '--bogus'"),
        |s| says(s, &["--bogus", TARGET]);
    unknown_long_value: "an unknown long option with a value" => Same(
        "exit 1: ARGV0: unrecognized option '--bogus=1'"
    ), |s| says(s, &["--bogus=1", TARGET]);
    unknown_short: "an unknown short option" => Same("exit 1: ARGV0: invalid option -- 'z'"),
        |s| says(s, &["-z", TARGET]);
    unknown_in_cluster: "-hz: the first letter counts first" => Same("exit 0"), |s| {
        let mut subject = Launch::new(s).arg("-hz").start()?;
        ending(&mut subject, SOON)
    };
    missing_value_short: "-c at the end" => Same("exit 1: ARGV0: option requires an argument -- 'c'"),
        |s| says(s, &[TARGET, "-c"]);
    missing_value_long: "--connections-max at the end" => Same(
        "exit 1: ARGV0: option '--connections-max' requires an argument"
    ), |s| says(s, &[TARGET, "--connections-max"]);
    missing_value_abbreviated: "--exit at the end" => Same(
        "exit 1: ARGV0: option '--exit-idle-time' requires an argument"
    ), |s| says(s, &[TARGET, "--exit"]);
    superfluous_value: "--help=yes" => Same("exit 1: ARGV0: option '--help' doesn't allow an argument"),
        |s| says(s, &["--help=yes"]);
    superfluous_value_abbreviated: "--vers=yes" => Same(
        "exit 1: ARGV0: option '--version' doesn't allow an argument"
    ), |s| says(s, &["--vers=yes"]);

    value_attached: "-c5" => Same(ACCEPTED), |s| says(s, &["-c5", TARGET]);
    value_attached_is_all: "-c=5" => Same("exit 1: Failed to parse --connections-max= argument: =5"),
        |s| says(s, &["-c=5", TARGET]);
    value_separate: "--connections-max 5" => Same(ACCEPTED), |s| says(s, &["--connections-max", "5", TARGET]);
    value_looks_like_option: "-c --help" => Same(
        "exit 1: Failed to parse --connections-max= argument: --help"
    ), |s| says(s, &["-c", "--help", TARGET]);
    empty_value: "--exit-idle-time=" => Same("exit 1: Failed to parse --exit-idle-time= argument: *"),
        |s| says(s, &["--exit-idle-time=", TARGET]);

    abbreviations: "every prefix of systemd-socket-proxyd's options" => Same("accepted: all"), abbreviations;
    abbreviated_error_names_whole: "--conn=x" => Same(
        "exit 1: Failed to parse --connections-max= argument: x"
    ), |s| says(s, &["--conn=x", TARGET]);

    options_after_target: "an option after the target" => Same("exit 1: Connection limit is too low."),
        |s| says(s, &[TARGET, "-c0"]);
    double_dash: "-- ends the options" => Same("exit 1: Too many parameters."),
        |s| says(s, &["--", TARGET, "-c5"]);
    double_dash_between: "-- between option and target" => Same(ACCEPTED), |s| says(s, &["-c5", "--", TARGET]);
    double_dash_alone: "only --" => Same("exit 1: Not enough parameters."), |s| says(s, &["--"]);
    single_dash: "a lone - is a target" => Same("exit 1: Too many parameters."), |s| says(s, &["-", TARGET]);
    options_before_count: "a bad option beside two targets" => Same("exit 1: ARGV0: invalid option -- 'z'"),
        |s| says(s, &[TARGET, TARGET, "-z"]);
    limit_before_count: "a bad limit and no target" => Same("exit 1: Connection limit is too low."),
        |s| says(s, &["-c0"]);

    help: "--help" => Same(
        "exit 0, on stdout: --connections-max --exit-idle-time --help --version"
    ), |s| shows(s, &["--help"], &["--connections-max", "--exit-idle-time", "--help", "--version"]);
    help_short: "-h" => Same("exit 0, on stdout: --help"), |s| shows(s, &["-h"], &["--help"]);
    help_first: "--help before an error" => Same("exit 0, on stdout: --help"),
        |s| shows(s, &["--help", "--bogus", "a", "b", "c"], &["--help"]);
    help_after_error: "--help after an error" => Same("exit 1: ARGV0: unrecognized option '--bogus'"),
        |s| says(s, &["--bogus", "--help"]);
    version: "--version" => Differs {
        difference: "version-text",
        socket_proxyd: "exit 0, on stdout: systemd",
        dormouse: "exit 0, on stdout: dormouse systemd-socket-proxyd systemd",
    }, |s| shows(s, &["--version"], &["dormouse", "systemd-socket-proxyd", "systemd"]);

    proxy_protocol_bad: "--proxy-protocol=v9" => Changed {
        v252: "exit 1: ARGV0: unrecognized option '--proxy-protocol=v9'",
        v261: "exit 1: *v9*",
    }, |s| says(s, &["--proxy-protocol=v9", TARGET]);
    proxy_protocol_v1: "--proxy-protocol=v1" => Changed {
        v252: "exit 1: ARGV0: unrecognized option '--proxy-protocol=v1'",
        v261: ACCEPTED,
    }, |s| says(s, &["--proxy-protocol=v1", TARGET]);
}

/// Runs the program with `args` and without sockets and returns the way in which it ended.
fn says(subject: Subject, args: &[&str]) -> Result<String> {
    let mut running = Launch::new(subject).args(args).start()?;
    ending(&mut running, SOON)
}

/// Like [`says`], and returns which of `words` are on standard output.
fn shows(subject: Subject, args: &[&str], words: &[&str]) -> Result<String> {
    let mut running = Launch::new(subject).args(args).start()?;
    let end = ending(&mut running, SOON)?;
    let text = running.stdout().text();
    let found: Vec<_> = words.iter().copied().filter(|word| text.contains(word)).collect();
    Ok(format!("{end}, on stdout: {}", found.join(" ")))
}

/// Checks each of `texts` as a value of `-c`.
fn limits(subject: Subject, texts: &[&str], word: &str, expected: impl Fn(&str) -> String) -> Result<String> {
    let mut wrong = Vec::new();
    for text in texts {
        let end = says(subject, &["-c", text, TARGET])?;
        if !agrees(&end, &expected(text)) {
            wrong.push(format!("{text:?} gave {end}"));
        }
    }
    Ok(all_or(word, &wrong))
}

/// Whether a message is as expected, apart from the hint in parentheses that dormouse may add.
fn agrees(end: &str, expected: &str) -> bool {
    let sentence = end.split_once(" (").map_or(end, |(message, _hint)| message);
    sentence == expected.trim_end_matches('*')
}

fn all_or(word: &str, wrong: &[String]) -> String {
    if wrong.is_empty() { format!("{word}: all") } else { format!("{word}: not {}", wrong.join("; ")) }
}

/// Each prefix of each long option that all releases of systemd-socket-proxyd have.
fn abbreviations(subject: Subject) -> Result<String> {
    let mut wrong = Vec::new();
    for (name, value, expected) in [
        ("connections-max", "=5", ACCEPTED),
        ("exit-idle-time", "=5s", ACCEPTED),
        ("help", "", "exit 0"),
        ("version", "", "exit 0"),
    ] {
        for length in 1..=name.len() {
            let prefix = name.get(..length).unwrap_or(name);
            let end = says(subject, &[&format!("--{prefix}{value}"), TARGET])?;
            if !agrees(&end, expected) {
                wrong.push(format!("--{prefix}{value} gave {end}"));
            }
        }
    }
    Ok(all_or("accepted", &wrong))
}

/// The time spans of a list for systemd's grammar: each is accepted or rejected as the list says. The tests of the
/// parser check their values.
fn known_spans(subject: Subject) -> Result<String> {
    let mut wrong = Vec::new();
    // The parser is tested on all rows in its crate.
    for line in include_str!("../../../crates/core/tests/timespan/cases.tsv").lines().step_by(scaled(6, 1)) {
        let Some((quoted, meaning)) = line.split_once('\t') else { continue };
        let span = quoted.trim_matches('"');
        let end = says(subject, &[&format!("--exit-idle-time={span}"), TARGET])?;
        let expected = match meaning {
            "reject" => format!("exit 1: Failed to parse --exit-idle-time= argument: {span}"),
            _ => ACCEPTED.to_owned(),
        };
        if !agrees(&end, &expected) {
            wrong.push(format!("{quoted} gave {end}"));
        }
    }
    Ok(all_or("as listed", &wrong))
}
