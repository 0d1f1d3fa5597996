//! The limit on descriptors (`RLIMIT_NOFILE`): raised for this process, and restored for the programs that it starts.

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The soft limit with which this process was started.
static INHERITED: OnceLock<u64> = OnceLock::new();

/// Raises the soft limit to `wanted`, as far as the hard limit allows, and returns the limit that is then in force. The
/// limit is never lowered.
pub fn raise(wanted: u64) -> u64 {
    let limits = getrlimit(Resource::Nofile);
    let (soft, hard) = (limits.current.unwrap_or(u64::MAX), limits.maximum.unwrap_or(u64::MAX));
    INHERITED.get_or_init(|| soft);
    if soft >= wanted || !try_set(wanted.min(hard)) {
        return soft;
    }
    wanted.min(hard)
}

/// Returns the soft limit with which this process was started, if another one is in force now. A program that uses
/// select(2) must not get more than it expects (systemd.exec(5), `LimitNOFILE=`).
pub fn inherited() -> Option<u64> {
    let inherited = *INHERITED.get()?;
    (getrlimit(Resource::Nofile).current != Some(inherited)).then_some(inherited)
}

/// Makes the command start with the soft limit with which this process was started.
pub fn restore_for(command: &mut Command) {
    if let Some(inherited) = inherited() {
        set_for(command, inherited);
    }
}

/// Makes the command start with this soft limit.
pub fn set_for(command: &mut Command, soft: u64) {
    let limit = Rlimit { current: Some(soft), maximum: getrlimit(Resource::Nofile).maximum };
    let set = move || {
        // If the kernel refuses, the program starts with the higher limit, with which almost all programs work.
        let _ = setrlimit(Resource::Nofile, limit);
        Ok(())
    };
    // SAFETY: between fork and exec the closure makes a single system call with two numbers that it owns. It takes no
    // lock, allocates nothing and cannot panic, so the state of other threads at the fork does not matter.
    unsafe { command.pre_exec(set) };
}

/// Returns the soft limit that is in force.
pub fn current() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Sets the soft limit of this process and of the programs that it starts from now on.
pub fn set(soft: u64) {
    // If the kernel refuses, the previous limit stays, with which almost all programs work.
    try_set(soft);
}

fn try_set(soft: u64) -> bool {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(soft), maximum }).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no resource limits")]
    fn a_child_process_gets_the_inherited_limit() {
        let before = getrlimit(Resource::Nofile).current.unwrap();
        assert_eq!(raise(before), before);
        assert_eq!(inherited(), None);
        set(before - 1);
        assert_eq!(inherited(), Some(before));
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -n"]);
        let output = |command: &mut Command| String::from_utf8(command.output().unwrap().stdout).unwrap();
        assert_eq!(current(), before - 1);
        assert_eq!(output(&mut command).trim(), (before - 1).to_string());
        restore_for(&mut command);
        assert_eq!(output(&mut command).trim(), before.to_string());
        assert_eq!(raise(before), before);
        assert_eq!(inherited(), None);
    }
}
