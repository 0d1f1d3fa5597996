//! The files of the configuration.

mod deadline;
#[cfg(test)]
mod tests;

use std::ffi::OsStr;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use dormouse_sys::directory::Writer;
use dormouse_sys::regular_file::{FileError, RegularFile};
use dormouse_sys::users::user_name;
use rustix::fs::stat;

use self::deadline::{Current, Overdue, Patience, within};
use super::report::{Place, Report};
use super::{Environment, ReadResult, Source, read_into};

/// The default file, which is read together with `services.d/*.toml` beside it.
pub const DEFAULT: &str = "/etc/dormouse/dormouse.toml";
/// The directory with the files of single services, beside the default file.
const DIRECTORY: &str = "services.d";
/// The largest size in bytes: a larger file is not a configuration.
const LARGEST: u64 = 1 << 20;

/// Reads this file, or the default file and the files of single services beside it, in the order of their names. A file
/// in a directory `services.d` may consist of the keys of one service. A file system that does not answer is an error.
pub fn load(path: Option<&Path>, environment: Environment) -> ReadResult {
    let default = Path::new(DEFAULT);
    let path = path.unwrap_or(default);
    load_from(path, path == default, environment)
}

/// Returns the paths of the files that [`load`] reads, and of the directory of single services.
#[must_use]
pub fn paths(path: Option<&Path>) -> Vec<PathBuf> {
    let default = Path::new(DEFAULT);
    let path = path.unwrap_or(default);
    let mut paths = vec![path.to_owned()];
    if path == default {
        let directory = path.with_file_name(DIRECTORY);
        let entries = fs::read_dir(&directory).into_iter().flatten().flatten();
        paths.extend(entries.map(|entry| entry.path()));
        paths.push(directory);
    }
    paths
}

fn load_from(path: &Path, with_directory: bool, environment: Environment) -> ReadResult {
    let file = path.to_owned();
    let read = within(Patience::usual(), path, move |current| Files::read(&file, with_directory, current));
    let Files { sources, errors, warnings } = read.unwrap_or_else(Files::overdue);
    let mut report = Report::default();
    for (path, message) in errors {
        report.error(&Place::file(&path), message);
    }
    for (path, message) in warnings {
        report.warning(&Place::file(&path), message);
    }
    read_into(report, &sources, environment)
}

/// What the files contain, and what is wrong with the files themselves.
#[derive(Debug, Default)]
struct Files {
    sources: Vec<Source>,
    errors: Vec<(PathBuf, String)>,
    warnings: Vec<(PathBuf, String)>,
}

impl Files {
    fn overdue(overdue: Overdue) -> Self {
        let message = overdue.to_string();
        Self { errors: vec![(overdue.path, message)], ..Self::default() }
    }

    fn read(path: &Path, with_directory: bool, current: &Current) -> Self {
        let mut files = Self::default();
        let others = if with_directory { files.single_services(path, current) } else { Vec::new() };
        // The general file is optional if there are files of single services.
        if others.is_empty() || path.exists() {
            files.add(path, is_in_directory(path), current);
        }
        for path in &others {
            files.add(path, true, current);
        }
        files
    }

    /// Returns the paths of the files of single services beside the default file.
    fn single_services(&mut self, path: &Path, current: &Current) -> Vec<PathBuf> {
        let directory = path.with_file_name(DIRECTORY);
        current.set(&directory);
        let listed = fs::read_dir(&directory).and_then(|entries| {
            entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>()
        });
        let mut found = match listed {
            Ok(found) => found,
            Err(error) if error.kind() == ErrorKind::NotFound => return Vec::new(),
            Err(error) => {
                self.errors.push((directory, format!("cannot be read: {error}")));
                return Vec::new();
            }
        };
        let hidden =
            |path: &Path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        found.retain(|path| path.extension().is_some_and(|extension| extension == "toml") && !hidden(path));
        found.sort();
        found
    }

    /// Reads a file.
    fn add(&mut self, path: &Path, of_one_service: bool, current: &Current) {
        current.set(path);
        match text(path) {
            Ok((text, writer)) => {
                let warning = others_may_change(path, writer);
                self.warnings.extend(warning.map(|warning| (path.to_owned(), warning)));
                self.sources.push(Source { path: path.to_owned(), text, of_one_service });
            }
            Err(message) => self.errors.push((path.to_owned(), message)),
        }
    }
}

/// Returns whether a file is in a directory of files of single services.
fn is_in_directory(path: &Path) -> bool {
    let path = std::path::absolute(path).unwrap_or_default();
    path.parent().and_then(Path::file_name) == Some(OsStr::new(DIRECTORY))
}

/// Reads the text of a file. Returns which other users may change it, too.
fn text(path: &Path) -> Result<(String, Option<Writer>), String> {
    let file = RegularFile::open(path).map_err(|error| match error {
        FileError::System(error) => unreadable(path, &error),
        other @ FileError::NotRegular(_) => format!("is {other}; save the configuration in a file"),
    })?;
    let writer = file.writer();
    let bytes = file.read_at_most(LARGEST + 1).map_err(|error| unreadable(path, &error))?;
    if bytes.len() as u64 > LARGEST {
        return Err("is larger than 1 MiB; name a configuration file".to_owned());
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let before = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        let line = before.split(|byte| *byte == b'\n').count();
        format!("line {line} is not UTF-8; save the file as UTF-8")
    })?;
    Ok((text, writer))
}

fn unreadable(path: &Path, error: &io::Error) -> String {
    format!("cannot be read: {error}{}", advice(path, error.kind()))
}

fn advice(path: &Path, kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::NotFound if path == Path::new(DEFAULT) => {
            "; create it, name another file with --config=FILE, or configure one service with flags (dormouse run --help)"
        }
        ErrorKind::NotFound => "; check the name",
        ErrorKind::PermissionDenied => "; run dormouse as a user that may read it",
        _ => "",
    }
}

/// Returns a warning if another user may change the configuration, and with it run commands as the user of dormouse.
/// A group is the choice of the administrator.
fn others_may_change(path: &Path, file: Option<Writer>) -> Option<String> {
    let chosen = |writer: &Writer| !matches!(writer, Writer::Group(_));
    let who = |writer: Writer| match writer {
        Writer::User(id) => user_name(id),
        Writer::Everybody | Writer::Group(_) => "every user".to_owned(),
    };
    let effect = "and thereby run commands as the user of dormouse";
    if let Some(writer) = file.filter(chosen) {
        return Some(format!("{} may change it, {effect}; correct its owner and its mode", who(writer)));
    }
    let directory = std::path::absolute(path).ok()?.parent()?.to_owned();
    let writer = Writer::of(&stat(&directory).ok()?).filter(chosen)?;
    let directory = directory.display();
    Some(format!("{} may replace it, {effect}; correct the owner and the mode of {directory}", who(writer)))
}
