//! The files of the configuration.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use super::report::{Place, Problem};
use super::{Environment, ReadResult, Source, read};

/// The default file, which is read together with `services.d/*.toml` beside it.
pub const DEFAULT: &str = "/etc/dormouse/dormouse.toml";
/// The directory with the files of single services, beside the default file.
const DIRECTORY: &str = "services.d";
/// The largest size in bytes: a larger file is not a configuration.
const LARGEST: u64 = 1 << 20;

/// Reads this file, or the default file and the files of single services beside it, in the order of their names.
pub fn load(path: Option<&Path>, environment: Environment) -> ReadResult {
    let default = Path::new(DEFAULT);
    let path = path.unwrap_or(default);
    load_from(path, path == default, environment)
}

fn load_from(path: &Path, with_directory: bool, environment: Environment) -> ReadResult {
    let mut problems = Vec::new();
    let mut sources = Vec::new();
    let others = if with_directory { single_services(path, &mut problems) } else { Vec::new() };
    // The general file is optional if there are files of single services.
    if others.is_empty() || path.exists() {
        sources.extend(source(path, false, &mut problems));
    }
    sources.extend(others.iter().filter_map(|path| source(path, true, &mut problems)));
    let mut outcome = read(&sources, environment);
    if !problems.is_empty() {
        // Without a readable file the error that no service is configured follows from the others.
        problems.extend(outcome.result.err().unwrap_or_default().into_iter().filter(|_| !sources.is_empty()));
        outcome.result = Err(problems);
    }
    outcome
}

fn single_services(path: &Path, problems: &mut Vec<Problem>) -> Vec<PathBuf> {
    let directory = path.with_file_name(DIRECTORY);
    let entries = match fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            problems.push(Problem::new(Place::file(&directory), format!("cannot be read: {error}")));
            return Vec::new();
        }
    };
    let mut found = Vec::new();
    for entry in entries {
        match entry.map(|entry| entry.path()) {
            Ok(path) => found.push(path),
            Err(error) => {
                problems.push(Problem::new(Place::file(&directory), format!("cannot be read: {error}")));
            }
        }
    }
    let hidden = |path: &Path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    found.retain(|path| path.extension().is_some_and(|extension| extension == "toml") && !hidden(path));
    found.sort();
    found
}

fn source(path: &Path, of_one_service: bool, problems: &mut Vec<Problem>) -> Option<Source> {
    match text(path) {
        Ok(text) => Some(Source { path: path.to_owned(), text, of_one_service }),
        Err(message) => {
            problems.push(Problem::new(Place::file(path), message));
            None
        }
    }
}

fn text(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes));
    if let Err(error) = read {
        return Err(format!("cannot be read: {error}{}", advice(path, error.kind())));
    }
    if bytes.len() as u64 > LARGEST {
        return Err("is larger than 1 MiB; name a configuration file".to_owned());
    }
    String::from_utf8(bytes).map_err(|error| {
        let before = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        let line = before.split(|byte| *byte == b'\n').count();
        format!("line {line} is not UTF-8; save the file as UTF-8")
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    struct Dir(PathBuf);

    impl Dir {
        fn new(name: &str, files: &[(&str, &str)]) -> Self {
            let dir =
                Self(std::env::temp_dir().join(format!("dormouse-config-{name}-{}", std::process::id())));
            fs::create_dir_all(dir.0.join(DIRECTORY)).unwrap();
            for (name, text) in files {
                fs::write(dir.0.join(name), text).unwrap();
            }
            dir
        }

        fn load(&self) -> ReadResult {
            load_from(&self.0.join("dormouse.toml"), true, Environment { system_units: true })
        }

        fn errors(&self) -> Vec<String> {
            let here = format!("{}/", self.0.display());
            let problems = self.load().result.unwrap_err();
            problems.iter().map(|problem| problem.to_string().replace(&here, "")).collect()
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    const A: &str = "listen = '127.0.0.1:1'\nto = '127.0.0.1:2'\n";
    const B: &str = "log_level = 'debug'\n[services.b]\nlisten = '127.0.0.1:3'\nto = '127.0.0.1:2'\n";

    #[test]
    fn files_of_single_services_name_their_services_and_are_read_in_order() {
        let dir = Dir::new(
            "order",
            &[("services.d/z.toml", A), ("services.d/a.toml", B), ("services.d/x.txt", "?")],
        );
        let config = dir.load().result.unwrap();
        let names: Vec<_> = config.services.iter().map(|service| service.name.as_str()).collect();
        assert_eq!(names, ["b", "z"]);
        assert_eq!(config.log_level, Some(dormouse_log::Level::Debug));
    }

    #[test]
    fn all_files_are_one_configuration() {
        let dir =
            Dir::new("one", &[("dormouse.toml", B), ("services.d/b.toml", A), ("services.d/c.toml", B)]);
        assert_eq!(
            dir.errors(),
            [
                "services.d/b.toml: the name b is already used (dormouse.toml:2); choose another name",
                "services.d/c.toml:1: log_level: is also set in dormouse.toml:1; keep only one",
                "services.d/c.toml:2: services.b: the name b is already used (dormouse.toml:2); choose another name",
                "services.d/c.toml:3: services.b.listen: 127.0.0.1:3 is already used by service b (dormouse.toml:3); choose another address",
            ]
        );
    }

    #[test]
    fn a_file_with_an_invalid_name_for_a_service_is_reported() {
        let dir = Dir::new("names", &[("services.d/with space.toml", A)]);
        assert_eq!(
            dir.errors(),
            [
                "services.d/with space.toml: \"with space\" is not a valid name; use 1 to 64 letters, digits, '-', '_' and '.'; rename the file"
            ]
        );
    }

    #[test]
    fn an_unreadable_file_is_reported() {
        let dir = Dir::new("none", &[]);
        assert_eq!(
            dir.errors(),
            ["dormouse.toml: cannot be read: No such file or directory (os error 2); check the name"]
        );
        fs::write(dir.0.join("dormouse.toml"), b"a = 1\n\xff").unwrap();
        assert_eq!(dir.errors(), ["dormouse.toml: line 2 is not UTF-8; save the file as UTF-8"]);
    }

    #[test]
    fn a_missing_default_file_is_reported_with_the_remedies() {
        let said = advice(Path::new(DEFAULT), ErrorKind::NotFound);
        for way in ["create it", "--config=FILE", "dormouse run --help"] {
            assert!(said.contains(way), "{said}");
        }
        assert_eq!(advice(Path::new("/etc/other.toml"), ErrorKind::NotFound), "; check the name");
    }
}
