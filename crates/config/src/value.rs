//! The fields of a table, and readers of single values. Each reader reports an error and returns `None`.

use std::ffi::OsString;
use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use dormouse_core::number::parse_u32;
use dormouse_core::timespan::{TimeSpan, TimeSpanError};

use super::keys::{Key, TOP};
use super::quote::quoted;
use super::report::{Place, Report};
use super::shell;
use super::suggest::{nearest, nearest_choice, nearest_span};
use super::synonyms;
use super::tree::{Node, Value};

/// A table with the definitions of its keys.
#[derive(Clone, Copy)]
pub(super) struct Section<'a> {
    pub(super) place: &'a Place,
    entries: &'a [(String, Node)],
    /// The path of the table in the definitions: `idle`; empty for a service.
    table: &'static str,
    keys: &'static [Key],
}

impl<'a> Section<'a> {
    /// Opens a table and reports its unknown keys.
    pub(super) fn open(
        node: &'a Node,
        table: &'static str,
        keys: &'static [Key],
        report: &mut Report,
    ) -> Option<Self> {
        let Value::Table(entries) = &node.value else { return None };
        let known = || keys.iter().filter(|key| key.table() == table).map(Key::name);
        for (name, node) in entries.iter().filter(|(name, _)| !known().any(|known| known == name)) {
            report.unknown_key(&node.place, || {
                let meant = meant(name, table, keys);
                let advice = meant.map_or_else(
                    || format!("valid keys: {}", known().collect::<Vec<_>>().join(", ")),
                    |key| where_to_write(key, name, table, keys),
                );
                (format!("unknown key; {advice}"), meant.map(|key| key.path.to_owned()))
            });
        }
        Some(Self { place: &node.place, entries, table, keys })
    }

    /// Returns the field with this name, if it is set.
    pub(super) fn get(&self, name: &str) -> Option<Field<'a>> {
        let key = self.keys.iter().find(|key| key.table() == self.table && key.name() == name)?;
        let (_, node) = self.entries.iter().find(|(found, _)| found == name)?;
        Some(Field { node, key })
    }
}

/// Returns the key that was probably meant by an unknown key in a table.
fn meant(name: &str, table: &str, keys: &'static [Key]) -> Option<&'static Key> {
    let in_table = || keys.iter().filter(|key| key.table() == table);
    let of_the_file = |name: &str| TOP.iter().find(|key| key.path == name);
    let misspelt = || nearest(name, in_table().map(Key::name));
    let of_another_table = || keys.iter().find(|key| key.name() == name);
    let misspelt_of_the_file = || nearest(name, TOP.iter().map(|key| key.path));
    of_the_file(name)
        .or_else(|| misspelt().and_then(|meant| in_table().find(|key| key.name() == meant)))
        .or_else(|| synonyms::find(name))
        .or_else(of_another_table)
        .or_else(|| misspelt_of_the_file().and_then(of_the_file))
}

/// Returns how to write this key in place of an unknown one in a table.
fn where_to_write(key: &Key, name: &str, table: &str, keys: &[Key]) -> String {
    let (known, example) = (key.name(), key.example);
    if key.table() == table && keys.contains(key) {
        return format!("did you mean {known}?");
    }
    let begin =
        if name == known { "it belongs".to_owned() } else { format!("did you mean {known}? It belongs") };
    match key.table() {
        "" if TOP.contains(key) => format!("{begin} above the first [services…] table"),
        "" => format!("{begin} in the service itself"),
        table => format!("{begin} in the table {table}: {table} = {{ {known} = {example} }}"),
    }
}

/// A value and the definition of its key.
#[derive(Clone, Copy)]
pub(super) struct Field<'a> {
    pub(super) node: &'a Node,
    pub(super) key: &'static Key,
}

