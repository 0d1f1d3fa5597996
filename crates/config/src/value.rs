//! The fields of a table, and single values read from them. Each reader reports what is wrong and returns `None`.

use std::ffi::OsString;
use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use dormouse_core::number::parse_u32;
use dormouse_core::timespan::{TimeSpan, TimeSpanError};

use super::keys::Key;
use super::quote::quoted;
use super::report::{Place, Report};
use super::shell;
use super::suggest::nearest;
use super::tree::{Node, Value};

/// A table whose keys are known.
#[derive(Clone, Copy)]
pub(super) struct Section<'a> {
    pub(super) place: &'a Place,
    entries: &'a [(String, Node)],
    /// What the definitions call this table: `idle`; empty for a service.
    table: &'static str,
    keys: &'static [Key],
}

impl<'a> Section<'a> {
    /// Opens a table and reports the keys that are not known.
    pub(super) fn open(
        node: &'a Node,
        table: &'static str,
        keys: &'static [Key],
        report: &mut Report,
    ) -> Option<Self> {
        let Value::Table(entries) = &node.value else { return None };
        let known = || keys.iter().filter(|key| key.table() == table).map(Key::name);
        for (name, node) in entries.iter().filter(|(name, _)| !known().any(|known| known == name)) {
            let advice = match nearest(name, known()) {
                Some(meant) => format!("did you mean {meant}?"),
                None => elsewhere(name, keys)
                    .unwrap_or_else(|| format!("known here: {}", known().collect::<Vec<_>>().join(", "))),
            };
            report.error(&node.place, format!("unknown key; {advice}"));
        }
        Some(Self { place: &node.place, entries, table, keys })
    }

    /// The field with this name, if it is there.
    pub(super) fn get(&self, name: &str) -> Option<Field<'a>> {
        let key = self.keys.iter().find(|key| key.table() == self.table && key.name() == name)?;
        let (_, node) = self.entries.iter().find(|(found, _)| found == name)?;
        Some(Field { node, key })
    }
}

/// Says where the key belongs that stands in the wrong table.
fn elsewhere(name: &str, keys: &[Key]) -> Option<String> {
    let key = keys.iter().find(|key| key.name() == name)?;
    Some(match key.table() {
        "" => "it stands in the service itself".to_owned(),
        table => format!("it stands in the service's {table}: {table} = {{ {name} = {} }}", key.example),
    })
}

/// A value and what is known of its key.
#[derive(Clone, Copy)]
pub(super) struct Field<'a> {
    pub(super) node: &'a Node,
    pub(super) key: &'static Key,
}

impl<'a> Field<'a> {
    pub(super) fn place(&self) -> &'a Place {
        &self.node.place
    }

    /// Reports that the value is of another kind.
    pub(super) fn wrong_kind(&self, report: &mut Report) {
        let Key { takes, .. } = self.key;
        let found = match &self.node.value {
            Value::Text(text) => quoted(text),
            other => other.kind().to_owned(),
        };
        report.error(self.place(), format!("takes {takes}, not {found}; for example {}", self.example()));
    }

    /// Reports why this text is refused.
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

    /// A text that something else reads; its error says why it is refused.
    pub(super) fn parsed<T, E: fmt::Display>(
        &self,
        report: &mut Report,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.text(report)?;
        parse(text).map_err(|reason| self.refused(text, reason, report)).ok()
    }

    /// A span; a number is seconds.
    pub(super) fn span(&self, report: &mut Report) -> Option<TimeSpan> {
        match &self.node.value {
            Value::Text(_) => self.parsed(report, str::parse),
            // Read as a text is, which knows how long a span can be for clocks to bear it.
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

    /// A span that has an end.
    pub(super) fn duration(&self, report: &mut Report) -> Option<Duration> {
        let finite = self.span(report)?.finite();
        if finite.is_none() {
            report.error(self.place(), format!("needs an end; for example {}", self.example()));
        }
        finite
    }

    /// A number from 1 on.
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

    /// A number from 0 to the most there may be.
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

    /// One of some words.
    pub(super) fn choice<T: Copy>(&self, words: &[(&str, T)], report: &mut Report) -> Option<T> {
        let text = self.text(report)?;
        let chosen = words.iter().find(|(word, _)| *word == text);
        if chosen.is_none() {
            self.wrong_kind(report);
        }
        chosen.map(|(_, value)| *value)
    }

    /// The elements of a list; something else stands for a list of itself.
    pub(super) fn list(&self) -> Vec<Self> {
        match &self.node.value {
            Value::List(nodes) => nodes.iter().map(|node| Self { node, ..*self }).collect(),
            _ => vec![*self],
        }
    }

    /// A list of texts that something else reads, of which there has to be one.
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

    /// A command: one string to be split, or its words.
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
            report.error(self.place(), format!("names no program; for example {}", self.example()));
            return None;
        }
        if words.iter().any(|word| word.contains('\0')) {
            report.error(self.place(), "contains a zero byte, which no program can be given");
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
