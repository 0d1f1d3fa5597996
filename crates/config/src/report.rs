//! Problems of a configuration, each with its place and the remedy.

use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use dormouse_log::Escaped;

use super::keys;

/// A place in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub(super) origin: Origin,
    /// The full key, or the flag; empty if the problem has neither.
    pub(super) name: String,
}

/// The origin of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// A line of a file, counted from 1; 0 is the file itself.
    File(Rc<Path>, usize),
    /// The command line.
    Flags,
}

impl Place {
    /// Returns the place of a flag, given with its dashes; empty: the whole command line.
    pub fn flag(name: &str) -> Self {
        Self { origin: Origin::Flags, name: name.to_owned() }
    }

    /// Returns the place of a whole file.
    pub(super) fn file(path: &Path) -> Self {
        Self { origin: Origin::File(path.into(), 0), name: String::new() }
    }

    /// Returns the name of a key of a service (`idle.stop`) here: the key, or its flag.
    pub(super) fn call(&self, path: &str) -> String {
        match self.origin {
            Origin::Flags => keys::find(path).and_then(|key| key.flag).unwrap_or(path).to_owned(),
            Origin::File(..) => path.to_owned(),
        }
    }

    /// Returns the text that sets a key of a service here to this value, which is in TOML.
    pub(super) fn write(&self, path: &str, value: &str) -> String {
        match self.origin {
            Origin::Flags => {
                let plain =
                    value.trim_matches(['[', ']', '{', '}', ' ']).trim_matches('"').replace("\", \"", ",");
                let quote = if plain.contains([' ', '*']) { "'" } else { "" };
                format!("{}={quote}{plain}{quote}", self.call(path))
            }
            Origin::File(..) => format!("{path} = {value}"),
        }
    }

    /// Returns whether the place is a whole file.
    pub(super) fn is_file(&self) -> bool {
        matches!(self.origin, Origin::File(_, 0))
    }

    /// Returns whether the place is on the command line.
    pub(super) fn is_flag(&self) -> bool {
        self.origin == Origin::Flags
    }
}

impl fmt::Display for Place {
    /// Writes the place without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::File(path, 0) => write!(f, "{}", path.display()),
            Origin::File(path, line) => write!(f, "{}:{line}", path.display()),
            Origin::Flags => f.write_str(&self.name),
        }
    }
}

/// An error or a warning. Its `Display` is one line: `FILE:LINE: KEY: problem; remedy`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub(super) place: Place,
    pub(super) message: String,
    /// The key that is missing, which is uncertain if a part of the file could not be read.
    pub(super) absent: Option<String>,
}

impl Problem {
    /// Returns a problem at this place.
    pub fn new(place: Place, message: impl Into<String>) -> Self {
        Self { place, message: message.into(), absent: None }
    }

    /// Returns the file, if the problem is in one.
    pub fn file(&self) -> Option<PathBuf> {
        match &self.place.origin {
            Origin::File(path, _) => Some(path.to_path_buf()),
            Origin::Flags => None,
        }
    }

    /// Returns the line, counted from 1, if the problem is in one.
    pub fn line(&self) -> Option<usize> {
        match self.place.origin {
            Origin::File(_, line) => Some(line).filter(|line| *line > 0),
            Origin::Flags => None,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { origin, name } = &self.place;
        let file = if *origin == Origin::Flags { String::new() } else { format!("{}: ", self.place) };
        let separator = if name.is_empty() { "" } else { ": " };
        // Text of the file and its name must not start another line or change the terminal.
        write!(f, "{}", Escaped(format_args!("{file}{name}{separator}{}", self.message)))
    }
}

/// The problems found so far.
#[derive(Debug, Default)]
pub struct Report {
    /// Problems that prevent a start.
    pub errors: Vec<Problem>,
    /// Problems that do not prevent a start.
    pub warnings: Vec<Problem>,
    /// The keys that unknown keys resemble.
    pub(super) meant: Vec<String>,
}

impl Report {
    /// Adds an error.
    pub fn error(&mut self, place: &Place, message: impl Into<String>) {
        self.errors.push(Problem::new(place.clone(), message));
    }

    /// Adds an error about a key that is missing.
    pub(super) fn absence(&mut self, key: &str, place: &Place, message: impl Into<String>) {
        self.errors.push(Problem { absent: Some(key.to_owned()), ..Problem::new(place.clone(), message) });
    }

    /// Adds the problems of a part, without the absence of keys that its unknown keys resemble.
    pub(super) fn append(&mut self, part: Self) {
        let Self { errors, warnings, meant } = part;
        let is_meant = |absent: &str| {
            let within = |meant: &str| {
                meant
                    .strip_prefix(absent)
                    .is_some_and(|rest| matches!(rest.bytes().next(), None | Some(b'.')))
            };
            meant.iter().any(|meant| within(meant))
        };
        self.errors
            .extend(errors.into_iter().filter(|problem| !problem.absent.as_deref().is_some_and(is_meant)));
        self.warnings.extend(warnings);
    }

    /// Adds a warning.
    pub(super) fn warning(&mut self, place: &Place, message: impl Into<String>) {
        self.warnings.push(Problem::new(place.clone(), message));
    }
}
