//! Outputs that accept no data: a full disk, a closed pipe.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Output, Stdio};
use std::thread;

use dormouse_tests::failure::Doing;
use dormouse_tests::temp::TempDir;
use dormouse_tests::wait::SOON;
use dormouse_tests::{Result, Subject};

/// The commands that print to standard output, and below those that print errors.
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

/// Returns the write end of a closed connection.
fn closed() -> Result<Stdio> {
    let (_, writer) = UnixStream::pair().doing(|| "make a pair of sockets".to_owned())?;
    Ok(OwnedFd::from(writer).into())
}

fn dormouse(words: &[&str], prepare: impl Fn(&mut Command) -> &mut Command) -> Result<Output> {
    let mut command = Command::new(Subject::Dormouse.program()?);
    prepare(command.args(words).stdin(Stdio::null())).output().doing(|| format!("run dormouse {words:?}"))
}

#[test]
fn an_answer_that_cannot_be_written_is_a_failure_and_no_crash() {
    for words in ANSWERS {
        let whole = dormouse(words, |command| command).unwrap();
        assert!(whole.status.success() && !whole.stdout.is_empty(), "{words:?}: {whole:?}");
        for output in [full, closed] {
            let cut = dormouse(words, |command| command.stdout(output().unwrap())).unwrap();
            assert_eq!(cut.status.code(), Some(1), "{words:?}: {cut:?}");
            assert!(!String::from_utf8_lossy(&cut.stderr).contains("panicked"), "{words:?}: {cut:?}");
        }
    }
}

#[test]
fn an_error_message_that_cannot_be_written_does_not_change_the_exit_status() {
    for words in COMPLAINTS {
        let whole = dormouse(words, |command| command).unwrap();
        assert!(!whole.status.success() && !whole.stderr.is_empty(), "{words:?}: {whole:?}");
        for output in [full, closed] {
            let cut = dormouse(words, |command| command.stderr(output().unwrap())).unwrap();
            assert_eq!(cut.status.code(), whole.status.code(), "{words:?}");
        }
    }
}

/// Answers each client of a control socket with an empty list of services.
fn answering(listener: &UnixListener) {
    for client in listener.incoming() {
        let Ok(mut client) = client else { return };
        let mut asked = [0; 256];
        // A client that sends nothing or leaves does not fail the test.
        let _ = client.set_read_timeout(Some(SOON)).and_then(|()| client.read(&mut asked));
        let _ = client.write_all(b"{\"process\":{},\"services\":[]}\n\n");
    }
}

#[test]
fn a_status_that_cannot_be_written_is_a_failure_unless_its_reader_left() {
    let dir = TempDir::new().unwrap();
    let path = dir.join("control");
    let listener = UnixListener::bind(&path).unwrap();
    thread::spawn(move || answering(&listener));
    let control = format!("--control={}", path.display());
    let cut = |more: &[&str], output: fn() -> Result<Stdio>| {
        let words = [&["status", &control], more].concat();
        dormouse(&words, |command| command.stdout(output().unwrap())).unwrap()
    };
    for more in [&[][..], &["--json"], &["--watch"], &["--watch", "--json"]] {
        let output = cut(more, full);
        assert_eq!(output.status.code(), Some(1), "{more:?}: {output:?}");
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(message.starts_with("Failed to write to standard output: "), "{more:?}: {message}");
    }
    for (more, code) in [(&[][..], 1), (&["--json"], 1), (&["--watch"], 0), (&["--watch", "--json"], 0)] {
        let output = cut(more, closed);
        assert_eq!(output.status.code(), Some(code), "{more:?}: {output:?}");
        assert!(output.stderr.is_empty(), "{more:?}: {output:?}");
    }
}

/// Returns the standard error of a failing command that writes to the journal.
fn to_the_journal(words: &[&str]) -> Result<String> {
    let dir = TempDir::new()?;
    let path = dir.join("journal");
    let file = File::create(&path).doing(|| "make a file".to_owned())?;
    let identity = file.metadata().doing(|| "look at a file".to_owned())?;
    let stream = format!("{}:{}", identity.dev(), identity.ino());
    let failed = dormouse(words, |command| {
        let stderr = file.try_clone().map_or_else(|_| Stdio::inherit(), Stdio::from);
        command.env("JOURNAL_STREAM", &stream).stderr(stderr)
    })?;
    assert!(!failed.status.success(), "{words:?}: {failed:?}");
    fs::read_to_string(path).doing(|| "read a file".to_owned())
}

#[test]
fn the_reason_of_a_failed_start_is_an_error_in_the_journal() {
    for words in [
        &["proxy", "127.0.0.1:1"][..],
        &["proxy", "-c", "0", "127.0.0.1:1"],
        &["proxy", "--listen=192.0.2.1:1", "127.0.0.1:1"],
        &["run", "--listen=@a", "--to=@b", "--exec=a", "--uid=root", "--hold=x", "--idle=x"],
    ] {
        let said = to_the_journal(words).unwrap();
        assert!(!said.is_empty() && said.lines().all(|line| line.starts_with("<3>")), "{words:?}: {said}");
    }
    // The C library's message, which has no priority in systemd-socket-proxyd either.
    let said = to_the_journal(&["proxy", "--no-such-option"]).unwrap();
    assert!(said.ends_with(": unrecognized option '--no-such-option'\n") && !said.starts_with('<'), "{said}");
}
