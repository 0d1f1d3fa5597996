//! Escapes for text of others: paths, names, the output of programs. Escaped text cannot start another line, change the
//! terminal, or show something else than it contains.
//!
//! The only escape is `\u{HEX}`. A backslash stays as it is, unless it would look like the beginning of an escape, so that
//! the output of programs (JSON, for example) is changed as little as possible, and every text has an escape of its own.

use std::fmt::{self, Display, Write};

/// The characters of the general categories Cc, Cf, Zl, Zp and Co of Unicode 16, in order: they control the terminal,
/// start a line, are invisible, change the direction of text, or mean something in one font only. Cs has no characters
/// in Rust.
const SPECIAL: [(char, char); 26] = [
    ('\0', '\u{1f}'),
    ('\u{7f}', '\u{9f}'),
    ('\u{ad}', '\u{ad}'),
    ('\u{600}', '\u{605}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{6dd}', '\u{6dd}'),
    ('\u{70f}', '\u{70f}'),
    ('\u{890}', '\u{891}'),
    ('\u{8e2}', '\u{8e2}'),
    ('\u{180e}', '\u{180e}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{2028}', '\u{202e}'),
    // With the unassigned U+2065, which is invisible, too.
    ('\u{2060}', '\u{206f}'),
    ('\u{e000}', '\u{f8ff}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{fff9}', '\u{fffb}'),
    ('\u{110bd}', '\u{110bd}'),
    ('\u{110cd}', '\u{110cd}'),
    ('\u{13430}', '\u{1343f}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    // The tags, with the unassigned characters of their block, which are invisible, too.
    ('\u{e0000}', '\u{e007f}'),
    ('\u{e0080}', '\u{e00ff}'),
    ('\u{e01f0}', '\u{e0fff}'),
    ('\u{f0000}', '\u{ffffd}'),
    ('\u{100000}', '\u{10fffd}'),
];

/// Returns whether a character controls the terminal, starts a line, is invisible, or changes the direction of text.
pub fn is_special(c: char) -> bool {
    // Nearly every character.
    if matches!(c, ' '..='~') {
        return false;
    }
    let after = SPECIAL.partition_point(|(first, _)| *first <= c);
    after.checked_sub(1).and_then(|at| SPECIAL.get(at)).is_some_and(|(_, last)| c <= *last)
}

/// A text of others, in which special characters are escaped: `\u{1b}`. It displays as one line, and no other text displays
/// as the same line.
pub struct Escaped<T>(pub T);

impl<T: Display> Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut escaping = Escaping { out: f, is_special, keeps_escapes: false, held: "" };
        write!(escaping, "{}", self.0)?;
        escaping.finish()
    }
}

/// A line of which all texts of others are escaped already. What is left of special characters is escaped, and escapes stay
/// as they are.
pub struct EscapedLine<T>(pub T);

impl<T: Display> Display for EscapedLine<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping { out: f, is_special, keeps_escapes: true, held: "" }, "{}", self.0)
    }
}

/// Like [`EscapedLine`], for several lines.
pub struct EscapedLines<T>(pub T);

impl<T: Display> Display for EscapedLines<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_special = |c| c != '\n' && is_special(c);
        write!(Escaping { out: f, is_special, keeps_escapes: true, held: "" }, "{}", self.0)
    }
}

/// Escapes what is written through it.
struct Escaping<'a, W> {
    out: &'a mut W,
    is_special: fn(char) -> bool,
    /// Whether `\u{` stays as it is.
    keeps_escapes: bool,
    /// The end of what was written, if an escape may begin there: nothing, `\` or `\u`.
    held: &'static str,
}

impl<W: Write> Escaping<'_, W> {
    fn finish(&mut self) -> fmt::Result {
        self.out.write_str(std::mem::take(&mut self.held))
    }

    /// Takes a character that may continue an escape. Returns whether it does.
    fn continue_escape(&mut self, next: char) -> Result<bool, fmt::Error> {
        match (self.held, next) {
            ("", _) => return Ok(false),
            ("\\", 'u') => self.held = "\\u",
            ("\\u", '{') => {
                self.held = "";
                self.out.write_str("\\u{5c}u{")?;
            }
            _ => {
                self.finish()?;
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl<W: Write> Write for Escaping<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(next) = rest.chars().next() {
            if self.continue_escape(next)? {
                rest = rest.get(next.len_utf8()..).unwrap_or_default();
                continue;
            }
            let may_begin = |c: char| (c == '\\' && !self.keeps_escapes) || (self.is_special)(c);
            let (plain, found) = rest.split_at(rest.find(may_begin).unwrap_or(rest.len()));
            self.out.write_str(plain)?;
            let mut characters = found.chars();
            match characters.next() {
                Some('\\') => self.held = "\\",
                Some(c) => write!(self.out, "\\u{{{:x}}}", u32::from(c))?,
                None => {}
            }
            rest = characters.as_str();
        }
        Ok(())
    }
}

/// A value of which at most this number of bytes is written, and `…` in place of the rest.
pub struct Bounded<T>(pub T, pub usize);

impl<T: Display> Display for Bounded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut counting = Counting { out: f, left: self.1, cut: false };
        let written = write!(counting, "{}", self.0);
        // The end of the room stops the value.
        if counting.cut { f.write_char('…') } else { written }
    }
}

/// Stops at the end of its room.
struct Counting<'a, W> {
    out: &'a mut W,
    left: usize,
    cut: bool,
}

