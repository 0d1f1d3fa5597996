//! Splits a command in a string as a shell does. No shell runs the command.

use std::fmt;

/// Splits a command at white space outside of quotes and backslashes. Syntax that needs a shell is an error, because the
/// program would get it as a word.
///
/// # Errors
/// A [`SplitError`] if quotes are not closed, the command is empty, or a shell is needed.
pub fn split(text: &str) -> Result<Vec<String>, SplitError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            ' ' | '\t' | '\n' | '\r' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next() {
                        Some('\'') => break,
                        Some(letter) => word.push(letter),
                        None => return Err(SplitError::Open('\'')),
                    }
                }
            }
            '"' => double_quoted(&mut letters, word.get_or_insert_default())?,
            '\\' => match letters.next() {
                Some('\n') => {}
                Some(letter) => word.get_or_insert_default().push(letter),
                None => return Err(SplitError::Open('\\')),
            },
            '|' | '&' | ';' | '<' | '>' | '(' | ')' | '$' | '`' => return Err(SplitError::Shell(letter)),
            '~' if word.is_none() => return Err(SplitError::Shell('~')),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    match words.first() {
        Some(program) if !program.is_empty() => Ok(words),
        _ => Err(SplitError::Empty),
    }
}

/// Reads up to the closing quote.
fn double_quoted(letters: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), SplitError> {
    loop {
        match letters.next() {
            Some('"') => return Ok(()),
            Some('\\') => match letters.next() {
                Some('\n') => {}
                Some(letter @ ('"' | '\\' | '$' | '`')) => word.push(letter),
                Some(letter) => word.extend(['\\', letter]),
                None => return Err(SplitError::Open('"')),
            },
            Some(letter @ ('$' | '`')) => return Err(SplitError::Shell(letter)),
            Some(letter) => word.push(letter),
            None => return Err(SplitError::Open('"')),
        }
    }
}

/// Why a text is not a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SplitError {
    /// The command is empty.
    Empty,
    /// This quote is not closed, or a backslash ends the command.
    Open(char),
    /// This character needs a shell.
    Shell(char),
}

impl fmt::Display for SplitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("does not name a program"),
            Self::Open('\\') => f.write_str("ends with a single backslash; write two"),
            Self::Open(quote) => write!(f, "a {quote} is not closed"),
            Self::Shell(letter) => {
                write!(f, "'{letter}' needs a shell, and none runs; put it in quotes, or use sh -c '…'")
            }
        }
    }
}

impl std::error::Error for SplitError {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_are_split_as_by_a_shell() {
        for (text, words) in [
            ("python3 -m http.server 9000", &["python3", "-m", "http.server", "9000"][..]),
            ("  a\t b\n", &["a", "b"]),
            ("a 'b c' \"d e\"", &["a", "b c", "d e"]),
            ("a'b'\"c\"d", &["abcd"]),
            ("a '' \"\"", &["a", "", ""]),
            (r"a b\ c \' \\", &["a", "b c", "'", "\\"]),
            (r#"a "x\"y" "\$1" "\n""#, &["a", "x\"y", "$1", "\\n"]),
            ("sh -c 'echo $HOME | cat; exit'", &["sh", "-c", "echo $HOME | cat; exit"]),
            ("a=1 #x {y} *.c x~", &["a=1", "#x", "{y}", "*.c", "x~"]),
        ] {
            assert_eq!(split(text).unwrap(), words, "{text}");
        }
    }

    #[test]
    fn commands_that_need_a_shell_or_lack_a_quote_are_errors() {
        for (text, error) in [
            ("", SplitError::Empty),
            (" ", SplitError::Empty),
            ("'' a", SplitError::Empty),
            ("a 'b", SplitError::Open('\'')),
            ("a \"b", SplitError::Open('"')),
            ("a \"b\\", SplitError::Open('"')),
            ("a \\", SplitError::Open('\\')),
            ("cd /x && a", SplitError::Shell('&')),
            ("a | b", SplitError::Shell('|')),
            ("a >/dev/null", SplitError::Shell('>')),
            ("a $HOME", SplitError::Shell('$')),
            ("a \"$HOME\"", SplitError::Shell('$')),
            ("a ~/x", SplitError::Shell('~')),
        ] {
            assert_eq!(split(text), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_gives_a_result(text in "[ab'\"\\\\ $\\n~]{0,20}") {
            let _ = split(&text);
        }

        #[test]
        fn quoted_words_stay_the_same(words in prop::collection::vec("\\PC{1,10}", 1..5)) {
            let quoted: Vec<_> = words.iter().map(|word| format!("'{}'", word.replace('\'', r"'\''"))).collect();
            prop_assert_eq!(split(&quoted.join(" ")), Ok(words));
        }
    }
}
