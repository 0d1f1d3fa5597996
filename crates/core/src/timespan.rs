//! Time spans in systemd's grammar: `5min 20s`, `1.5h`, `250ms`, `infinity`.
//!
//! A span is the sum of one or more numbers, each with a unit or in seconds. The resolution is one microsecond. The
//! parser accepts and rejects the same texts as systemd's `parse_sec()`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A time span, or no limit. `Infinite` is greater than any finite span.
///
/// A parsed span is less than 2^64 microseconds (about 584 000 years), so a clock can be moved by the sum of several
/// spans without an overflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TimeSpan {
    /// A span of this length.
    Finite(Duration),
    /// No limit (`infinity`).
    Infinite,
}

impl TimeSpan {
    /// A span of no length.
    pub const ZERO: Self = Self::Finite(Duration::ZERO);

    /// A span of whole seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self::Finite(Duration::from_secs(secs))
    }

    /// A span of whole milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self::Finite(Duration::from_millis(millis))
    }

    /// The length of the span. `None`: no limit.
    pub const fn finite(self) -> Option<Duration> {
        match self {
            Self::Finite(duration) => Some(duration),
            Self::Infinite => None,
        }
    }

    /// Whether the span has no length.
    pub const fn is_zero(self) -> bool {
        matches!(self, Self::Finite(duration) if duration.is_zero())
    }
}

impl FromStr for TimeSpan {
    type Err = TimeSpanError;

    fn from_str(text: &str) -> Result<Self, TimeSpanError> {
        let mut rest = skip_white_space(text);
        if let Some(after) = rest.strip_prefix("infinity") {
            return if skip_white_space(after).is_empty() {
                Ok(Self::Infinite)
            } else {
                Err(TimeSpanError::Invalid)
            };
        }
        if rest.is_empty() {
            return Err(TimeSpanError::Empty);
        }
        let mut total = 0;
        while !rest.is_empty() {
            rest = skip_white_space(add_component(rest, &mut total)?);
        }
        Ok(Self::Finite(Duration::from_micros(total)))
    }
}

/// Adds one number with its unit to `total` (in microseconds), and returns the rest of the text.
fn add_component<'a>(text: &'a str, total: &mut u64) -> Result<&'a str, TimeSpanError> {
    let (whole, after_whole) = split_whole(text)?;
    let fraction = after_whole.strip_prefix('.');
    let (fraction, after_number) = match fraction {
        Some(tail) => split_digits(tail),
        None => ("", after_whole),
    };
    let unit_text = skip_white_space(after_number);
    let (unit, rest) = match split_unit(unit_text) {
        Some(found) => found,
        // A number without a unit must be followed by white space or the end.
        None if unit_text.len() == after_number.len() && !unit_text.is_empty() => {
            return Err(TimeSpanError::Invalid);
        }
        None => (SECOND, unit_text),
    };

    if whole >= u64::MAX / unit {
        return Err(TimeSpanError::OutOfRange);
    }
    add(total, whole * unit)?;
    if after_whole.starts_with('.') {
        if fraction.is_empty() {
            return Err(TimeSpanError::Invalid);
        }
        // Truncated digit by digit, as systemd does: 0.1 weeks are exact, 10^-9 weeks are not.
        let mut weight = unit / 10;
        for digit in fraction.bytes() {
            add(total, u64::from(digit - b'0') * weight)?;
            weight /= 10;
        }
    }
    Ok(rest)
}

/// Adds to `total`, which must stay below `u64::MAX`, because systemd uses that value for infinity.
fn add(total: &mut u64, micros: u64) -> Result<(), TimeSpanError> {
    if micros >= u64::MAX - *total {
        return Err(TimeSpanError::OutOfRange);
    }
    *total += micros;
    Ok(())
}