impl<W: Write> Write for Counting<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut end = self.left.min(text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let fitting = text.get(..end).unwrap_or_default();
        self.left -= fitting.len();
        self.out.write_str(fitting)?;
        if fitting.len() < text.len() {
            self.cut = true;
            return Err(fmt::Error);
        }
        Ok(())
    }
}

/// Returns a text as a quoted JSON string without special characters.
pub fn json_string(text: &str) -> String {
    json_escaped(&serde_json::Value::from(text).to_string())
}

/// Returns the same JSON with escapes in place of the special characters in its strings.
pub fn json_escaped(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        // Strings contain no control characters of ASCII but DEL.
        if c < '\u{7f}' || !is_special(c) {
            escaped.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            // Writing to a String cannot fail.
            let _ = write!(escaped, "\\u{unit:04x}");
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn special_characters_become_visible() {
        for (text, escaped) in [
            ("a b é 猫 \"'\\", "a b é 猫 \"'\\"),
            ("a\nb\r\tc\0", "a\\u{a}b\\u{d}\\u{9}c\\u{0}"),
            ("\x1b[2J\u{7f}\u{9b}", "\\u{1b}[2J\\u{7f}\\u{9b}"),
            ("a\u{202e}b\u{200b}\u{feff}\u{2028}", "a\\u{202e}b\\u{200b}\\u{feff}\\u{2028}"),
            // Texts with backslashes stay readable, and JSON stays the same.
            (
                r#"{"a":"\"b\"\n\u00e9"} C:\new\u dev-a\x2db \\"#,
                r#"{"a":"\"b\"\n\u00e9"} C:\new\u dev-a\x2db \\"#,
            ),
            ("\\u{1b} \\\u{1b} \\\\u{", "\\u{5c}u{1b} \\\\u{1b} \\\\u{5c}u{"),
        ] {
            assert_eq!(Escaped(text).to_string(), escaped);
            assert_eq!(EscapedLine(escaped).to_string(), escaped);
        }
        assert_eq!(EscapedLines("a\nb\rc").to_string(), "a\nb\\u{d}c");
        // Wherever the text is divided.
        assert_eq!(Escaped(format_args!("{}{}{}", "\\", "u", "{1b}")).to_string(), "\\u{5c}u{1b}");
    }

    #[test]
    fn the_table_is_in_order() {
        assert!(SPECIAL.iter().all(|(first, last)| first <= last));
        assert!(SPECIAL.windows(2).all(|pair| pair[0].1 < pair[1].0));
    }

    /// Returns the text that was escaped.
    fn unescaped(escaped: &str) -> String {
        let (mut text, mut rest) = (String::new(), escaped);
        while let Some((before, after)) = rest.split_once("\\u{") {
            let (number, after) = after.split_once('}').unwrap();
            text.push_str(before);
            text.push(char::from_u32(u32::from_str_radix(number, 16).unwrap()).unwrap());
            rest = after;
        }
        text + rest
    }

    #[test]
    fn long_values_are_cut_at_a_character() {
        assert_eq!(Bounded("abc", 3).to_string(), "abc");
        assert_eq!(Bounded("abcd", 3).to_string(), "abc…");
        assert_eq!(Bounded("aéé", 4).to_string(), "aé…");
        assert_eq!(Bounded(format_args!("{}{}", "ab", "cd"), 2).to_string(), "ab…");
    }

    #[test]
    fn quotes_json_strings() {
        assert_eq!(json_string("a\"b\\\n"), r#""a\"b\\\n""#);
        assert_eq!(json_string("\u{7f}\u{202e}\u{e0001}"), r#""\u007f\u202e\udb40\udc01""#);
        assert_eq!(json_escaped("{ \"a\":\n1 }"), "{ \"a\":\n1 }");
    }

    proptest! {
        #[test]
        fn a_text_is_known_from_its_escape(
            pieces in proptest::collection::vec("[\\\\u{}1b5c\n\u{202e}nx]{0,6}|.{0,3}", 0..6),
        ) {
            let text = pieces.concat();
            let escaped = Escaped(&text).to_string();
            prop_assert!(!escaped.contains(is_special));
            prop_assert_eq!(unescaped(&escaped), text);
            let rest = pieces.get(1..).unwrap_or_default().concat();
            let first = pieces.first().map_or("", String::as_str);
            let divided = Escaped(format_args!("{first}{rest}")).to_string();
            prop_assert_eq!(divided, escaped);
        }

        #[test]
        fn every_character_of_the_categories_is_special(
            control in "\\p{Cc}",
            format in "\\p{Cf}",
            separator in "[\\p{Zl}\\p{Zp}]",
            private in "\\p{Co}",
        ) {
            for text in [control, format, separator, private] {
                prop_assert!(text.chars().all(is_special), "{:?}", text);
            }
        }

        #[test]
        fn no_character_that_people_read_is_special(text in "[\\p{L}\\p{N}\\p{P}\\p{S}\\p{M}\\p{Zs}]{64}") {
            prop_assert!(!text.contains(is_special), "{:?}", text);
        }

        #[test]
        fn no_special_character_remains(characters in proptest::collection::vec(any::<char>(), 0..64)) {
            let text: String = characters.into_iter().collect();
            prop_assert!(!Escaped(&text).to_string().contains(is_special));
            prop_assert!(!EscapedLine(&text).to_string().contains(is_special));
            prop_assert!(!EscapedLines(&text).to_string().contains(|c| c != '\n' && is_special(c)));
            let json = json_string(&text);
            prop_assert!(!json.contains(is_special));
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }
}
