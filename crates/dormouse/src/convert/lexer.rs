//! A line of `HAProxy`'s configuration as words: quotes, escapes, comments and environment variables
//! (its configuration manual, 2.2 and 2.3).

use std::iter::Peekable;
use std::str::Chars;

/// What a line is made of.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) words: Vec<String>,
    /// Variables that are expanded here but not set, and have no default.
    pub(super) unset: Vec<String>,
    /// Variables whose value is now part of the text.
    pub(super) expanded: Vec<String>,
}

/// Why a line cannot be taken apart. `HAProxy` refuses it, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LexError {
    /// A quote of this kind stays open.
    Open(char),
    /// `\x` without two hexadecimal digits.
    Hex,
    /// `${` without its end, or without a name.
    Variable,
    /// A zero byte.
    Zero,
    /// More words than a line has.
    Long,
}

impl LexError {
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Open('"') => "a double quote stays open; HAProxy refuses this line, too",
            Self::Open(_) => "a quote stays open; HAProxy refuses this line, too",
            Self::Hex => "two hexadecimal digits have to follow \\x; HAProxy refuses this line, too",
            Self::Variable => "this is no variable (\"${NAME}\"); HAProxy refuses this line, too",
            Self::Zero => "there is a zero byte in it; HAProxy refuses this line, too",
            Self::Long => "it is too long; HAProxy refuses this line, too",
        }
    }
}

/// `HAProxy` takes 64 words a line; this is generous, and bounds what a variable with many values can do.
const MOST_WORDS: usize = 256;

/// Takes a line apart. `variable` knows the environment.
pub(super) fn split(line: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Line, LexError> {
    let mut lexer = Lexer { letters: line.chars().peekable(), word: None, found: Line::default() };
    lexer.line(&variable)?;
    Ok(lexer.found)
}

struct Lexer<'a> {
    letters: Peekable<Chars<'a>>,
    word: Option<String>,
    found: Line,
}

