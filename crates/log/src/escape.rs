//! Escapes for text of others: paths, names, the output of programs. Escaped text cannot start another line, change the
//! terminal, or show something else than it contains.

use std::fmt::{self, Display, Write};

/// Returns whether a character controls the terminal, starts a line, is invisible, or changes the direction of text.
pub fn is_special(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            // Format characters (Unicode category Cf) and the separators of lines and paragraphs.
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// A value in which special characters are escaped as in Rust: `\n`, `\u{1b}`. It displays as one line.
pub struct Escaped<T>(pub T);

impl<T: Display> Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping { out: f, is_special }, "{}", self.0)
    }
}

/// Like [`Escaped`], for a text of several lines.
pub struct EscapedLines<T>(pub T);

impl<T: Display> Display for EscapedLines<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping { out: f, is_special: |c| c != '\n' && is_special(c) }, "{}", self.0)
    }
}

/// Escapes what is written through it.
struct Escaping<'a, W> {
    out: &'a mut W,
    is_special: fn(char) -> bool,
}

impl<W: Write> Write for Escaping<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.find(self.is_special) {
            let (plain, special) = rest.split_at(at);
            self.out.write_str(plain)?;
            let mut characters = special.chars();
            characters.next().map_or(Ok(()), |c| write!(self.out, "{}", c.escape_default()))?;
            rest = characters.as_str();
        }
        self.out.write_str(rest)
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
            ("a\nb\r\tc\0", "a\\nb\\r\\tc\\u{0}"),
            ("\x1b[2J\u{7f}\u{9b}", "\\u{1b}[2J\\u{7f}\\u{9b}"),
            ("a\u{202e}b\u{200b}\u{feff}\u{2028}", "a\\u{202e}b\\u{200b}\\u{feff}\\u{2028}"),
        ] {
            assert_eq!(Escaped(text).to_string(), escaped);
        }
        assert_eq!(EscapedLines("a\nb\rc").to_string(), "a\nb\\rc");
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
        fn no_special_character_remains(characters in proptest::collection::vec(any::<char>(), 0..64)) {
            let text: String = characters.into_iter().collect();
            prop_assert!(!Escaped(&text).to_string().contains(is_special));
            prop_assert!(!EscapedLines(&text).to_string().contains(|c| c != '\n' && is_special(c)));
            let json = json_string(&text);
            prop_assert!(!json.contains(is_special));
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }
}
