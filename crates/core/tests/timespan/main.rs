//! Time spans: a table of cases, and properties.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test's helpers fail as its body does"
)]

mod spans;

use std::time::{Duration, Instant};

use dormouse_core::timespan::{TimeSpan, TimeSpanError};
use proptest::prelude::*;
use spans::{LAST_YEAR, micros, nearly_a_span};

#[test]
fn spans_are_parsed_as_systemd_does() {
    let mut cases = 0;
    for line in include_str!("cases.tsv").lines().filter(|line| !line.starts_with('#')) {
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

#[test]
fn the_last_year_is_not_parsed_back_as_with_systemd() {
    let text = "1s 18446744073705s".to_owned();
    let span: TimeSpan = text.parse().unwrap();
    let printed = "584542y 2w 2d 20h 1min 46s".to_owned();
    assert!(micros(&text) > Some(LAST_YEAR));
    assert_eq!(span.to_string(), printed);
    assert_eq!(printed.parse::<TimeSpan>(), Err(TimeSpanError::OutOfRange));

    let before = TimeSpan::Finite(Duration::from_micros(LAST_YEAR - 1));
    assert_eq!(before.to_string().parse(), Ok(before));
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
