//! Problems of a configuration, each with its place and the remedy.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use dormouse_log::Escaped;

use super::spelling::Spelling;

/// A place in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub(super) origin: Origin,
    /// The full key, or the flag; empty if the problem has neither.
    pub(super) name: KeyPath,
}

/// The names of a key and of the tables that it is in. Each key of a table refers to the table, so that the memory for
/// all of them grows with the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct KeyPath(Option<Rc<(KeyPath, String)>>);

impl KeyPath {
    /// Returns a key in the table of this name.
    pub(super) fn child(self, name: String) -> Self {
        Self(Some(Rc::new((self, name))))
    }

    fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((table, name)) = self.0.as_deref() else { return Ok(()) };
        if table.is_empty() { f.write_str(name) } else { write!(f, "{table}.{name}") }
    }
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
        let path = KeyPath::default();
        Self { origin: Origin::Flags, name: if name.is_empty() { path } else { path.child(name.to_owned()) } }
    }

    /// Returns the place of a whole file.
    pub(super) fn file(path: &Path) -> Self {
        Self { origin: Origin::File(path.into(), 0), name: KeyPath::default() }
    }

    /// Returns how settings are named here.
    pub(super) fn spelling(&self) -> Spelling {
        match self.origin {
            Origin::Flags => Spelling::Flags,
            Origin::File(..) => Spelling::Keys,
        }
    }

    /// Returns the name of a key of a service (`idle.stop`) here: the key, or its flag.
    pub(super) fn call(&self, path: &str) -> String {
        self.spelling().call(path)
    }

    /// Returns the text that sets a key of a service here to this value, which is in TOML.
    pub(super) fn write(&self, path: &str, value: &str) -> String {
        self.spelling().write(path, value)
    }

    /// Returns whether the place is a whole file.
    pub(super) fn is_file(&self) -> bool {
        matches!(self.origin, Origin::File(_, 0))
    }

    /// Returns the line, counted from 1, if the place is in one.
    pub(super) fn line(&self) -> Option<usize> {
        match self.origin {
            Origin::File(_, line) => Some(line).filter(|line| *line > 0),
            Origin::Flags => None,
        }
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
            Origin::Flags => self.name.fmt(f),
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
        self.place.line()
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

/// The largest number of errors, and of warnings, that are reported. Further ones are counted.
pub const MOST_PROBLEMS: usize = 100;

/// Problems of one kind.
#[derive(Debug)]
pub struct Problems {
    kept: Vec<Problem>,
    /// The largest number of problems that are kept.
    room: usize,
    /// The number of further problems.
    more: usize,
}

impl Default for Problems {
    fn default() -> Self {
        Self { kept: Vec::new(), room: MOST_PROBLEMS, more: 0 }
    }
}

impl Problems {
    /// Returns an empty list that keeps no more problems than this list still can.
    fn part(&self) -> Self {
        Self { room: self.room.saturating_sub(self.kept.len()), ..Self::default() }
    }

    fn push(&mut self, problem: impl FnOnce() -> Problem) {
        if self.kept.len() < self.room {
            self.kept.push(problem());
        } else {
            self.more += 1;
        }
    }

    /// Adds the problems of another list, which come later.
    pub fn append(&mut self, other: Self) {
        for problem in other.kept {
            self.push(|| problem);
        }
        self.more += other.more;
    }

    /// Keeps the problems for which the closure returns true, of those that are reported.
    pub(super) fn retain(&mut self, keep: impl FnMut(&Problem) -> bool) {
        self.kept.retain(keep);
    }

    /// Returns whether there is no problem.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the number of problems.
    pub fn len(&self) -> usize {
        self.kept.len() + self.more
    }

    /// Returns the problems by file and line, each once, and a last one that names the number of further problems. `what` is
    /// their name, such as "errors".
    pub fn in_order(self, what: &str) -> Vec<Problem> {
        let Self { mut kept, more, .. } = self;
        let mut files: Vec<Option<PathBuf>> = Vec::new();
        for problem in &kept {
            let file = problem.file();
            if !files.contains(&file) {
                files.push(file);
            }
        }
        let rank = |problem: &Problem| files.iter().position(|file| *file == problem.file());
        kept.sort_by_key(|problem| (rank(problem), problem.line()));
        let mut seen: Vec<Problem> = Vec::new();
        kept.retain(|problem| {
            let is_new = !seen.contains(problem);
            if is_new {
                seen.push(problem.clone());
            }
            is_new
        });
        if more > 0 {
            kept.push(Problem::new(Place::flag(""), format!("{more} more {what}; correct these first")));
        }
        kept
    }
}

/// The problems found so far.
#[derive(Debug, Default)]
pub struct Report {
    /// Problems that prevent a start.
    pub errors: Problems,
    /// Problems that do not prevent a start.
    pub warnings: Problems,
    /// The keys that unknown keys resemble.
    meant: Vec<String>,
    /// The lines of the file that the parser could not read. Errors that may follow from them are not reported.
    broken: Rc<BTreeSet<usize>>,
}

impl Report {
    /// Returns an empty report on a file of which the parser could not read these lines, and has reported them.
    pub(super) fn beside(broken: BTreeSet<usize>) -> Self {
        Self { broken: Rc::new(broken), ..Self::default() }
    }

    /// Returns an empty report on a part of the same file. [`Self::append`] adds its problems.
    pub(super) fn part(&self) -> Self {
        let (errors, warnings) = (self.errors.part(), self.warnings.part());
        Self { errors, warnings, broken: Rc::clone(&self.broken), ..Self::default() }
    }

    /// Adds an error.
    pub fn error(&mut self, place: &Place, message: impl Into<String>) {
        self.error_with(place, || message.into());
    }

    /// Adds an error whose message takes time to write: it is written only if it is reported.
    pub(super) fn error_with(&mut self, place: &Place, message: impl FnOnce() -> String) {
        if place.line().is_none_or(|line| !self.broken.contains(&line)) {
            self.errors.push(|| Problem::new(place.clone(), message()));
        }
    }

    /// Adds an error about an unknown key. The closure returns the message, and the key that was probably meant. It takes
    /// time, and runs only if the error is reported.
    pub(super) fn unknown_key(&mut self, place: &Place, describe: impl FnOnce() -> (String, Option<String>)) {
        let mut meant = None;
        self.error_with(place, || {
            let (message, key) = describe();
            meant = key;
            message
        });
        self.meant.extend(meant);
    }

    /// Adds an error about keys in the wrong place. Their absence in the right one follows from it.
    pub(super) fn misplaced(
        &mut self,
        place: &Place,
        message: String,
        keys: impl IntoIterator<Item = String>,
    ) {
        self.error(place, message);
        self.meant.extend(keys);
    }

    /// Adds an error about a key that is missing.
    pub(super) fn absence(&mut self, key: &str, place: &Place, message: impl Into<String>) {
        if self.broken.is_empty() {
            let absent = Some(key.to_owned());
            self.errors.push(|| Problem { absent, ..Problem::new(place.clone(), message) });
        }
    }

    /// Adds a warning about a key that is missing.
    pub(super) fn absence_warning(&mut self, key: &str, place: &Place, message: impl Into<String>) {
        let absent = Some(key.to_owned());
        self.warnings.push(|| Problem { absent, ..Problem::new(place.clone(), message) });
    }

    /// Adds a warning.
    pub fn warning(&mut self, place: &Place, message: impl Into<String>) {
        self.warnings.push(|| Problem::new(place.clone(), message));
    }

    /// Adds the problems of a part, without the absence of keys that its unknown keys resemble.
    pub(super) fn append(&mut self, part: Self) {
        let Self { mut errors, mut warnings, meant, .. } = part;
        let is_meant = |absent: &str| {
            let within = |meant: &str| {
                meant
                    .strip_prefix(absent)
                    .is_some_and(|rest| matches!(rest.bytes().next(), None | Some(b'.')))
            };
            meant.iter().any(|meant| within(meant))
        };
        for problems in [&mut errors, &mut warnings] {
            problems.retain(|problem| !problem.absent.as_deref().is_some_and(is_meant));
        }
        self.errors.append(errors);
        self.warnings.append(warnings);
    }
}