/// Splits off the whole part of a number as `strtoll()` does. It may be missing before a `.`, but then without a sign.
fn split_whole(text: &str) -> Result<(u64, &str), TimeSpanError> {
    if text.starts_with('-') {
        return Err(TimeSpanError::OutOfRange);
    }
    let unsigned = text.trim_start_matches(['\x0b', '\x0c', ' ', '\t', '\n', '\r']);
    let negative = unsigned.starts_with('-');
    let unsigned = unsigned.strip_prefix(['+', '-']).unwrap_or(unsigned);
    let (digits, rest) = split_digits(unsigned);
    if digits.is_empty() {
        return if text.starts_with('.') { Ok((0, text)) } else { Err(TimeSpanError::Invalid) };
    }
    let value = digits.parse::<i64>().map_err(|_| TimeSpanError::OutOfRange)?;
    if negative && value != 0 {
        return Err(TimeSpanError::OutOfRange);
    }
    Ok((value.unsigned_abs(), rest))
}

fn split_digits(text: &str) -> (&str, &str) {
    let end = text.bytes().take_while(u8::is_ascii_digit).count();
    text.split_at(end)
}

fn split_unit(text: &str) -> Option<(u64, &str)> {
    UNITS.iter().find_map(|(name, micros)| Some((*micros, text.strip_prefix(name)?)))
}

fn skip_white_space(text: &str) -> &str {
    text.trim_start_matches([' ', '\t', '\n', '\r'])
}

/// Returns the names of the units.
pub fn units() -> impl Iterator<Item = &'static str> {
    UNITS.iter().map(|(name, _)| *name)
}

const MILLISECOND: u64 = 1000;
const SECOND: u64 = 1000 * MILLISECOND;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const WEEK: u64 = 7 * DAY;
const MONTH: u64 = 2_629_800 * SECOND;
const YEAR: u64 = 31_557_600 * SECOND;

/// The names of the units with their microseconds. The first name that the text begins with wins, so the order matters:
/// `month` before `m`.
const UNITS: &[(&str, u64)] = &[
    ("seconds", SECOND),
    ("second", SECOND),
    ("sec", SECOND),
    ("s", SECOND),
    ("minutes", MINUTE),
    ("minute", MINUTE),
    ("min", MINUTE),
    ("months", MONTH),
    ("month", MONTH),
    ("M", MONTH),
    ("msec", MILLISECOND),
    ("ms", MILLISECOND),
    ("m", MINUTE),
    ("hours", HOUR),
    ("hour", HOUR),
    ("hr", HOUR),
    ("h", HOUR),
    ("days", DAY),
    ("day", DAY),
    ("d", DAY),
    ("weeks", WEEK),
    ("week", WEEK),
    ("w", WEEK),
    ("years", YEAR),
    ("year", YEAR),
    ("y", YEAR),
    ("usec", 1),
    ("us", 1),
    ("\u{3bc}s", 1),
    ("\u{b5}s", 1),
];

impl fmt::Display for TimeSpan {
    /// Prints the span as systemd does, down to the microsecond: `1min 30s`, `1.500000s`, `infinity`, `0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const PRINTED: &[(&str, u64, usize)] = &[
            ("y", YEAR, 0),
            ("month", MONTH, 0),
            ("w", WEEK, 0),
            ("d", DAY, 0),
            ("h", HOUR, 0),
            ("min", MINUTE, 0),
            ("s", SECOND, 6),
            ("ms", MILLISECOND, 3),
            ("us", 1, 0),
        ];
        let Self::Finite(duration) = self else {
            return f.write_str("infinity");
        };
        let mut left = duration.as_micros();
        if left == 0 {
            return f.write_str("0");
        }
        let mut separator = "";
        for &(name, unit, decimals) in PRINTED {
            let (count, remainder) = (left / u128::from(unit), left % u128::from(unit));
            if count == 0 {
                continue;
            }
            if decimals > 0 && remainder > 0 {
                return write!(f, "{separator}{count}.{remainder:0decimals$}{name}");
            }
            write!(f, "{separator}{count}{name}")?;
            separator = " ";
            left = remainder;
        }
        Ok(())
    }
}

/// Why a text is not a time span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeSpanError {
    /// The text is empty or white space.
    Empty,
    /// The text is not in the grammar of time spans.
    Invalid,
    /// The span is negative, or has more than 64 bits of microseconds.
    OutOfRange,
}

impl fmt::Display for TimeSpanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "empty time span",
            Self::Invalid => "not a time span (write for example 500ms, 30s, 1min 30s, infinity)",
            Self::OutOfRange => "time span is negative or too long",
        })
    }
}

impl std::error::Error for TimeSpanError {}
