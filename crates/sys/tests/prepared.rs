//! Processes that prepare themselves. Their parent must have one thread, so this is a program without the test harness.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc;

use dormouse_sys::namespaces::{own_ipc, own_mounts, own_users_and_mounts};
use dormouse_sys::spawn::spawn_prepared;

fn main() {
    the_error_of_the_preparation_is_that_of_the_start();
    a_process_gets_mounts_and_ipc_of_its_own();
    a_process_with_two_threads_is_refused();
    println!("prepared: all passed");
}

fn the_error_of_the_preparation_is_that_of_the_start() {
    let refuse = || Err(std::io::Error::from_raw_os_error(libc::EDOM));
    let started = spawn_prepared(Command::new("true"), refuse);
    assert_eq!(started.unwrap_err().raw_os_error(), Some(libc::EDOM));
}

/// As root in a mount namespace; otherwise in a user namespace, where the machine allows it.
fn a_process_gets_mounts_and_ipc_of_its_own() {
    let root = rustix::process::geteuid().is_root();
    let own = namespaces();
    let mut command = Command::new("readlink");
    command.args(NAMESPACES).stdout(Stdio::piped());
    let prepare = move || {
        if root { own_mounts() } else { own_users_and_mounts() }?;
        own_ipc()
    };
    let started = spawn_prepared(command, prepare);
    match started {
        Ok(child) => {
            let output = child.wait_with_output().unwrap();
            let others = String::from_utf8(output.stdout).unwrap();
            let others: Vec<_> = others.lines().map(PathBuf::from).collect();
            assert_eq!(others.len(), own.len());
            assert!(own.iter().zip(&others).all(|(own, other)| own != other), "{own:?} {others:?}");
        }
        Err(error) => assert!(!root, "{error}"),
    }
    assert_eq!(namespaces(), own, "the parent has changed, too");
}

const NAMESPACES: [&str; 2] = ["/proc/self/ns/mnt", "/proc/self/ns/ipc"];

fn namespaces() -> Vec<PathBuf> {
    NAMESPACES.iter().map(|path| fs::read_link(path).unwrap()).collect()
}

fn a_process_with_two_threads_is_refused() {
    let (end, wait) = mpsc::channel::<()>();
    let thread = std::thread::spawn(move || wait.recv());
    let started = spawn_prepared(Command::new("true"), || Ok(()));
    assert!(started.unwrap_err().to_string().contains("several threads"));
    drop(end);
    assert!(thread.join().unwrap().is_err());
}
