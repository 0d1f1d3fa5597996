//! Time spans: a table of cases, properties, and systemd as a reference.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test's helpers fail as its body does"
)]

use std::process::Command;
use std::time::{Duration, Instant};

use dormouse_core::timespan::{TimeSpan, TimeSpanError};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};

fn micros(text: &str) -> Option<u64> {
    match text.parse() {
        Ok(TimeSpan::Finite(duration)) => Some(u64::try_from(duration.as_micros()).unwrap()),
        Ok(TimeSpan::Infinite) => Some(u64::MAX),
        Err(_) => None,
    }
}

#[test]
fn spans_are_parsed_as_systemd_does() {
    let mut cases = 0;
    for line in include_str!("timespan-cases.tsv").lines().filter(|line| !line.starts_with('#')) {
        let (quoted, expected) = line.split_once('\t').unwrap();
        let text = quoted.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap();
        let expected = match expected {
            "reject" => None,
            "infinity" => Some(u64::MAX),
            number => Some(number.parse().unwrap()),
        };
        assert_eq!(micros(text), expected, "{text:?}");
        cases += 1;
    }
    assert_eq!(cases, 68);
}

#[test]
fn a_clock_can_be_advanced_by_any_parsed_span() {
    for text in ["9223372036854775807us 9223372036854775807us", "18446744073708", "584541y"] {
        let TimeSpan::Finite(span) = text.parse().unwrap() else { panic!("{text}") };
        assert!(Instant::now().checked_add(span * 1000).is_some(), "{text}");
    }
    for text in ["9223372036854775807us 9223372036854775807us 1us", "18446744073709", "9223372036854775807"] {
        assert_eq!(text.parse::<TimeSpan>(), Err(TimeSpanError::OutOfRange), "{text}");
    }
}

/// The C library's number parser accepts more white space, and a minus before zero after it.
#[test]
fn odd_numbers_are_parsed_as_c_does() {
    assert_eq!(micros("\u{b}5"), Some(5_000_000));
    assert_eq!(micros("\u{b}-0"), Some(0));
    assert_eq!(micros("\u{b}-5"), None);
    assert_eq!(micros("\u{b}.5"), None);
    assert_eq!(micros("5\u{b}"), None);
    assert_eq!(micros("5\0"), None);
}

#[test]
fn errors_name_the_problem() {
    assert_eq!("".parse::<TimeSpan>(), Err(TimeSpanError::Empty));
    assert_eq!(" \t".parse::<TimeSpan>(), Err(TimeSpanError::Empty));
    assert_eq!("5 bananas".parse::<TimeSpan>(), Err(TimeSpanError::Invalid));
    assert_eq!("-5".parse::<TimeSpan>(), Err(TimeSpanError::OutOfRange));
    assert_eq!("584543y".parse::<TimeSpan>(), Err(TimeSpanError::OutOfRange));
}

#[test]
fn spans_are_ordered_and_inspected() {
    assert!(TimeSpan::Finite(Duration::MAX) < TimeSpan::Infinite);
    assert!(TimeSpan::from_secs(1) < TimeSpan::from_secs(2));
    assert!(TimeSpan::ZERO.is_zero() && !TimeSpan::Infinite.is_zero());
    assert_eq!(TimeSpan::from_millis(1500).finite(), Some(Duration::from_millis(1500)));
    assert_eq!(TimeSpan::Infinite.finite(), None);
}

#[test]
fn spans_are_printed_as_systemd_does() {
    for (micros, text) in [
        (0, "0"),
        (999, "999us"),
        (1_500, "1.500ms"),
        (1_500_000, "1.500000s"),
        (90_000_000, "1min 30s"),
        (61_500_000, "1min 1.500000s"),
        (31_557_600_000_001, "1y 1us"),
        (i64::MAX as u64, "292271y 1w 1d 10h 54.775807s"),
    ] {
        assert_eq!(TimeSpan::Finite(Duration::from_micros(micros)).to_string(), text);
    }
    assert_eq!(TimeSpan::Infinite.to_string(), "infinity");
    assert_eq!(TimeSpan::Finite(Duration::from_nanos(1)).to_string(), "0");
}

