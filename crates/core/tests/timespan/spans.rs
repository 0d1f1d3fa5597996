//! Time spans that the tests of both targets use.

use dormouse_core::timespan::TimeSpan;
use proptest::prelude::*;

/// Parses a span in the unit of systemd. `u64::MAX` is infinity.
pub(crate) fn micros(text: &str) -> Option<u64> {
    match text.parse() {
        Ok(TimeSpan::Finite(duration)) => Some(u64::try_from(duration.as_micros()).unwrap()),
        Ok(TimeSpan::Infinite) => Some(u64::MAX),
        Err(_) => None,
    }
}

/// Texts that are in the grammar or close to it.
pub(crate) fn nearly_a_span() -> impl Strategy<Value = String> {
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

/// The last year that 64 bits can hold, but not completely: systemd parses a span that ends in it and prints it, but
/// cannot parse the printed text.
pub(crate) const LAST_YEAR: u64 = u64::MAX - u64::MAX % 31_557_600_000_000;
