//! Parameters that follow an address: single words, and words with a value.

use crate::report::{Disposition, Report, Statement};

/// A parameter without an equivalent: its name, the number of values that follow it, and what to do with it.
pub(crate) type UnsupportedParameter = (&'static str, usize, Disposition);

/// Iterates over the words of a line.
pub(crate) struct Parameters<'a> {
    pub(crate) statement: &'a Statement,
    rest: &'a [String],
}

impl<'a> Parameters<'a> {
    /// Starts at the word with this index.
    pub(crate) fn new(statement: &'a Statement, index: usize) -> Self {
        Self { statement, rest: statement.from(index) }
    }

    /// Returns the next word.
    pub(crate) fn next(&mut self) -> Option<&'a str> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    /// Returns the value of a parameter, read by `read`. Reports a value that is missing or invalid.
    pub(crate) fn value<T>(
        &mut self,
        name: &str,
        report: &mut Report,
        read: impl FnOnce(&'a str) -> Option<T>,
    ) -> Option<T> {
        let Some(text) = self.next() else {
            report.omit(self.statement, format!("{name} has no value; HAProxy rejects this line too"));
            return None;
        };
        let value = read(text);
        if value.is_none() {
            report.omit(self.statement, format!("invalid value for {name}: {text}"));
        }
        value
    }

    /// Returns the value of a parameter as it is written.
    pub(crate) fn text(&mut self, name: &str, report: &mut Report) -> Option<&'a str> {
        self.value(name, report, Some)
    }

    /// Skips the values of an unsupported parameter and reports it. Returns the reason if the whole line must be
    /// omitted. `object` names the kind of line in messages.
    pub(crate) fn unsupported(
        &mut self,
        word: &str,
        table: &[UnsupportedParameter],
        object: &str,
        report: &mut Report,
    ) -> Option<&'static str> {
        let Some((name, values, disposition)) = table.iter().find(|(name, ..)| *name == word) else {
            report.omit(self.statement, format!("unknown {object} parameter: {word}"));
            return None;
        };
        for _ in 0..*values {
            self.next();
        }
        match disposition {
            Disposition::Ignore => {}
            Disposition::Note(reason) => report.note(self.statement, format!("{name}: {reason}")),
            Disposition::Omit(reason) => {
                report.omit(self.statement, format!("{name} is not converted: {reason}"));
            }
            Disposition::Reject(reason) => return Some(reason),
        }
        None
    }
}