impl Lexer<'_> {
    fn line(&mut self, variable: &impl Fn(&str) -> Option<String>) -> Result<(), LexError> {
        while let Some(letter) = self.letters.next() {
            match letter {
                '#' => break,
                ' ' | '\t' | '\r' => self.end_word()?,
                '\\' => self.escape()?,
                '\'' => self.strong()?,
                '"' => self.weak(variable)?,
                '\0' => return Err(LexError::Zero),
                _ => self.push(letter),
            }
        }
        self.end_word()
    }

    fn push(&mut self, letter: char) {
        self.word.get_or_insert_default().push(letter);
    }

    fn end_word(&mut self) -> Result<(), LexError> {
        self.found.words.extend(self.word.take());
        if self.found.words.len() > MOST_WORDS { Err(LexError::Long) } else { Ok(()) }
    }

    /// What a backslash means outside of strong quotes. Before a letter that needs none it stays.
    fn escape(&mut self) -> Result<(), LexError> {
        match self.letters.next() {
            Some('n') => self.push('\n'),
            Some('r') => self.push('\r'),
            Some('t') => self.push('\t'),
            Some('x') => {
                let mut digit = || self.letters.next().and_then(|digit| digit.to_digit(16));
                let (high, low) = digit().zip(digit()).ok_or(LexError::Hex)?;
                let letter = char::from_u32(high * 16 + low).filter(|letter| *letter != '\0');
                self.push(letter.ok_or(LexError::Zero)?);
            }
            Some(letter @ (' ' | '\t' | '#' | '\\' | '\'' | '"' | '$')) => self.push(letter),
            Some('\0') => return Err(LexError::Zero),
            Some(letter) => {
                self.push('\\');
                self.push(letter);
            }
            None => self.push('\\'),
        }
        Ok(())
    }

    fn strong(&mut self) -> Result<(), LexError> {
        self.word.get_or_insert_default();
        loop {
            match self.letters.next() {
                Some('\'') => return Ok(()),
                Some('\0') => return Err(LexError::Zero),
                Some(letter) => self.push(letter),
                None => return Err(LexError::Open('\'')),
            }
        }
    }

    fn weak(&mut self, variable: &impl Fn(&str) -> Option<String>) -> Result<(), LexError> {
        self.word.get_or_insert_default();
        loop {
            match self.letters.next() {
                Some('"') => return Ok(()),
                Some('\\') => self.escape()?,
                Some('$') => self.variable(variable)?,
                Some('\0') => return Err(LexError::Zero),
                Some(letter) => self.push(letter),
                None => return Err(LexError::Open('"')),
            }
        }
    }

    /// What follows a dollar sign between double quotes.
    fn variable(&mut self, value_of: &impl Fn(&str) -> Option<String>) -> Result<(), LexError> {
        let braces = self.letters.next_if_eq(&'{').is_some();
        let mut name = String::new();
        name.extend(self.letters.next_if_eq(&'.'));
        while let Some(letter) =
            self.letters.next_if(|letter| letter.is_ascii_alphanumeric() || *letter == '_')
        {
            name.push(letter);
        }
        if name.is_empty() || name.starts_with(|first: char| first.is_ascii_digit()) {
            return Err(LexError::Variable);
        }
        let (mut several, mut default) = (false, None);
        if braces {
            if self.letters.next_if_eq(&'[').is_some() {
                several = self.letters.next() == Some('*') && self.letters.next() == Some(']');
                if !several {
                    return Err(LexError::Variable);
                }
            }
            if self.letters.next_if_eq(&'-').is_some() {
                let mut text = String::new();
                while let Some(letter) = self.letters.next_if(|letter| !matches!(letter, '}' | '"')) {
                    text.push(letter);
                }
                default = Some(text);
            }
            if self.letters.next() != Some('}') {
                return Err(LexError::Variable);
            }
        }
        let value = value_of(&name).filter(|value| !value.contains('\0'));
        match (&value, &default) {
            (Some(_), _) => self.found.expanded.push(name),
            (None, Some(_)) => {}
            (None, None) => self.found.unset.push(name),
        }
        self.insert(&value.or(default).unwrap_or_default(), several)
    }

    fn insert(&mut self, value: &str, several: bool) -> Result<(), LexError> {
        if !several {
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
    fn the_manuals_examples_are_equal() {
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
    fn comments_begin_anywhere_outside_of_quotes() {
        assert_eq!(words("global#this is the global section"), ["global"]);
        assert_eq!(words("\tdaemon #daemonize"), ["daemon"]);
        assert_eq!(words(r##"a \# "#" '#' # b"##), ["a", "#", "#", "#"]);
        assert_eq!(words("# nothing"), Vec::<String>::new());
    }

    #[test]
    fn escapes() {
        assert_eq!(words(r"a\ b \\ \n\r\t \x41 \d"), ["a b", "\\", "\n\r\t", "A", "\\d"]);
        assert_eq!(words(r#"'a\n' "a\n\"" ''"#), ["a\\n", "a\n\"", ""]);
        assert_eq!(split(r"\xg0", environment), Err(LexError::Hex));
        assert_eq!(split("'a", environment), Err(LexError::Open('\'')));
        assert_eq!(split("\"a", environment), Err(LexError::Open('"')));
    }

    #[test]
    fn variables_are_expanded_between_double_quotes_only() {
        assert_eq!(
            words(r#"bind ":$PORT" :$PORT ':$PORT' ":${PORT}1" "\$PORT""#),
            ["bind", ":80", ":$PORT", ":$PORT", ":801", "$PORT"]
        );
        assert_eq!(words(r#""${LIST[*]}" "${LIST}" "${NONE-x}:1""#), ["a", "b", "c", "a  b c", "x:1"]);
        let found = split(r#""$NONE" "$PORT""#, environment).unwrap();
        assert_eq!((found.unset, found.expanded), (vec!["NONE".to_owned()], vec!["PORT".to_owned()]));
        assert_eq!(split("\"$\"", environment), Err(LexError::Variable));
        assert_eq!(split("\"${PORT\"", environment), Err(LexError::Variable));
    }

    proptest! {
        #[test]
        fn any_line_is_answered(line in "[ -~\\x00\\n\\\\\"'$#{}]{0,60}") {
            let _ = split(&line, environment);
        }

        #[test]
        fn a_quoted_word_is_itself(word in "[^'\\x00]{0,20}") {
            prop_assert_eq!(words(&format!("x '{word}'")), ["x".to_owned(), word]);
        }
    }
}
