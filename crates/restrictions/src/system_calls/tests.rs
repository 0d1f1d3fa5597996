use std::fs;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, chown};
use std::process::Command;
use std::thread;

use dormouse_sys::seccomp::{IF_AT_LEAST, IF_EQUAL, JUMP, LOAD, RETURN};
use dormouse_tests::temp::TempDir;
use libc::c_long;
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, Timestamps, UTIME_NOW, XattrFlags, mknodat, setxattr, utimensat,
};
use rustix::process::{Resource, getrlimit, setpriority_process, setrlimit};

use super::*;

const ALLOWED: u32 = libc::SECCOMP_RET_ALLOW;
const REFUSED: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM.unsigned_abs();
const NO_SUCH_CALL: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs();

/// Returns what the filter decides about a call, as the kernel computes it.
fn decision(call: c_long, arguments: &[u64]) -> u32 {
    let program = program().unwrap();
    // The architecture of this machine is what the filter compares it with.
    let loads = program.iter().position(|one| one.code == LOAD && one.value == 4).unwrap();
    let compared = program[loads + 1].value;
    let word = |offset: u32| match offset {
        0 => u32::try_from(call).unwrap(),
        4 => compared,
        offset => {
            let argument =
                arguments.get(usize::try_from((offset - 16) / 8).unwrap()).copied().unwrap_or_default();
            let half = if offset % 8 == 0 { argument } else { argument >> 32 };
            u32::try_from(half & u64::from(u32::MAX)).unwrap()
        }
    };
    let (mut at, mut value) = (0, 0);
    loop {
        let Instruction { code, jump_true, jump_false, value: operand } = program[at];
        let holds = match code {
            LOAD => {
                value = word(operand);
                at += 1;
                continue;
            }
            // `BPF_ALU | BPF_AND | BPF_K`.
            0x54 => {
                value &= operand;
                at += 1;
                continue;
            }
            JUMP => {
                at += 1 + usize::try_from(operand).unwrap();
                continue;
            }
            RETURN => return operand,
            IF_EQUAL => value == operand,
            IF_AT_LEAST => value >= operand,
            // `BPF_JMP | BPF_JGT | BPF_K`.
            0x25 => value > operand,
            other => panic!("unknown instruction {other:#x}"),
        };
        at += 1 + usize::from(if holds { jump_true } else { jump_false });
    }
}

fn flags(flags: libc::c_int) -> u64 {
    flags.unsigned_abs().into()
}

/// Only the thread that restricts itself is restricted.
#[test]
fn a_restricted_thread_starts_no_program_and_does_the_rest() {
    let place = TempDir::new().unwrap();
    let path = place.join("a");
    let restricted = thread::spawn(move || {
        seccomp::restrict_thread(&program().unwrap()).unwrap();
        let started = Command::new("/bin/true").status();
        assert_eq!(started.unwrap_err().raw_os_error(), Some(libc::EPERM));
        // Threads, sockets, names, files and limits work.
        thread::spawn(|| std::net::TcpListener::bind("localhost:0").map(drop)).join().unwrap().unwrap();
        let other = path.with_file_name("b");
        fs::write(&path, "x").unwrap();
        fs::rename(&path, &other).unwrap();
        fs::OpenOptions::new().append(true).create(true).mode(0o777).open(&other).unwrap();
        setrlimit(Resource::Nofile, getrlimit(Resource::Nofile)).unwrap();
    });
    restricted.join().unwrap();
    assert!(Command::new("/bin/true").status().unwrap().success());
}

/// The attacks of a process that was taken over on files of its user, which Landlock does not restrict.
#[test]
fn a_restricted_thread_changes_no_mode_owner_attribute_or_time() {
    let place = TempDir::new().unwrap();
    let (victim, directory) = (place.join("victim"), place.join("directory"));
    fs::write(&victim, "x").unwrap();
    fs::create_dir(&directory).unwrap();
    let attack = move || {
        let open = fs::File::open(&victim).unwrap();
        let mode = |mode| fs::Permissions::from_mode(mode);
        let now = rustix::fs::Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        let times = Timestamps { last_access: now, last_modification: now };
        let new = |mode| {
            let path = directory.join(format!("{mode:o}"));
            fs::OpenOptions::new().write(true).create(true).mode(mode).open(path).map(drop)
        };
        let user = rustix::process::getuid().as_raw();
        let fifo = Mode::from_raw_mode(0o4755);
        [
            ("chmod", fs::set_permissions(&victim, mode(0o666))),
            ("chmod of a directory", fs::set_permissions(&directory, mode(0o777))),
            ("fchmod", open.set_permissions(mode(0o4755))),
            ("a set-user-ID file", new(0o4755)),
            ("a set-group-ID file", new(0o2755)),
            ("mknod", mknodat(CWD, directory.join("n"), FileType::RegularFile, fifo, 0).map_err(Into::into)),
            ("chown", chown(&victim, Some(user), None)),
            ("setxattr", setxattr(&victim, "user.a", b"x", XattrFlags::empty()).map_err(Into::into)),
            ("utimensat", utimensat(CWD, &victim, &times, AtFlags::empty()).map_err(Into::into)),
            ("setpriority", setpriority_process(None, 5).map_err(Into::into)),
            ("clone", Command::new("/bin/true").status().map(drop)),
        ]
    };
    // Without restrictions each attack succeeds, so that the test can fail.
    for (attack, result) in thread::spawn(attack.clone()).join().unwrap() {
        // Not every file system has attributes.
        assert!(result.is_ok() || attack == "setxattr", "{attack}: {result:?}");
    }
    let restricted = thread::spawn(move || {
        seccomp::restrict_thread(&program().unwrap()).unwrap();
        attack()
    });
    for (attack, result) in restricted.join().unwrap() {
        assert_eq!(result.unwrap_err().raw_os_error(), Some(libc::EPERM), "{attack}");
    }
}

