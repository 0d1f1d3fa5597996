//! What is told of the lines: each that could not be taken over, and what somebody should know of others.

use std::fmt;

/// A line of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement {
    /// Counted from 1.
    pub(super) line: usize,
    /// As it is written, without the space around it.
    pub(super) text: String,
    pub(super) words: Vec<String>,
}

impl Statement {
    /// The word at this place, or nothing.
    pub(super) fn word(&self, at: usize) -> &str {
        self.words.get(at).map_or("", String::as_str)
    }

    /// The words from this place on.
    pub(super) fn from(&self, at: usize) -> &[String] {
        self.words.get(at..).unwrap_or_default()
    }
}

/// Whether something is missing in the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// It was not taken over.
    Left,
    /// It was, or needs not be; but somebody should know.
    Note,
}

/// Something to be told of one line, or of a whole section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Whether something is missing.
    pub kind: Kind,
    /// The line, counted from 1; 0 is the file as a whole.
    pub line: usize,
    /// The last line that is meant; the same unless it is a section.
    pub last: usize,
    /// The line as it is written.
    pub text: String,
    /// Why, and what to do instead.
    pub why: String,
}

impl Finding {
    /// `FILE:LINE: line: why`, on one line whatever the file contains.
    pub fn shown<'a>(&'a self, file: &'a str) -> impl fmt::Display + 'a {
        Shown { finding: self, file }
    }
}

struct Shown<'a> {
    finding: &'a Finding,
    file: &'a str,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding { line, last, text, why, .. } = self.finding;
        write!(f, "{}", Plain(self.file))?;
        if *line > 0 {
            write!(f, ":{line}")?;
        }
        if last > line {
            write!(f, "-{last}")?;
        }
        if !text.is_empty() {
            write!(f, ": {}", Plain(text))?;
        }
        write!(f, ": {}", Plain(why))
    }
}

/// A text that stays on its line and leaves the terminal alone.
pub(super) struct Plain<'a>(pub(super) &'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LONGEST: usize = 300;
        for (number, letter) in self.0.chars().enumerate() {
            if number == LONGEST {
                return write!(f, "…");
            }
            // Tabs are control characters that harm nobody, but one space says as much.
            match letter {
                '\t' => write!(f, " ")?,
                letter if letter.is_control() => write!(f, "{}", letter.escape_debug())?,
                letter => write!(f, "{letter}")?,
            }
        }
        Ok(())
    }
}

/// Collects what is told.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) findings: Vec<Finding>,
}

impl Report {
    /// The line could not be taken over, or not all of it.
    pub(super) fn left(&mut self, statement: &Statement, why: impl Into<String>) {
        self.add(Kind::Left, statement, statement.line, why.into());
    }

    /// The section that begins with this line could not be taken over.
    pub(super) fn left_section(&mut self, statement: &Statement, last: usize, why: impl Into<String>) {
        self.add(Kind::Left, statement, last, why.into());
    }

    /// The line was taken over or needs not be, and somebody should know this.
    pub(super) fn note(&mut self, statement: &Statement, why: impl Into<String>) {
        self.add(Kind::Note, statement, statement.line, why.into());
    }

    /// The same of a whole section.
    pub(super) fn note_section(&mut self, statement: &Statement, last: usize, why: impl Into<String>) {
        self.add(Kind::Note, statement, last, why.into());
    }

    fn add(&mut self, kind: Kind, statement: &Statement, last: usize, why: String) {
        let finding = Finding { kind, line: statement.line, last, text: statement.text.clone(), why };
        // One frontend after the other may come to the same conclusion about a line.
        if !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }

    pub(super) fn append(&mut self, other: Self) {
        self.findings.extend(other.findings);
    }

    /// In the order of the lines.
    pub(super) fn sorted(mut self) -> Vec<Finding> {
        self.findings.sort_by_key(|finding| (finding.line, finding.kind));
        self.findings.dedup();
        self.findings
    }
}
