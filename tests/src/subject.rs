//! The two programs under test.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::{env, fmt, fs};

use crate::failure::Doing;
use crate::{Failure, Result};

/// The program under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// The program of this workspace.
    Dormouse,
    /// The systemd-socket-proxyd that is installed on this machine.
    SocketProxyd,
}

/// The paths at which distributions install systemd-socket-proxyd.
const SOCKET_PROXYD_PATHS: [&str; 2] =
    ["/usr/lib/systemd/systemd-socket-proxyd", "/lib/systemd/systemd-socket-proxyd"];

impl Subject {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Dormouse, Self::SocketProxyd];

    /// Returns the path of the program. dormouse is at `$DORMOUSE_BIN`, or in the target directory of the running
    /// test.
    ///
    /// # Errors
    /// [`Failure::Missing`] when the program is not installed, or dormouse is older than its sources.
    pub fn program(self) -> Result<PathBuf> {
        match self {
            Self::Dormouse => dormouse().and_then(up_to_date),
            Self::SocketProxyd => socket_proxyd(),
        }
    }

    /// The first line that `--version` prints.
    ///
    /// # Errors
    /// When the program is missing or fails.
    pub fn version_line(self) -> Result<String> {
        let program = self.program()?;
        let mut command = Command::new(&program);
        if self == Self::Dormouse {
            command.arg("proxy");
        }
        let output = command.arg("--version").output().doing(|| format!("run {}", program.display()))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        match text.lines().next() {
            Some(line) if output.status.success() => Ok(line.to_owned()),
            _ => Err(Failure::Unexpected(format!("{self} --version: {} {text:?}", output.status))),
        }
    }

    /// Returns the release of systemd that systemd-socket-proxyd belongs to, such as 252.
    ///
    /// # Errors
    /// When systemd-socket-proxyd is missing or does not print its version as `systemd NUMBER …`.
    pub fn systemd_release() -> Result<u32> {
        let line = Self::SocketProxyd.version_line()?;
        line.strip_prefix("systemd ")
            .and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next())
            .and_then(|number| number.parse().ok())
            .ok_or_else(|| Failure::Unexpected(format!("no release number in {line:?}")))
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dormouse => "dormouse",
            Self::SocketProxyd => "systemd-socket-proxyd",
        })
    }
}

fn dormouse() -> Result<PathBuf> {
    if let Some(path) = env::var_os("DORMOUSE_BIN") {
        let path = PathBuf::from(path);
        return if path.is_file() {
            Ok(path)
        } else {
            Err(Failure::missing(
                path.display().to_string(),
                "DORMOUSE_BIN names it; unset it or build the program there",
            ))
        };
    }
    let test = env::current_exe().doing(|| "look up the path of the running test".to_owned())?;
    test.ancestors()
        .skip(1)
        .take(2)
        .map(|directory| directory.join("dormouse"))
        .find(|path| path.is_file())
        .ok_or_else(|| {
            let profile = test.ancestors().nth(2).unwrap_or(Path::new("target")).display();
            Failure::missing(
                format!("{profile}/dormouse"),
                "run `cargo build --workspace` (with the same profile) first",
            )
        })
}

/// Refuses a program that was built before a change of its sources: its tests would test the code of before.
fn up_to_date(program: PathBuf) -> Result<PathBuf> {
    static NEWER: OnceLock<Option<PathBuf>> = OnceLock::new();
    match NEWER.get_or_init(|| newer_source(&program)) {
        None => Ok(program),
        Some(source) => Err(Failure::missing(
            format!("a program {} that is newer than {}", program.display(), source.display()),
            "run `cargo build -p dormouse` (with the same profile) first",
        )),
    }
}

/// Returns a source that is newer than the program, from the list that cargo writes beside it.
fn newer_source(program: &Path) -> Option<PathBuf> {
    let modified = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    let built = modified(program)?;
    let list = fs::read_to_string(program.with_extension("d")).ok()?;
    let (_, sources) = list.split_once(": ")?;
    // A space in a path is written as "\\ ".
    let sources = sources.replace("\\ ", "\0");
    let mut sources = sources.split_whitespace().map(|source| PathBuf::from(source.replace('\0', " ")));
    sources.find(|source| modified(source).is_some_and(|modified| modified > built))
}

fn socket_proxyd() -> Result<PathBuf> {
    SOCKET_PROXYD_PATHS.iter().map(PathBuf::from).find(|path| path.is_file()).ok_or_else(|| {
        Failure::missing(
            format!("the socket_proxyd ({})", SOCKET_PROXYD_PATHS.join(" or ")),
            "install the package systemd",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::temp::TempDir;

    #[test]
    fn a_program_older_than_its_sources_is_recognised() {
        let dir = TempDir::new().unwrap();
        let (program, source) = (dir.join("dormouse"), dir.join("a b.rs"));
        fs::write(&source, "").unwrap();
        fs::write(&program, "").unwrap();
        assert_eq!(newer_source(&program), None);
        let escaped = source.display().to_string().replace(' ', "\\ ");
        fs::write(dir.join("dormouse.d"), format!("{}: /nonexistent.rs {escaped}\n", program.display()))
            .unwrap();
        assert_eq!(newer_source(&program), None);
        let later = fs::metadata(&program).unwrap().modified().unwrap() + std::time::Duration::from_secs(1);
        fs::File::options().write(true).open(&source).unwrap().set_modified(later).unwrap();
        assert_eq!(newer_source(&program), Some(source));
    }
}