impl<'a> Field<'a> {
    pub(super) fn place(&self) -> &'a Place {
        &self.node.place
    }

    /// Reports that the value is of the wrong kind.
    pub(super) fn wrong_kind(&self, report: &mut Report) {
        let Key { takes, .. } = self.key;
        let found = match &self.node.value {
            Value::Text(text) => quoted(text),
            other => other.kind().to_owned(),
        };
        report.error(self.place(), format!("takes {takes}, not {found}; for example {}", self.example()));
    }

    /// Reports that a word was probably meant.
    fn misspelt(&self, text: &str, meant: &str, report: &mut Report) {
        let (takes, found) = (self.key.takes, quoted(text));
        let quote = if self.place().is_flag() { "" } else { "\"" };
        report
            .error(self.place(), format!("takes {takes}, not {found}; did you mean {quote}{meant}{quote}?"));
    }

    /// Reports why this text is not valid.
    fn refused(&self, text: &str, reason: impl fmt::Display, report: &mut Report) {
        report.error(self.place(), format!("{}: {reason}", quoted(text)));
    }

    fn example(&self) -> String {
        let Key { path, example, .. } = self.key;
        if self.place().is_flag() {
            self.place().write(path, example)
        } else {
            format!("{} = {example}", self.key.name())
        }
    }

    pub(super) fn text(&self, report: &mut Report) -> Option<&'a str> {
        if let Value::Text(text) = &self.node.value {
            return Some(text);
        }
        self.wrong_kind(report);
        None
    }

    /// Reads a string with `parse`, whose error is the reason to report.
    pub(super) fn parsed<T, E: fmt::Display>(
        &self,
        report: &mut Report,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.text(report)?;
        parse(text).map_err(|reason| self.refused(text, reason, report)).ok()
    }

    /// Reads a time span; a number is in seconds.
    pub(super) fn span(&self, report: &mut Report) -> Option<TimeSpan> {
        match &self.node.value {
            Value::Text(_) => self.parsed(report, |text| {
                text.parse().map_err(|reason: TimeSpanError| match nearest_span(text) {
                    Some(meant) => format!("not a time span; did you mean {meant}?"),
                    None => reason.to_string(),
                })
            }),
            // Parsed like a string, because the parser checks the limit of a time span.
            Value::Integer(Some(seconds @ 0..)) => {
                let text = seconds.to_string();
                text.parse().map_err(|reason: TimeSpanError| self.refused(&text, reason, report)).ok()
            }
            Value::Integer(Some(..0)) => {
                let message =
                    format!("takes a time span, not a negative number; for example {}", self.example());
                report.error(self.place(), message);
                None
            }
            _ => {
                self.wrong_kind(report);
                None
            }
        }
    }

    /// Reads a finite time span.
    pub(super) fn duration(&self, report: &mut Report) -> Option<Duration> {
        let finite = self.span(report)?.finite();
        if finite.is_none() {
            report.error(self.place(), format!("must be finite; for example {}", self.example()));
        }
        finite
    }

    /// Reads a number from 1.
    pub(super) fn count(&self, report: &mut Report) -> Option<NonZeroU32> {
        let number = match &self.node.value {
            Value::Integer(number) => number.and_then(|number| u32::try_from(number).ok()),
            Value::Text(text) if self.place().is_flag() => parse_u32(text).ok(),
            _ => {
                self.wrong_kind(report);
                return None;
            }
        };
        let count = number.and_then(NonZeroU32::new);
        if count.is_none() {
            report.error(
                self.place(),
                format!("takes a number from 1 to {}; for example {}", u32::MAX, self.example()),
            );
        }
        count
    }

    /// Reads a number from 0 to `most`.
    pub(super) fn number(&self, most: u32, report: &mut Report) -> Option<u32> {
        let Value::Integer(number) = &self.node.value else {
            self.wrong_kind(report);
            return None;
        };
        let number = number.and_then(|number| u32::try_from(number).ok()).filter(|number| *number <= most);
        if number.is_none() {
            let message = format!("takes a number from 0 to {most}; for example {}", self.example());
            report.error(self.place(), message);
        }
        number
    }

    pub(super) fn switch(&self, report: &mut Report) -> Option<bool> {
        if let Value::Switch(on) = self.node.value {
            return Some(on);
        }
        self.wrong_kind(report);
        None
    }

    /// Reads one of some words.
    pub(super) fn choice<T: Copy>(&self, words: &[(&str, T)], report: &mut Report) -> Option<T> {
        let text = self.text(report)?;
        let chosen = words.iter().find(|(word, _)| *word == text);
        if chosen.is_none() {
            match nearest_choice(text, words.iter().map(|(word, _)| *word)) {
                Some(meant) => self.misspelt(text, meant, report),
                None => self.wrong_kind(report),
            }
        }
        chosen.map(|(_, value)| *value)
    }

    /// Returns the elements of a list; another value is a list of one element.
    pub(super) fn list(&self) -> Vec<Self> {
        match &self.node.value {
            Value::List(nodes) => nodes.iter().map(|node| Self { node, ..*self }).collect(),
            _ => vec![*self],
        }
    }

    /// Reads a list of at least one string with `parse`.
    pub(super) fn several<T, E: fmt::Display>(
        &self,
        report: &mut Report,
        mut parse: impl FnMut(&str) -> Result<T, E>,
    ) -> Vec<T> {
        let elements = self.list();
        if elements.is_empty() {
            report.error(self.place(), format!("is empty; for example {}", self.example()));
        }
        elements.iter().filter_map(|element| element.parsed(report, &mut parse)).collect()
    }

    pub(super) fn absolute_path(&self, report: &mut Report) -> Option<PathBuf> {
        self.parsed(report, absolute_path)
    }

    /// Reads a command: a string that is split, or a list of words.
    pub(super) fn command(&self, report: &mut Report) -> Option<Vec<OsString>> {
        let words = match &self.node.value {
            Value::Text(text) => {
                shell::split(text).map_err(|reason| self.refused(text, reason, report)).ok()?
            }
            Value::List(_) => {
                let before = report.errors.len();
                let words: Vec<_> = self
                    .list()
                    .iter()
                    .filter_map(|element| element.text(report).map(str::to_owned))
                    .collect();
                if report.errors.len() > before {
                    return None;
                }
                words
            }
            _ => {
                self.wrong_kind(report);
                return None;
            }
        };
        if words.first().is_none_or(String::is_empty) {
            report.error(self.place(), format!("does not name a program; for example {}", self.example()));
            return None;
        }
        if words.iter().any(|word| word.contains('\0')) {
            report.error(self.place(), "contains a zero byte, which cannot be passed to a program");
            return None;
        }
        Some(words.into_iter().map(Into::into).collect())
    }
}

pub(super) fn absolute_path(text: &str) -> Result<PathBuf, &'static str> {
    if text.contains('\0') {
        Err("a path contains no zero byte")
    } else if text.starts_with('/') {
        Ok(text.into())
    } else {
        Err("not an absolute path; begin it with /")
    }
}
