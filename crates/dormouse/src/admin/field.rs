//! The fields of `HAProxy`'s statistics and their output as CSV, as typed lines and as JSON (its management guide,
//! "Statistics and monitoring").

use std::fmt::Write as _;

use dormouse_log::{Escaped, json_string};

/// The tags of a field: its origin, nature and scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tags {
    letters: &'static str,
}

/// The value of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    U32(u64),
    S32(i64),
    U64(u64),
    Text(String),
}

/// A field at its position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) position: usize,
    pub(super) name: &'static str,
    pub(super) tags: Tags,
    pub(super) value: Value,
}

impl Tags {
    /// Creates the tags from the letters of the typed form: origin, nature, scope.
    pub(super) const fn new(letters: &'static str) -> Self {
        Self { letters }
    }

    fn words(self) -> [&'static str; 3] {
        let mut letters = self.letters.chars();
        let origin = match letters.next() {
            Some('S') => "Status",
            Some('K') => "Key",
            Some('C') => "Config",
            Some('P') => "Product",
            _ => "Metric",
        };
        let nature = match letters.next() {
            Some('A') => "Age",
            Some('a') => "Avg",
            Some('C') => "Counter",
            Some('D') => "Duration",
            Some('L') => "Limit",
            Some('M') => "Max",
            Some('N') => "Name",
            Some('O') => "Output",
            Some('R') => "Rate",
            _ => "Gauge",
        };
        let scope = match letters.next() {
            Some('S') => "Service",
            Some('Y') => "System",
            _ => "Process",
        };
        [origin, nature, scope]
    }
}

impl Value {
    fn kind(&self) -> &'static str {
        match self {
            Self::U32(_) => "u32",
            Self::S32(_) => "s32",
            Self::U64(_) => "u64",
            Self::Text(_) => "str",
        }
    }

    /// Returns the value as plain text.
    pub(super) fn plain(&self) -> String {
        match self {
            Self::U32(number) | Self::U64(number) => number.to_string(),
            Self::S32(number) => number.to_string(),
            Self::Text(text) => Escaped(text).to_string(),
        }
    }

    /// Returns the value as a CSV field, quoted if necessary.
    pub(super) fn csv(&self) -> String {
        match self {
            Self::Text(text) if text.contains(['"', ',']) => {
                format!("\"{}\"", self.plain().replace('"', "\"\""))
            }
            other => other.plain(),
        }
    }

    fn json(&self) -> String {
        match self {
            Self::Text(text) => json_string(text),
            other => other.plain(),
        }
    }
}

impl Field {
    /// Writes the line of the typed form; `object`: the prefix that names the object.
    pub(super) fn typed(&self, object: &str, text: &mut String) {
        let Self { position, name, tags, value } = self;
        // Writing to a String cannot fail.
        let _ =
            writeln!(text, "{object}{position}.{name}.1:{}:{}:{}", tags.letters, value.kind(), value.plain());
    }

    /// Writes the object of the JSON form; `object`: the members that name the owner of the field.
    pub(super) fn json(&self, object: &str, text: &mut String) {
        let Self { position, name, tags, value } = self;
        let [origin, nature, scope] = tags.words();
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "{{{object}\"field\":{{\"pos\":{position},\"name\":{}}},\"processNum\":1,\"tags\":{{\"origin\":\"{origin}\",\"nature\":\"{nature}\",\"scope\":\"{scope}\"}},\"value\":{{\"type\":\"{}\",\"value\":{}}}}}",
            json_string(name),
            value.kind(),
            value.json()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typed_lines_and_json_have_the_form_of_haproxy() {
        let field = Field { position: 4, name: "scur", tags: Tags::new("MGP"), value: Value::U32(7) };
        let (mut typed, mut json) = (String::new(), String::new());
        field.typed("F.2.0.", &mut typed);
        assert_eq!(typed, "F.2.0.4.scur.1:MGP:u32:7\n");
        field.json("\"objType\":\"Frontend\",\"proxyId\":2,\"id\":0,", &mut json);
        assert_eq!(
            json,
            "{\"objType\":\"Frontend\",\"proxyId\":2,\"id\":0,\"field\":{\"pos\":4,\"name\":\"scur\"},\"processNum\":1,\
             \"tags\":{\"origin\":\"Metric\",\"nature\":\"Gauge\",\"scope\":\"Process\"},\"value\":{\"type\":\"u32\",\"value\":7}}"
        );
    }

    #[test]
    fn csv_fields_are_quoted_if_necessary() {
        assert_eq!(Value::Text("a,\"b\"".to_owned()).csv(), "\"a,\"\"b\"\"\"");
        assert_eq!(Value::Text("no check".to_owned()).csv(), "no check");
        assert_eq!(Value::Text("a\nb,\x1b".to_owned()).csv(), "\"a\\u{a}b,\\u{1b}\"");
    }
}
