//! Findings: the lines that are not converted, and notes on lines that dormouse handles differently.

use std::fmt;

/// A line of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Statement {
    /// The line number, counted from 1.
    pub(crate) line: usize,
    /// The text of the line, without surrounding white space.
    pub(crate) text: String,
    /// The words of the line, with quotes and variables resolved.
    pub(crate) words: Vec<String>,
}

impl Statement {
    /// Returns the word at this index, or an empty string.
    pub(crate) fn word(&self, index: usize) -> &str {
        self.words.get(index).map_or("", String::as_str)
    }

    /// Returns the words from this index on.
    pub(crate) fn from(&self, index: usize) -> &[String] {
        self.words.get(index..).unwrap_or_default()
    }
}

/// What the converter does with a keyword or parameter that dormouse has no equivalent for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disposition {
    /// Dormouse needs no equivalent.
    Ignore,
    /// Dormouse handles it differently, for this reason.
    Note(&'static str),
    /// It is omitted; the rest of its line is converted.
    Omit(&'static str),
    /// The whole line is omitted, because it would mean something else without this parameter.
    Reject(&'static str),
}

/// Whether a finding reports a loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FindingKind {
    /// The line, or a part of it, was not converted.
    Omitted,
    /// Nothing is lost, but dormouse handles the line differently.
    Note,
}

/// A message about one line or one section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Whether the finding reports a loss.
    pub kind: FindingKind,
    /// The first line, counted from 1; 0 means the whole file.
    pub line: usize,
    /// The last line. It equals `line` unless the finding is about a section.
    pub last_line: usize,
    /// The text of the first line.
    pub text: String,
    /// The reason, and what to do instead.
    pub reason: String,
}

impl Finding {
    /// Returns `FILE:LINE: text: reason`, always on one line.
    pub fn display<'a>(&'a self, file: &'a str) -> impl fmt::Display + 'a {
        FindingDisplay { finding: self, file }
    }
}

struct FindingDisplay<'a> {
    finding: &'a Finding,
    file: &'a str,
}

impl fmt::Display for FindingDisplay<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding { line, last_line, text, reason, .. } = self.finding;
        write!(f, "{}", OneLine(self.file))?;
        if *line > 0 {
            write!(f, ":{line}")?;
        }
        if last_line > line {
            write!(f, "-{last_line}")?;
        }
        if !text.is_empty() {
            write!(f, ": {}", OneLine(text))?;
        }
        write!(f, ": {}", OneLine(reason))
    }
}

/// The text is not an `HAProxy` configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// The line number, counted from 1; 0 means the whole file.
    pub(crate) line: usize,
    pub(crate) reason: String,
}

impl ParseError {
    /// Returns `FILE:LINE: reason`.
    pub fn display(&self, file: &str) -> String {
        match self.line {
            0 => format!("{}: {}", OneLine(file), self.reason),
            line => format!("{}:{line}: {}", OneLine(file), self.reason),
        }
    }
}

/// Displays a text on one line, shortened and with control characters escaped.
pub(crate) struct OneLine<'a>(pub(crate) &'a str);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MAX_CHARS: usize = 300;
        for (index, c) in self.0.chars().enumerate() {
            if index == MAX_CHARS {
                return write!(f, "…");
            }
            match c {
                '\t' => write!(f, " ")?,
                c if c.is_control() => write!(f, "{}", c.escape_debug())?,
                c => write!(f, "{c}")?,
            }
        }
        Ok(())
    }
}

/// Collects findings.
#[derive(Debug, Default)]
pub(crate) struct Report {
    findings: Vec<Finding>,
}

impl Report {
    /// Reports that the line, or a part of it, is not converted.
    pub(crate) fn omit(&mut self, statement: &Statement, reason: impl Into<String>) {
        self.add(FindingKind::Omitted, statement, statement.line, reason.into());
    }

    /// Reports that the section that begins with this line is not converted.
    pub(crate) fn omit_section(&mut self, head: &Statement, last_line: usize, reason: impl Into<String>) {
        self.add(FindingKind::Omitted, head, last_line, reason.into());
    }

    /// Reports that dormouse handles the line differently.
    pub(crate) fn note(&mut self, statement: &Statement, reason: impl Into<String>) {
        self.add(FindingKind::Note, statement, statement.line, reason.into());
    }

    /// Reports that dormouse handles the section that begins with this line differently.
    pub(crate) fn note_section(&mut self, head: &Statement, last_line: usize, reason: impl Into<String>) {
        self.add(FindingKind::Note, head, last_line, reason.into());
    }

    /// Reports a line whose keyword has no equivalent.
    pub(crate) fn apply(&mut self, statement: &Statement, disposition: Disposition) {
        match disposition {
            Disposition::Ignore => {}
            Disposition::Note(reason) => self.note(statement, reason),
            Disposition::Omit(reason) | Disposition::Reject(reason) => self.omit(statement, reason),
        }
    }

    fn add(&mut self, kind: FindingKind, statement: &Statement, last_line: usize, reason: String) {
        let finding = Finding { kind, line: statement.line, last_line, text: statement.text.clone(), reason };
        // Several frontends can report the same backend line.
        if !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }

    /// Adds the findings of another report.
    pub(crate) fn append(&mut self, other: Self) {
        self.findings.extend(other.findings);
    }

    /// Returns the findings in the order of the lines, without duplicates.
    pub(crate) fn sorted(mut self) -> Vec<Finding> {
        self.findings.sort_by_key(|finding| (finding.line, finding.kind));
        self.findings.dedup();
        self.findings
    }
}
