//! Everything that is wrong, each with its place and what to do.

use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::keys;

/// Where something was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub(super) origin: Origin,
    /// The whole key, or the flag; empty where neither is to blame.
    pub(super) name: String,
}

/// Whence it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// A line of a file, counted from 1; 0 is the file itself.
    File(Rc<Path>, usize),
    /// The command line.
    Flags,
}

impl Place {
    /// A flag, with its dashes; empty: the command line as a whole.
    pub fn flag(name: &str) -> Self {
        Self { origin: Origin::Flags, name: name.to_owned() }
    }

    /// A file as a whole.
    pub(super) fn file(path: &Path) -> Self {
        Self { origin: Origin::File(path.into(), 0), name: String::new() }
    }

    /// What one has to write here to mean this key of a service (`idle.stop`): the key, or its flag.
    pub(super) fn call(&self, path: &str) -> String {
        match self.origin {
            Origin::Flags => keys::find(path).and_then(|key| key.flag).unwrap_or(path).to_owned(),
            Origin::File(..) => path.to_owned(),
        }
    }

    /// What one has to write here to give this key of a service this value, which is in TOML.
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

    /// Whether it is a file as a whole.
    pub(super) fn is_file(&self) -> bool {
        matches!(self.origin, Origin::File(_, 0))
    }

    /// Whether it is on the command line.
    pub(super) fn is_flag(&self) -> bool {
        self.origin == Origin::Flags
    }
}

impl fmt::Display for Place {
    /// The place without the key: for a text that names it from elsewhere.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::File(path, 0) => write!(f, "{}", path.display()),
            Origin::File(path, line) => write!(f, "{}:{line}", path.display()),
            Origin::Flags => f.write_str(&self.name),
        }
    }
}

/// Something that is wrong, or that somebody should look at. Its `Display` is a line for a person:
/// `FILE:LINE: KEY: what is wrong; what to do`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub(super) place: Place,
    pub(super) message: String,
    /// It blames an absence, of which a file that is not read to its end proves nothing.
    pub(super) absence: bool,
}

impl Problem {
    /// A problem at this place.
    pub fn new(place: Place, message: impl Into<String>) -> Self {
        Self { place, message: message.into(), absence: false }
    }

    /// The file, if it is in one.
    pub fn file(&self) -> Option<PathBuf> {
        match &self.place.origin {
            Origin::File(path, _) => Some(path.to_path_buf()),
            Origin::Flags => None,
        }
    }

    /// The line, counted from 1, if it is in one.
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
        if *origin != Origin::Flags {
            write!(f, "{}: ", self.place)?;
        }
        if !name.is_empty() {
            write!(f, "{name}: ")?;
        }
        // Whatever it repeats of the file, it stays a line and leaves the terminal alone.
        self.message.chars().try_for_each(|c| {
            if c.is_control() { write!(f, "{}", c.escape_debug()) } else { write!(f, "{c}") }
        })
    }
}

/// Collects what is wrong while the rest is read on.
#[derive(Debug, Default)]
pub struct Report {
    /// Problems with which nothing can start.
    pub errors: Vec<Problem>,
    /// Problems that an administrator should look at.
    pub warnings: Vec<Problem>,
}

impl Report {
    /// Something with which nothing can start.
    pub fn error(&mut self, place: &Place, message: impl Into<String>) {
        self.errors.push(Problem::new(place.clone(), message));
    }

    /// Something that has to be there and is not.
    pub(super) fn absence(&mut self, place: &Place, message: impl Into<String>) {
        self.errors.push(Problem { absence: true, ..Problem::new(place.clone(), message) });
    }

    /// Something that somebody should look at.
    pub(super) fn warning(&mut self, place: &Place, message: impl Into<String>) {
        self.warnings.push(Problem::new(place.clone(), message));
    }
}
