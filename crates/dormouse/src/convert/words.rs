//! Parameters behind an address: single words, and words with a value.

use super::report::{Report, Statement};

/// What becomes of a word that has no counterpart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nothing has to be done for it here.
    Needless,
    /// It is done in another way, which somebody should know.
    Note(&'static str),
    /// It is left out; the rest of its line holds without it.
    Left(&'static str),
    /// The whole line would mean something else without it.
    Bars(&'static str),
}

/// A word that has no counterpart: its name, how many values follow it, and what becomes of it.
pub(super) type Fateful = (&'static str, usize, Fate);

/// Goes through the words of a line.
pub(super) struct Parameters<'a> {
    pub(super) statement: &'a Statement,
    rest: &'a [String],
}

impl<'a> Parameters<'a> {
    /// The words of the statement from this place on.
    pub(super) fn new(statement: &'a Statement, from: usize) -> Self {
        Self { statement, rest: statement.from(from) }
    }

    pub(super) fn next(&mut self) -> Option<&'a str> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    /// The value of a parameter, read by `read`; one that is missing or cannot be read is reported.
    pub(super) fn value<T>(
        &mut self,
        name: &str,
        report: &mut Report,
        read: impl FnOnce(&'a str) -> Option<T>,
    ) -> Option<T> {
        let Some(value) = self.next() else {
            report.left(self.statement, format!("{name} has no value; HAProxy refuses this line, too"));
            return None;
        };
        let read = read(value);
        if read.is_none() {
            report.left(self.statement, format!("{name} {value} is not what {name} takes"));
        }
        read
    }

    pub(super) fn text(&mut self, name: &str, report: &mut Report) -> Option<&'a str> {
        self.value(name, report, Some)
    }

    /// Looks the word up among those without a counterpart and does what is said there. Returns why the line cannot be
    /// taken over at all, if so.
    pub(super) fn fate(
        &mut self,
        word: &str,
        of: &[Fateful],
        what: &str,
        report: &mut Report,
    ) -> Option<&'static str> {
        let Some((name, values, fate)) = of.iter().find(|(name, ..)| *name == word) else {
            report.left(self.statement, format!("{word} is no parameter of a {what} that is known here"));
            return None;
        };
        for _ in 0..*values {
            self.next();
        }
        match fate {
            Fate::Needless => {}
            Fate::Note(why) => report.note(self.statement, format!("{name}: {why}")),
            Fate::Left(why) => report.left(self.statement, format!("{name} is left out: {why}")),
            Fate::Bars(why) => return Some(why),
        }
        None
    }
}
