//! Reads the numbers and time spans of `HAProxy`, and writes TOML values.

use std::fmt::Write as _;
use std::time::Duration;

use dormouse_core::timespan::TimeSpan;

/// Reads a time span. A number without a unit is in milliseconds.
pub(crate) fn parse_span(text: &str) -> Option<Duration> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    let number: u64 = number.parse().ok()?;
    Some(match unit {
        "us" => Duration::from_micros(number),
        "" | "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number.checked_mul(60)?),
        "h" => Duration::from_secs(number.checked_mul(60 * 60)?),
        "d" => Duration::from_secs(number.checked_mul(24 * 60 * 60)?),
        _ => return None,
    })
}

/// Reads a number.
pub(crate) fn parse_count(text: &str) -> Option<u32> {
    text.parse().ok()
}

/// Returns a time span in the notation of `dormouse.toml(5)`, as a TOML string.
pub(crate) fn toml_span(span: Duration) -> String {
    quoted(&match (span.subsec_micros(), span.subsec_micros() % 1000) {
        (0, _) => TimeSpan::Finite(span).to_string(),
        (_, 0) => format!("{}ms", span.as_millis()),
        (_, _) => format!("{}us", span.as_micros()),
    })
}

/// Returns a TOML string.
pub(crate) fn quoted(text: &str) -> String {
    let mut toml = String::with_capacity(text.len() + 2);
    toml.push('"');
    for c in text.chars() {
        match c {
            '"' => toml.push_str("\\\""),
            '\\' => toml.push_str("\\\\"),
            '\n' => toml.push_str("\\n"),
            '\r' => toml.push_str("\\r"),
            '\t' => toml.push_str("\\t"),
            c if c.is_control() => {
                // Writing to a String cannot fail.
                let _ = write!(toml, "\\u{:04X}", u32::from(c));
            }
            c => toml.push(c),
        }
    }
    toml.push('"');
    toml
}

/// A TOML table: keys with values in TOML syntax.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TomlTable(pub(crate) Vec<(&'static str, String)>);

impl TomlTable {
    /// Adds a value in TOML syntax.
    pub(crate) fn put(&mut self, key: &'static str, value: impl Into<String>) {
        self.0.push((key, value.into()));
    }

    /// Adds a time span, if there is one.
    pub(crate) fn span(&mut self, key: &'static str, span: Option<Duration>) {
        self.0.extend(span.map(|span| (key, toml_span(span))));
    }

    /// Adds a number, if there is one.
    pub(crate) fn number(&mut self, key: &'static str, number: Option<u32>) {
        self.0.extend(number.map(|number| (key, number.to_string())));
    }

    /// Adds a string, if there is one.
    pub(crate) fn text(&mut self, key: &'static str, text: Option<&str>) {
        self.0.extend(text.map(|text| (key, quoted(text))));
    }

    /// Returns whether the table has no keys.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns an inline table.
    pub(crate) fn inline(&self) -> String {
        let entries: Vec<_> = self.0.iter().map(|(key, value)| format!("{key} = {value}")).collect();
        if entries.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", entries.join(", ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_numbers_are_milliseconds() {
        for (text, expected) in [
            ("2000", "\"2s\""),
            ("5000ms", "\"5s\""),
            ("1500", "\"1500ms\""),
            ("30s", "\"30s\""),
            ("2m", "\"2min\""),
            ("1h", "\"1h\""),
            ("1d", "\"1d\""),
            ("7us", "\"7us\""),
        ] {
            assert_eq!(toml_span(parse_span(text).unwrap()), expected, "{text}");
        }
        for text in ["", "s", "1y", "-1", "1.5s", "99999999999999999999", "99999999999999999d"] {
            assert_eq!(parse_span(text), None, "{text}");
        }
    }

    #[test]
    fn a_quoted_text_is_a_toml_string() {
        for text in ["", "a\"b\\c", "\n\r\t\u{7}\u{7f}\u{85}", "ä…"] {
            let table = format!("x = {}", quoted(text));
            let table: toml::de::DeTable<'_> = toml::de::DeTable::parse(&table).unwrap().into_inner();
            assert_eq!(table.get("x").unwrap().get_ref().as_str(), Some(text));
        }
    }
}
