//! Time spans, compared with `systemd-analyze`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test's helpers fail as its body does"
)]

mod spans;

use std::process::Command;

use dormouse_core::timespan::TimeSpan;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};
use spans::{LAST_YEAR, micros, nearly_a_span};

#[test]
fn agrees_with_systemd_analyze() {
    const SPANS: usize = 600;
    let mut runner = TestRunner::new(Config::default());
    let texts: Vec<String> =
        std::iter::repeat_with(|| nearly_a_span().new_tree(&mut runner).unwrap().current())
            .take(SPANS)
            .collect();

    let (taken, rejected): (Vec<_>, Vec<_>) = texts.iter().partition(|text| micros(text).is_some());
    assert!(taken.len() > SPANS / 4, "only {} of {SPANS} spans are valid: poor test data", taken.len());
    assert!(
        rejected.len() > SPANS / 10,
        "only {} of {SPANS} spans are invalid: poor test data",
        rejected.len()
    );

    let verdicts = systemd_analyze(&taken);
    for (text, verdict) in taken.iter().zip(&verdicts) {
        let ours: TimeSpan = text.parse().unwrap();
        let expected = SystemdAnswer { micros: micros(text).unwrap(), printed: ours.to_string() };
        assert_eq!(verdict.as_ref(), Some(&expected), "{text:?}");
    }
    assert_eq!(verdicts.len(), taken.len());

    // `systemd-analyze` stops at the first invalid text, so invalid texts need one call each.
    for text in rejected.iter().take(100) {
        assert_eq!(systemd_analyze(&[text]), [None], "{text:?}");
    }
}

#[test]
fn the_last_year_is_not_parsed_back_by_systemd() {
    let text = "1s 18446744073705s".to_owned();
    let printed = "584542y 2w 2d 20h 1min 46s".to_owned();
    assert!(micros(&text) > Some(LAST_YEAR));
    let taken = SystemdAnswer { micros: micros(&text).unwrap(), printed: printed.clone() };
    assert_eq!(systemd_analyze(&[&text]), [Some(taken)]);
    assert_eq!(systemd_analyze(&[&printed]), [None]);
}

#[derive(Debug, PartialEq)]
struct SystemdAnswer {
    micros: u64,
    printed: String,
}

/// One result per text, up to the first invalid text.
fn systemd_analyze(texts: &[&String]) -> Vec<Option<SystemdAnswer>> {
    let output = Command::new("systemd-analyze")
        .args(["timespan", "--"])
        .args(texts)
        .env("LC_ALL", "C.UTF-8")
        .output()
        .expect("systemd-analyze is needed for this test (Debian package: systemd)");
    let stdout = String::from_utf8(output.stdout).unwrap();
    let field =
        |line: &str, name: &str| line.trim_start().strip_prefix(name).map(|rest| rest.trim().to_owned());
    let micros = stdout.lines().filter_map(|line| field(line, "\u{3bc}s:"));
    let printed = stdout.lines().filter_map(|line| field(line, "Human:"));
    let mut verdicts: Vec<_> = micros
        .zip(printed)
        .map(|(micros, printed)| Some(SystemdAnswer { micros: micros.parse().unwrap(), printed }))
        .collect();
    if !output.status.success() {
        verdicts.push(None);
    }
    verdicts
}
