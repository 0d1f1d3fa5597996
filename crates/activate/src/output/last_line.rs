//! The last line that a program wrote, for the error message about its end.

use std::fmt;

/// The number of characters of the last line that an error message quotes.
const MAX_LAST_LINE: usize = 200;
/// The number of bytes at the end of a longer text in which the last line is searched.
const SEARCHED: usize = 2048;

/// The last line that a program wrote and that is not blank.
#[derive(Debug, Clone, Default)]
pub(crate) struct LastLine(String);

impl LastLine {
    /// Keeps a line, unless it is blank.
    pub(super) fn update(&mut self, line: &str) {
        if !line.trim().is_empty() {
            self.0.clear();
            self.0.extend(line.trim().chars().take(MAX_LAST_LINE));
        }
    }

    /// Keeps the last line of a text.
    pub(super) fn update_from(&mut self, text: &[u8]) {
        let end = text.get(text.len().saturating_sub(SEARCHED)..).unwrap_or_default();
        for line in end.rsplit(|byte| *byte == b'\n') {
            if !line.trim_ascii().is_empty() {
                return self.update(&String::from_utf8_lossy(line));
            }
        }
    }
}

impl fmt::Display for LastLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, "; its last output was {:?}", self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_of_a_text_is_found() {
        let mut last = LastLine::default();
        last.update_from(b"one\ntwo \n \n\n");
        assert_eq!(last.to_string(), "; its last output was \"two\"");
        last.update_from(b"\n");
        assert_eq!(last.to_string(), "; its last output was \"two\"");
    }
}
