//! Unsigned numbers in the grammar of systemd's `safe_atou()`.

use std::fmt;

/// Parses a number as systemd does: with leading white space, a sign, and the prefixes `0x`, `0b`, `0o` and `0` (octal:
/// `010` is 8), but without trailing characters. Zero is the only number with a `-`.
///
/// # Errors
/// [`NumberError::Invalid`] if the text is not a number, [`NumberError::OutOfRange`] if the number is negative or above
/// [`u32::MAX`].
pub fn parse_u32(text: &str) -> Result<u32, NumberError> {
    u32::try_from(parse_u64(text)?).map_err(|_| NumberError::OutOfRange)
}

/// Parses a number up to [`u64::MAX`], as `safe_atou64()` does.
///
/// # Errors
/// [`NumberError::Invalid`] if the text is not a number, [`NumberError::OutOfRange`] if the number is negative or above
/// [`u64::MAX`].
pub fn parse_u64(text: &str) -> Result<u64, NumberError> {
    let text = text.trim_start_matches([' ', '\t', '\n', '\r']);
    let (radix, rest) = split_long_prefix(text);
    let rest = rest.trim_start_matches(is_c_space);
    let (negative, digits) = match rest.as_bytes().first() {
        Some(b'-') => (true, rest.get(1..).unwrap_or_default()),
        Some(b'+') => (false, rest.get(1..).unwrap_or_default()),
        _ => (false, rest),
    };
    let magnitude = match radix {
        Some(radix) => parse_digits(digits, radix),
        None => parse_c_unsigned(digits),
    }?;
    if negative && magnitude != 0 { Err(NumberError::OutOfRange) } else { Ok(magnitude) }
}

/// Parses a process id as systemd does.
///
/// # Errors
/// As [`parse_u32`]; [`NumberError::OutOfRange`] also for numbers that cannot be a process id.
pub fn parse_pid(text: &str) -> Result<u32, NumberError> {
    let pid = parse_u32(text)?;
    if i32::try_from(pid).is_ok_and(|pid| pid > 0) { Ok(pid) } else { Err(NumberError::OutOfRange) }
}

/// Parses digits as C's `strtoul(…, 0)` does, without white space or sign: `0x` is hexadecimal, another leading zero is
/// octal. Trailing characters are an error.
pub(crate) fn parse_c_unsigned(digits: &str) -> Result<u64, NumberError> {
    if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        parse_digits(hex, 16)
    } else if digits.starts_with('0') {
        parse_digits(digits, 8)
    } else {
        parse_digits(digits, 10)
    }
}

/// Splits off the prefixes that systemd adds to those of C. They are only valid before a sign.
fn split_long_prefix(text: &str) -> (Option<u32>, &str) {
    for (prefix, radix) in [("0b", 2), ("0B", 2), ("0o", 8), ("0O", 8)] {
        if let Some(rest) = text.strip_prefix(prefix) {
            return (Some(radix), rest);
        }
    }
    (None, text)
}

fn parse_digits(digits: &str, radix: u32) -> Result<u64, NumberError> {
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return Err(NumberError::Invalid);
    }
    u64::from_str_radix(digits, radix).map_err(|_| NumberError::OutOfRange)
}

/// C's `isspace()` in the C locale. `strtoul()` skips these characters before the sign.
fn is_c_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c')
}

/// Why a text is not a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumberError {
    /// The text is not a number, or continues after it.
    Invalid,
    /// The number is negative or too large.
    OutOfRange,
}

impl fmt::Display for NumberError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid => f.write_str("not a number"),
            Self::OutOfRange => f.write_str("out of range"),
        }
    }
}

impl std::error::Error for NumberError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_the_numbers_of_systemd() {
        for (text, number) in [
            ("0", 0),
            ("256", 256),
            ("4294967295", u32::MAX),
            (" \t5", 5),
            ("\u{b}7", 7),
            ("+5", 5),
            ("-0", 0),
            ("0x10", 16),
            ("0X1F", 31),
            ("+0x10", 16),
            ("010", 8),
            ("+010", 8),
            ("00", 0),
            ("0b1", 1),
            ("0B11", 3),
            ("0b 1", 1),
            ("0b+1", 1),
            ("0b-0", 0),
            ("0o7", 7),
            ("0O17", 15),
        ] {
            assert_eq!(parse_u32(text), Ok(number), "{text:?}");
        }
    }

    #[test]
    fn rejects_the_numbers_that_systemd_rejects() {
        for text in [
            "", " ", "+", "-", "abc", "5 ", "5x", "5.0", "1e3", "0x", "0b", "0o", "08", "0o8", "0b2", "+0b1",
            "0b0b1", "00x5", "0x 5", "0x-5", "+-5", "\u{662}",
        ] {
            assert_eq!(parse_u32(text), Err(NumberError::Invalid), "{text:?}");
        }
        for text in ["-1", "-5", "4294967296", "0x100000000", "99999999999999999999999", "0b-1"] {
            assert_eq!(parse_u32(text), Err(NumberError::OutOfRange), "{text:?}");
        }
    }

    #[test]
    fn numbers_of_64_bits() {
        assert_eq!(parse_u64("18446744073709551615"), Ok(u64::MAX));
        assert_eq!(parse_u64(" 0x10"), Ok(16));
        assert_eq!(parse_u64("18446744073709551616"), Err(NumberError::OutOfRange));
        assert_eq!(parse_u64(""), Err(NumberError::Invalid));
    }

    #[test]
    fn process_ids() {
        assert_eq!(parse_pid(" 012"), Ok(10));
        assert_eq!(parse_pid("2147483647"), Ok(2_147_483_647));
        for text in ["0", "-1", "2147483648", "3000000000", "4294967297"] {
            assert_eq!(parse_pid(text), Err(NumberError::OutOfRange), "{text:?}");
        }
        assert_eq!(parse_pid("me"), Err(NumberError::Invalid));
    }
}