/// Texts that are in the grammar or close to it.
fn nearly_a_span() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        8 => "[0-9]{1,4}",
        4 => "[0-9]{0,3}\\.[0-9]{1,9}",
        1 => "[0-9]{12,20}",
        1 => "[+.0-9-]{1,5}",
    ];
    let unit = prop_oneof![
        8 => prop::sample::select(vec![
            "", "seconds", "second", "sec", "s", "minutes", "minute", "min", "months", "month", "M", "msec", "ms",
            "m", "hours", "hour", "hr", "h", "days", "day", "d", "weeks", "week", "w", "years", "year", "y", "usec",
            "us", "\u{3bc}s", "\u{b5}s",
        ]).prop_map(str::to_owned),
        1 => "[a-zA-Z]{1,6}",
    ];
    let space = || prop::sample::select(vec!["", "", " ", "\t", "\n\r", "\u{b}"]);
    let component = (space(), number, space(), unit).prop_map(|(a, b, c, d)| format!("{a}{b}{c}{d}"));
    prop_oneof![
        20 => prop::collection::vec(component, 1..4).prop_map(|parts| parts.concat()),
        1 => (space(), space(), "[a-z ]{0,2}").prop_map(|(a, b, c)| format!("{a}infinity{b}{c}")),
    ]
}

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
        let expected = Verdict { micros: micros(text).unwrap(), printed: ours.to_string() };
        assert_eq!(verdict.as_ref(), Some(&expected), "{text:?}");
    }
    assert_eq!(verdicts.len(), taken.len());

    // `systemd-analyze` stops at the first invalid text, so invalid texts need one call each.
    for text in rejected.iter().take(100) {
        assert_eq!(systemd_analyze(&[text]), [None], "{text:?}");
    }
}

/// The last year that 64 bits can hold, but not completely: systemd parses a span that ends in it and prints it, but
/// cannot parse the printed text.
const LAST_YEAR: u64 = u64::MAX - u64::MAX % 31_557_600_000_000;

#[test]
fn the_last_year_is_not_parsed_back_as_with_systemd() {
    let text = "1s 18446744073705s".to_owned();
    let span: TimeSpan = text.parse().unwrap();
    let printed = "584542y 2w 2d 20h 1min 46s".to_owned();
    assert!(micros(&text) > Some(LAST_YEAR));
    assert_eq!(span.to_string(), printed);
    assert_eq!(printed.parse::<TimeSpan>(), Err(TimeSpanError::OutOfRange));

    let taken = Verdict { micros: micros(&text).unwrap(), printed: printed.clone() };
    assert_eq!(systemd_analyze(&[&text]), [Some(taken)]);
    assert_eq!(systemd_analyze(&[&printed]), [None]);

    let before = TimeSpan::Finite(Duration::from_micros(LAST_YEAR - 1));
    assert_eq!(before.to_string().parse(), Ok(before));
}

#[derive(Debug, PartialEq)]
struct Verdict {
    micros: u64,
    printed: String,
}

/// One result per text, up to the first invalid text.
fn systemd_analyze(texts: &[&String]) -> Vec<Option<Verdict>> {
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
        .map(|(micros, printed)| Some(Verdict { micros: micros.parse().unwrap(), printed }))
        .collect();
    if !output.status.success() {
        verdicts.push(None);
    }
    verdicts
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn printed_values_are_parsed_to_themselves(micros in prop_oneof![0..LAST_YEAR, 0..10_000_000_000_u64, 0..10_000_u64]) {
        let span = TimeSpan::Finite(Duration::from_micros(micros));
        prop_assert_eq!(span.to_string().parse::<TimeSpan>(), Ok(span));
    }

    #[test]
    fn any_text_is_parsed_without_a_panic(text in any::<String>()) {
        let _ = text.parse::<TimeSpan>();
    }

    #[test]
    fn nearly_valid_text_is_parsed_without_a_panic(text in nearly_a_span()) {
        let _ = text.parse::<TimeSpan>();
    }
}
