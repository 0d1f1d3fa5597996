//! A log sink that accepts nothing: sessions continue, and lost lines are counted.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::process::{ChildStderr, Command};
use std::thread;

use dormouse_tests::failure::Doing;
use dormouse_tests::temp::TempDir;
use dormouse_tests::wait::{self, SOON};
use dormouse_tests::{Failure, Result, Subject};

use super::log_scene::{Scene, into_a_pipe, whole};

/// Reads lines until one contains `part`; all lines are JSON objects.
fn lines_until(lines: BufReader<ChildStderr>, part: &'static str) -> Result<usize> {
    let (send, receive) = std::sync::mpsc::channel();
    thread::spawn(move || {
        for line in lines.lines().map_while(std::result::Result::ok) {
            if send.send(line).is_err() {
                return;
            }
        }
    });
    for number in 1.. {
        let line =
            receive.recv_timeout(SOON).map_err(|error| Failure::Unexpected(format!("{part}: {error}")))?;
        if !whole(&line) {
            return Err(Failure::Unexpected(line));
        }
        if line.contains(part) {
            return Ok(number);
        }
    }
    Ok(0)
}

#[test]
fn an_unread_log_pipe_delays_no_client() {
    let mut scene = Scene::new(into_a_pipe).unwrap();
    // More lines than the pipe and the queue can hold.
    scene.visits(6000).unwrap();
    let pipe = scene.child.stderr.take().unwrap();
    let read = lines_until(BufReader::new(pipe), "lost: the reader is too slow").unwrap();
    assert!(read < 6000, "{read} lines: nothing can have been lost");
    assert!(scene.end().unwrap().success(), "dormouse failed");
}

#[test]
fn an_unread_log_pipe_does_not_delay_the_exit() {
    // More lines than the pipe can hold.
    let mut scene = Scene::new(into_a_pipe).unwrap();
    scene.visits(500).unwrap();
    assert!(scene.end().unwrap().success(), "dormouse failed");
}

#[test]
fn without_standard_error_the_exit_status_is_unchanged() {
    // The error cannot be printed; only the exit status reports it.
    let dir = TempDir::new().unwrap();
    let file = dir.join("dormouse.toml");
    fs::write(&file, "[services.main]\nlisten = \"/nonexistent/front\"\nto = \"/nonexistent/back\"\n")
        .unwrap();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut command = Command::new(Subject::Dormouse.program().unwrap());
    let status = command.args(["run", "--config"]).arg(&file).stderr(full).status().unwrap();
    assert_eq!(status.code(), Some(73));
}

/// System calls are more expensive in a process with several threads, so that the log thread ends when it has no
/// lines.
#[test]
fn a_process_without_log_lines_has_one_thread() {
    let mut scene = Scene::new(into_a_pipe).unwrap();
    let status = format!("/proc/{}/status", scene.child.id());
    let alone = || {
        let text = fs::read_to_string(&status).doing(|| "read its status".to_owned())?;
        Ok(text.lines().any(|line| line == "Threads:\t1").then_some(()))
    };
    for _ in 0..2 {
        scene.visits(1).unwrap();
        wait::until("the end of the other threads", SOON, alone).unwrap();
    }
    let pipe = scene.child.stderr.take().unwrap();
    for _ in 0..2 {
        scene.visits(1).unwrap();
    }
    assert!(scene.end().unwrap().success(), "dormouse failed");
    let sessions = BufReader::new(pipe).lines().map_while(std::result::Result::ok);
    assert_eq!(
        sessions.filter(|line| line.contains("\"event\":\"session\"")).count(),
        5,
        "and the line at the start"
    );
}
