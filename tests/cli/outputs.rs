//! Outputs that take nothing: a full disk, a reader that has gone.

use std::fs::OpenOptions;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Output, Stdio};

use dormouse_tests::failure::Doing;
use dormouse_tests::{Result, Subject};

/// Commands that answer on the output, and those that complain on the other.
const ANSWERS: [&[&str]; 7] = [
    &["--help"],
    &["--version"],
    &["proxy", "--help"],
    &["run", "--help"],
    &["status", "--help"],
    &["convert", "--help"],
    &["completion"],
];
const COMPLAINTS: [&[&str]; 5] = [
    &["no-such-command"],
    &["proxy", "--no-such-option"],
    &["run", "--no-such-option"],
    &["check", "/nonexistent/file"],
    &["status", "--control=/nonexistent/socket"],
];

fn full() -> Result<Stdio> {
    let file = OpenOptions::new().write(true).open("/dev/full").doing(|| "open /dev/full".to_owned())?;
    Ok(file.into())
}

/// Whoever read it is gone.
fn left() -> Result<Stdio> {
    let (_, writer) = UnixStream::pair().doing(|| "make a pair of sockets".to_owned())?;
    Ok(OwnedFd::from(writer).into())
}

fn dormouse(words: &[&str], prepare: impl Fn(&mut Command) -> &mut Command) -> Result<Output> {
    let mut command = Command::new(Subject::Ours.program()?);
    prepare(command.args(words).stdin(Stdio::null())).output().doing(|| format!("run dormouse {words:?}"))
}

#[test]
fn an_answer_that_cannot_be_written_is_a_failure_and_no_crash() {
    for words in ANSWERS {
        let whole = dormouse(words, |command| command).unwrap();
        assert!(whole.status.success() && !whole.stdout.is_empty(), "{words:?}: {whole:?}");
        for output in [full, left] {
            let cut = dormouse(words, |command| command.stdout(output().unwrap())).unwrap();
            assert_eq!(cut.status.code(), Some(1), "{words:?}: {cut:?}");
            assert!(!String::from_utf8_lossy(&cut.stderr).contains("panicked"), "{words:?}: {cut:?}");
        }
    }
}

#[test]
fn a_complaint_that_cannot_be_written_does_not_change_the_exit_status() {
    for words in COMPLAINTS {
        let whole = dormouse(words, |command| command).unwrap();
        assert!(!whole.status.success() && !whole.stderr.is_empty(), "{words:?}: {whole:?}");
        for output in [full, left] {
            let cut = dormouse(words, |command| command.stderr(output().unwrap())).unwrap();
            assert_eq!(cut.status.code(), whole.status.code(), "{words:?}");
        }
    }
}
