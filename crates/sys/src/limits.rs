//! The limit on descriptors: raised for us, as it was for what we start.

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The soft limit that we were started with.
static INHERITED: OnceLock<u64> = OnceLock::new();

/// Raises the soft limit on descriptors to this many, as far as the hard limit allows, and says what it is then. It is
/// never lowered.
pub fn raise_descriptors(wanted: u64) -> u64 {
    let limits = getrlimit(Resource::Nofile);
    let (soft, hard) = (limits.current.unwrap_or(u64::MAX), limits.maximum.unwrap_or(u64::MAX));
    INHERITED.get_or_init(|| soft);
    if soft >= wanted || !set(wanted.min(hard)) {
        return soft;
    }
    wanted.min(hard)
}

/// The soft limit that we were started with, if it was raised since. A program that uses select(2) must not get more
/// than it expects (systemd.exec(5), `LimitNOFILE=`).
pub fn inherited_descriptors() -> Option<u64> {
    let inherited = *INHERITED.get()?;
    (getrlimit(Resource::Nofile).current != Some(inherited)).then_some(inherited)
}

/// Has a program be started with the soft limit that we were started with.
pub fn give_back_descriptors(command: &mut Command) {
    let Some(inherited) = inherited_descriptors() else { return };
    let limit = Rlimit { current: Some(inherited), maximum: getrlimit(Resource::Nofile).maximum };
    let set = move || {
        // Where it is refused the higher one stays, with which almost all programs work.
        let _ = setrlimit(Resource::Nofile, limit);
        Ok(())
    };
    // SAFETY: between fork and exec the closure makes a single system call with two numbers of its own. It takes no
    // lock, allocates nothing and cannot panic, so whatever other threads held at the fork does not matter.
    unsafe { command.pre_exec(set) };
}

/// Sets the soft limit for this process and what it starts from now on.
pub fn set_descriptors(soft: u64) {
    // Where it is refused the higher one stays, with which almost all programs work.
    set(soft);
}

fn set(soft: u64) -> bool {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(soft), maximum }).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_inherited_is_remembered() {
        let before = getrlimit(Resource::Nofile).current.unwrap();
        assert_eq!(raise_descriptors(before), before);
        assert_eq!(inherited_descriptors(), None);
        set_descriptors(before - 1);
        assert_eq!(inherited_descriptors(), Some(before));
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -n"]);
        let told = |command: &mut Command| String::from_utf8(command.output().unwrap().stdout).unwrap();
        assert_eq!(told(&mut command).trim(), (before - 1).to_string());
        give_back_descriptors(&mut command);
        assert_eq!(told(&mut command).trim(), before.to_string());
        assert_eq!(raise_descriptors(before), before);
        assert_eq!(inherited_descriptors(), None);
    }
}
