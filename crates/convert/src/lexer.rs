//! Splits a line into words: quotes, escapes, comments and environment variables (`HAProxy` configuration manual,
//! sections 2.2 and 2.3).

use std::iter::Peekable;
use std::str::Chars;

/// The words of a line, and the variables in it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) words: Vec<String>,
    /// The variables that are not set and have no default.
    pub(crate) unset: Vec<String>,
    /// The variables that were replaced by their values.
    pub(crate) expanded: Vec<String>,
}

/// A syntax error. `HAProxy` rejects the line too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LexError {
    /// A quotation mark of this kind is not closed.
    UnterminatedQuote(char),
    /// `\x` without two hexadecimal digits.
    InvalidHex,
    /// `${` without an end or a name.
    InvalidVariable,
    /// A zero byte.
    ZeroByte,
    /// More than [`MAX_WORDS`] words.
    TooManyWords,
}

impl LexError {
    /// Returns the message.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::UnterminatedQuote('"') => "unterminated double quote; HAProxy rejects this line too",
            Self::UnterminatedQuote(_) => "unterminated quote; HAProxy rejects this line too",
            Self::InvalidHex => {
                "\\x must be followed by two hexadecimal digits; HAProxy rejects this line too"
            }
            Self::InvalidVariable => "invalid variable, expected \"${NAME}\"; HAProxy rejects this line too",
            Self::ZeroByte => "zero byte in the line; HAProxy rejects this line too",
            Self::TooManyWords => "too many words; HAProxy rejects this line too",
        }
    }
}

/// The most words in a line. `HAProxy` accepts 64; the limit bounds the expansion of a variable with many values.
const MAX_WORDS: usize = 256;

/// Splits a line into words. `variable` returns the value of an environment variable.
pub(crate) fn split(line: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Line, LexError> {
    let mut lexer = Lexer { chars: line.chars().peekable(), word: None, line: Line::default() };
    lexer.read(&variable)?;
    Ok(lexer.line)
}

struct Lexer<'a> {
    chars: Peekable<Chars<'a>>,
    word: Option<String>,
    line: Line,
}

