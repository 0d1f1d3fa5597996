//! The restriction to directories, by Landlock.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, PathBeneath, PathFd, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _,
    RulesetError, RulesetStatus,
};

/// The newest interface that this program knows. On an older kernel the crate leaves out what the kernel does not know.
const INTERFACE: ABI = ABI::V5;

/// The only device to which the program writes.
const NULL: &str = "/dev/null";
/// The devices that it reads.
const RANDOM: [&str; 2] = ["/dev/random", "/dev/urandom"];

/// Restricts this thread, and those that it starts, to reading and writing in these directories.
///
/// # Errors
/// The reason, if the kernel cannot or refuses.
pub(super) fn restrict(readable: &BTreeSet<PathBuf>, writable: &BTreeSet<PathBuf>) -> Result<(), String> {
    let status = enforce(readable, writable).map_err(|error| error.to_string())?;
    if status == RulesetStatus::NotEnforced {
        return Err("the kernel has no Landlock, or does not let this process use it".to_owned());
    }
    Ok(())
}

fn enforce(
    readable: &BTreeSet<PathBuf>,
    writable: &BTreeSet<PathBuf>,
) -> Result<RulesetStatus, RulesetError> {
    let all = AccessFs::from_all(INTERFACE);
    // No program is executed: the spawner does that. A socket is no directory, link or device.
    let execute = AccessFs::Execute | AccessFs::MakeBlock | AccessFs::MakeChar | AccessFs::MakeSym;
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let devices = [(NULL, AccessFs::ReadFile | AccessFs::WriteFile)]
        .into_iter()
        .chain(RANDOM.map(|path| (path, AccessFs::ReadFile.into())))
        .map(|(path, access)| (Path::new(path), access));
    let readable = readable.iter().map(|path| (path.as_path(), read));
    let writable = writable.iter().map(|path| (path.as_path(), all & !execute));
    let mut rules = Ruleset::default().handle_access(all)?.create()?;
    for (path, access) in devices.chain(readable).chain(writable) {
        // A directory that does not exist cannot be used later either.
        if let Ok(directory) = PathFd::new(path) {
            rules = rules.add_rule(PathBeneath::new(directory, access))?;
        }
    }
    Ok(rules.restrict_self()?.ruleset)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::ErrorKind;
    use std::thread;

    use dormouse_tests::temp::TempDir;

    use super::*;

    /// Only the thread that restricts itself is restricted.
    #[test]
    fn a_restricted_thread_reads_the_system_and_writes_to_its_directories() {
        let (inside, outside) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        fs::write(outside.join("secret"), "x").unwrap();
        let (allowed, secret) = (inside.join("a"), outside.join("secret"));
        let writable = BTreeSet::from([inside.join("").canonicalize().unwrap()]);
        let restricted = thread::spawn(move || {
            let readable = BTreeSet::from(["/etc", "/proc"].map(PathBuf::from));
            restrict(&readable, &writable).expect("Landlock, which the tests need (Linux 5.13)");
            fs::write(&allowed, "x").unwrap();
            fs::remove_file(&allowed).unwrap();
            fs::read("/etc/passwd").unwrap();
            fs::read("/proc/self/status").unwrap();
            fs::OpenOptions::new().write(true).open("/dev/null").unwrap();
            let mapped = fs::OpenOptions::new().write(true).open("/dev/zero");
            assert!(mapped.is_err(), "another device was opened");
            let denied =
                |result: std::io::Result<Vec<u8>>| result.unwrap_err().kind() == ErrorKind::PermissionDenied;
            assert!(denied(fs::read(&secret)));
            assert!(denied(fs::write(secret.with_file_name("new"), "x").map(|()| Vec::new())));
            let started = std::process::Command::new("/bin/true").status();
            assert!(started.is_err(), "a program was started: {started:?}");
        });
        restricted.join().unwrap();
        // This thread is not restricted.
        assert!(std::process::Command::new("/bin/true").status().unwrap().success());
    }
}