#[test]
fn the_filter_leaves_threads_and_refuses_processes_and_namespaces() {
    // What pthread_create(3) asks for.
    let thread = libc::CLONE_VM
        | libc::CLONE_FS
        | libc::CLONE_FILES
        | libc::CLONE_SIGHAND
        | libc::CLONE_THREAD
        | libc::CLONE_SYSVSEM
        | libc::CLONE_SETTLS
        | libc::CLONE_PARENT_SETTID
        | libc::CLONE_CHILD_CLEARTID;
    assert_eq!(decision(libc::SYS_clone, &[flags(thread)]), ALLOWED);
    for refused in [
        libc::SIGCHLD,
        libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD,
        thread | libc::CLONE_NEWNET,
        libc::CLONE_NEWUSER | libc::CLONE_NEWNS | libc::SIGCHLD,
    ] {
        assert_eq!(decision(libc::SYS_clone, &[flags(refused)]), REFUSED, "{refused:#x}");
    }
    assert_eq!(decision(libc::SYS_unshare, &[flags(libc::CLONE_FS)]), ALLOWED);
    assert_eq!(decision(libc::SYS_unshare, &[flags(libc::CLONE_FS | libc::CLONE_NEWUSER)]), REFUSED);
    // Bits that the kernel ignores change nothing.
    assert_eq!(decision(libc::SYS_clone, &[flags(libc::CLONE_NEWUSER) | 1 << 40]), REFUSED);
}

#[test]
fn the_filter_looks_at_arguments() {
    let modes = |mode: u64| [0, 0, flags(libc::O_CREAT | libc::O_WRONLY), mode];
    for (call, arguments, expected) in [
        (libc::SYS_openat, &modes(0o1777)[..], ALLOWED),
        (libc::SYS_openat, &modes(0o4755), REFUSED),
        (libc::SYS_openat, &[0, 0, flags(libc::O_TMPFILE | libc::O_RDWR), 0o2755], REFUSED),
        // Whatever is there does not count for a file that exists.
        (libc::SYS_openat, &[0, 0, flags(libc::O_DIRECTORY), 0o6000], ALLOWED),
        (libc::SYS_prlimit64, &[0, 7], ALLOWED),
        (libc::SYS_prlimit64, &[1, 7], REFUSED),
        (libc::SYS_ioctl, &[0, 0x5421], ALLOWED),
        (libc::SYS_ioctl, &[0, 0x5412], REFUSED),
        (libc::SYS_ioctl, &[0, 0x5412 | 1 << 32], REFUSED),
        (libc::SYS_socket, &[flags(libc::AF_VSOCK)], ALLOWED),
        (libc::SYS_socket, &[flags(libc::AF_PACKET)], REFUSED),
        (libc::SYS_socket, &[flags(libc::AF_ALG)], REFUSED),
    ] {
        assert_eq!(decision(call, arguments), expected, "{call} {arguments:?}");
    }
    for allowed in [libc::SYS_read, libc::SYS_kill, libc::SYS_setresuid, libc::SYS_capset, libc::SYS_bind] {
        assert_eq!(decision(allowed, &[]), ALLOWED, "{allowed}");
    }
    for refused in
        [libc::SYS_fspick, libc::SYS_fsconfig, libc::SYS_kexec_load, libc::SYS_shmat, 452, 463, 467]
    {
        assert_eq!(decision(refused, &[]), REFUSED, "{refused}");
    }
    for missing in [libc::SYS_clone3, libc::SYS_openat2] {
        assert_eq!(decision(missing, &[]), NO_SUCH_CALL, "{missing}");
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn the_filter_knows_the_other_numbers_of_this_architecture() {
    let x32 = 0x4000_0000;
    for call in [libc::SYS_execve, libc::SYS_read, 520] {
        assert_eq!(decision(x32 | call, &[]), NO_SUCH_CALL, "{call}");
    }
    for call in [libc::SYS_fork, libc::SYS_vfork, libc::SYS_chmod, libc::SYS_iopl, libc::SYS_ioperm, 320] {
        assert_eq!(decision(call, &[]), REFUSED, "{call}");
    }
    assert_eq!(decision(libc::SYS_creat, &[0, 0o4755]), REFUSED);
    assert_eq!(decision(libc::SYS_open, &[0, flags(libc::O_CREAT), 0o2755]), REFUSED);
    assert_eq!(decision(libc::SYS_open, &[0, flags(libc::O_CREAT), 0o755]), ALLOWED);
}