impl Lexer<'_> {
    fn read(&mut self, variable: &impl Fn(&str) -> Option<String>) -> Result<(), LexError> {
        while let Some(c) = self.chars.next() {
            match c {
                '#' => break,
                ' ' | '\t' | '\r' => self.end_word()?,
                '\\' => self.escape()?,
                '\'' => self.single_quoted()?,
                '"' => self.double_quoted(variable)?,
                '\0' => return Err(LexError::ZeroByte),
                _ => self.push(c),
            }
        }
        self.end_word()
    }

    fn push(&mut self, c: char) {
        self.word.get_or_insert_default().push(c);
    }

    fn end_word(&mut self) -> Result<(), LexError> {
        self.line.words.extend(self.word.take());
        if self.line.words.len() > MAX_WORDS { Err(LexError::TooManyWords) } else { Ok(()) }
    }

    /// Reads an escape sequence outside single quotes. A backslash before any other character stays in the text.
    fn escape(&mut self) -> Result<(), LexError> {
        match self.chars.next() {
            Some('n') => self.push('\n'),
            Some('r') => self.push('\r'),
            Some('t') => self.push('\t'),
            Some('x') => {
                let mut digit = || self.chars.next().and_then(|digit| digit.to_digit(16));
                let (high, low) = digit().zip(digit()).ok_or(LexError::InvalidHex)?;
                let c = char::from_u32(high * 16 + low).filter(|c| *c != '\0');
                self.push(c.ok_or(LexError::ZeroByte)?);
            }
            Some(c @ (' ' | '\t' | '#' | '\\' | '\'' | '"' | '$')) => self.push(c),
            Some('\0') => return Err(LexError::ZeroByte),
            Some(c) => {
                self.push('\\');
                self.push(c);
            }
            None => self.push('\\'),
        }
        Ok(())
    }

    fn single_quoted(&mut self) -> Result<(), LexError> {
        self.word.get_or_insert_default();
        loop {
            match self.chars.next() {
                Some('\'') => return Ok(()),
                Some('\0') => return Err(LexError::ZeroByte),
                Some(c) => self.push(c),
                None => return Err(LexError::UnterminatedQuote('\'')),
            }
        }
    }

    fn double_quoted(&mut self, variable: &impl Fn(&str) -> Option<String>) -> Result<(), LexError> {
        self.word.get_or_insert_default();
        loop {
            match self.chars.next() {
                Some('"') => return Ok(()),
                Some('\\') => self.escape()?,
                Some('$') => self.variable(variable)?,
                Some('\0') => return Err(LexError::ZeroByte),
                Some(c) => self.push(c),
                None => return Err(LexError::UnterminatedQuote('"')),
            }
        }
    }

    /// Reads a variable after the dollar sign.
    fn variable(&mut self, value_of: &impl Fn(&str) -> Option<String>) -> Result<(), LexError> {
        let braces = self.chars.next_if_eq(&'{').is_some();
        let mut name = String::new();
        name.extend(self.chars.next_if_eq(&'.'));
        while let Some(c) = self.chars.next_if(|c| c.is_ascii_alphanumeric() || *c == '_') {
            name.push(c);
        }
        if name.is_empty() || name.starts_with(|first: char| first.is_ascii_digit()) {
            return Err(LexError::InvalidVariable);
        }
        let (mut splits, mut default) = (false, None);
        if braces {
            if self.chars.next_if_eq(&'[').is_some() {
                splits = self.chars.next() == Some('*') && self.chars.next() == Some(']');
                if !splits {
                    return Err(LexError::InvalidVariable);
                }
            }
            if self.chars.next_if_eq(&'-').is_some() {
                let mut text = String::new();
                while let Some(c) = self.chars.next_if(|c| !matches!(c, '}' | '"')) {
                    text.push(c);
                }
                default = Some(text);
            }
            if self.chars.next() != Some('}') {
                return Err(LexError::InvalidVariable);
            }
        }
        let value = value_of(&name).filter(|value| !value.contains('\0'));
        match (&value, &default) {
            (Some(_), _) => self.line.expanded.push(name),
            (None, Some(_)) => {}
            (None, None) => self.line.unset.push(name),
        }
        self.insert(&value.or(default).unwrap_or_default(), splits)
    }

    fn insert(&mut self, value: &str, splits: bool) -> Result<(), LexError> {
        if !splits {
            self.word.get_or_insert_default().push_str(value);
            return Ok(());
        }
        for (number, part) in value.split_ascii_whitespace().enumerate() {
            if number > 0 {
                self.end_word()?;
            }
            self.word.get_or_insert_default().push_str(part);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn environment(name: &str) -> Option<String> {
        match name {
            "PORT" => Some("80".to_owned()),
            "LIST" => Some("a  b c".to_owned()),
            _ => None,
        }
    }

    fn words(line: &str) -> Vec<String> {
        split(line, environment).unwrap().words
    }

    #[test]
    fn the_examples_of_the_manual_are_equivalent() {
        for line in [
            r"log-format %{+Q}o\ %t\ %s\ %{-Q}r",
            r#"log-format "%{+Q}o %t %s %{-Q}r""#,
            "log-format '%{+Q}o %t %s %{-Q}r'",
            r#"log-format "%{+Q}o %t"' %s %{-Q}r'"#,
            r#"log-format "%{+Q}o %t"' %s'\ %{-Q}r"#,
        ] {
            assert_eq!(words(line), ["log-format", "%{+Q}o %t %s %{-Q}r"], "{line}");
        }
    }

    #[test]
    fn comments_begin_anywhere_outside_quotes() {
        assert_eq!(words("global#this is the global section"), ["global"]);
        assert_eq!(words("\tdaemon #daemonize"), ["daemon"]);
        assert_eq!(words(r##"a \# "#" '#' # b"##), ["a", "#", "#", "#"]);
        assert_eq!(words("# nothing"), Vec::<String>::new());
    }

    #[test]
    fn escapes() {
        assert_eq!(words(r"a\ b \\ \n\r\t \x41 \d"), ["a b", "\\", "\n\r\t", "A", "\\d"]);
        assert_eq!(words(r#"'a\n' "a\n\"" ''"#), ["a\\n", "a\n\"", ""]);
        assert_eq!(split(r"\xg0", environment), Err(LexError::InvalidHex));
        assert_eq!(split("'a", environment), Err(LexError::UnterminatedQuote('\'')));
        assert_eq!(split("\"a", environment), Err(LexError::UnterminatedQuote('"')));
    }

    #[test]
    fn variables_are_expanded_between_double_quotes_only() {
        assert_eq!(
            words(r#"bind ":$PORT" :$PORT ':$PORT' ":${PORT}1" "\$PORT""#),
            ["bind", ":80", ":$PORT", ":$PORT", ":801", "$PORT"]
        );
        assert_eq!(words(r#""${LIST[*]}" "${LIST}" "${NONE-x}:1""#), ["a", "b", "c", "a  b c", "x:1"]);
        let line = split(r#""$NONE" "$PORT""#, environment).unwrap();
        assert_eq!((line.unset, line.expanded), (vec!["NONE".to_owned()], vec!["PORT".to_owned()]));
        assert_eq!(split("\"$\"", environment), Err(LexError::InvalidVariable));
        assert_eq!(split("\"${PORT\"", environment), Err(LexError::InvalidVariable));
    }

    proptest! {
        #[test]
        fn any_line_is_split_or_rejected(line in "[ -~\\x00\\n\\\\\"'$#{}]{0,60}") {
            let _ = split(&line, environment);
        }

        #[test]
        fn a_single_quoted_word_is_unchanged(word in "[^'\\x00]{0,20}") {
            prop_assert_eq!(words(&format!("x '{word}'")), ["x".to_owned(), word]);
        }
    }
}
