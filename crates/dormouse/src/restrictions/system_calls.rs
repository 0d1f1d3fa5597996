//! The restriction of system calls, by seccomp: those that this program never makes, and that help an attacker who
//! controls it, fail with EPERM.
//!
//! The list names what is refused, not what is allowed: the C library and its modules for names and users may begin to
//! use other calls with any update.

use std::env::consts::ARCH;

use dormouse_sys::seccomp;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

/// The calls that are refused.
const REFUSED: &[libc::c_long] = &[
    // Other programs, and the memory of other processes.
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    // Namespaces, mounts and file handles, which lead around paths.
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsmount,
    libc::SYS_open_tree,
    libc::SYS_mount_setattr,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_by_handle_at,
    // Large and rarely needed parts of the kernel.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_personality,
    // The machine.
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_syslog,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
];

/// Refuses the calls for all threads of this process. The kernel reports each refused call in its log, where it keeps one
/// (`kernel.seccomp.actions_logged`).
///
/// # Errors
/// The reason, if the kernel refuses, or seccompiler does not know the architecture.
pub(super) fn restrict() -> Result<(), String> {
    let program = program()?;
    seccomp::restrict_all_threads(&program).map_err(|error| error.to_string())
}

fn program() -> Result<Vec<seccomp::Instruction>, String> {
    let architecture =
        TargetArch::try_from(ARCH).map_err(|_| format!("the architecture {ARCH} is not known"))?;
    let rules = REFUSED.iter().map(|call| (*call, Vec::new())).collect();
    let refuse = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, architecture);
    let program: BpfProgram = filter.and_then(TryInto::try_into).map_err(|error| error.to_string())?;
    let instruction = |one: &seccompiler::sock_filter| seccomp::Instruction {
        code: one.code,
        jump_true: one.jt,
        jump_false: one.jf,
        value: one.k,
    };
    Ok(program.iter().map(instruction).collect())
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::thread;

    use super::*;

    /// Only the thread that restricts itself is restricted.
    #[test]
    fn a_restricted_thread_starts_no_program_and_does_the_rest() {
        let restricted = thread::spawn(|| {
            seccomp::restrict_thread(&program().unwrap()).unwrap();
            let started = Command::new("/bin/true").status();
            assert_eq!(started.unwrap_err().raw_os_error(), Some(libc::EPERM));
            // Threads, sockets and names work.
            thread::spawn(|| std::net::TcpListener::bind("localhost:0").map(drop)).join().unwrap().unwrap();
        });
        restricted.join().unwrap();
        assert!(Command::new("/bin/true").status().unwrap().success());
    }
}
