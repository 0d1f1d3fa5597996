//! What a process has inherited. The tests change the whole process, so they are one test in a process of their own.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test's helpers fail as its body does")]

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Command;

use dormouse_sys::inherited::{close_on_exec, keep_ended_children, one_by_one};
use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};

#[test]
fn inherited_descriptors_and_an_ignored_signal_have_no_effect() {
    for mark in [close_on_exec, one_by_one] {
        let inherited = OwnedFd::from(UnixStream::pair().unwrap().0);
        fcntl_setfd(&inherited, FdFlags::empty()).unwrap();
        mark();
        assert_eq!(fcntl_getfd(&inherited).unwrap(), FdFlags::CLOEXEC);
        for standard in [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()] {
            assert_eq!(fcntl_getfd(standard).unwrap(), FdFlags::empty());
        }
    }
    // SAFETY: to ignore a signal is always valid.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
    keep_ended_children();
    // Without its entry in the table of processes the status of a child is lost.
    assert!(Command::new("true").status().unwrap().success());
}
