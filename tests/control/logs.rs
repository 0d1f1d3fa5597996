//! A log that takes nothing: sessions go on, and what is missing in it is counted.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use dormouse_tests::failure::Doing;
use dormouse_tests::temp::TempDir;
use dormouse_tests::wait::{self, SOON};
use dormouse_tests::{Failure, Result, Subject};
use rustix::process::{Pid, Signal, kill_process};

/// How long a visit takes on a busy machine, if nothing else is in its way.
const QUICK: Duration = Duration::from_secs(2);

/// A `dormouse run` that logs all it can, in front of an echo.
struct Scene {
    dir: TempDir,
    child: Child,
}

impl Scene {
    /// One that `start` starts.
    fn new(start: impl FnOnce(&Path, &[PathBuf]) -> Command) -> Result<Self> {
        let dir = TempDir::new()?;
        echo(&dir.join("back"))?;
        let text = format!(
            "log_level = \"debug\"\nlog = \"json\"\ncontrol = \"none\"\n[services.main]\nlisten = \"{}\"\nto = \"{}\"\n",
            dir.join("front").display(),
            dir.join("back").display()
        );
        let file = dir.join("dormouse.toml");
        fs::write(&file, text).doing(|| "write the configuration".to_owned())?;
        let words = [Subject::Ours.program()?, "run".into(), "--config".into(), file];
        let mut command = start(dir.path(), &words);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.spawn().doing(|| format!("start {command:?}"))?;
        let scene = Self { dir, child };
        wait::until("dormouse's listener", SOON, || {
            Ok(UnixStream::connect(scene.dir.join("front")).is_ok().then_some(()))
        })?;
        Ok(scene)
    }

    /// So many clients, one after the other, say something and hear it back.
    fn visits(&self, count: usize) -> Result<()> {
        for number in 0..count {
            let began = Instant::now();
            let mut client = UnixStream::connect(self.dir.join("front")).doing(|| "connect".to_owned())?;
            client.set_read_timeout(Some(SOON)).doing(|| "set a timeout".to_owned())?;
            client.write_all(b"hello").doing(|| "say something".to_owned())?;
            let mut heard = [0; 5];
            client.read_exact(&mut heard).doing(|| format!("hear it back as client {number}"))?;
            if &heard != b"hello" || began.elapsed() > QUICK {
                let text = format!("client {number} heard {heard:?} after {:?}", began.elapsed());
                return Err(Failure::Unexpected(text));
            }
        }
        Ok(())
    }

    /// The log on its small disk, seen from outside.
    fn log_on_disk(&self) -> PathBuf {
        format!("/proc/{}/root{}/disk/log", self.child.id(), self.dir.path().display()).into()
    }

    /// Tells it to end, and waits for that.
    fn end(&mut self) -> Result<ExitStatus> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or(Failure::Unexpected("no process id".to_owned()))?;
        kill_process(pid, Signal::TERM).doing(|| "tell it to end".to_owned())?;
        wait::until("its end", SOON, || self.child.try_wait().doing(|| "wait for it".to_owned()))
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // It may have ended on its own; either way it is gone afterwards.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Answers each client's words with the same words, one client at a time.
fn echo(path: &Path) -> Result<()> {
    let listener = UnixListener::bind(path).doing(|| "listen for the echo".to_owned())?;
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            // A client that says nothing leaves soon.
            let _ = client.set_read_timeout(Some(SOON));
            let _ = std::io::copy(&mut &client, &mut &client);
        }
    });
    Ok(())
}

/// Its standard error is a pipe, which nobody reads yet.
fn into_a_pipe(_: &Path, words: &[PathBuf]) -> Command {
    let mut command = Command::new("env");
    command.args(words).stderr(Stdio::piped());
    command
}

/// Its standard error is a file on a disk of its own, which is small.
fn onto_a_small_disk(dir: &Path, words: &[PathBuf]) -> Command {
    const SCRIPT: &str = r#"
        mkdir "$0" && mount -t tmpfs -o size=64k,mode=700 none "$0" && cd / && exec "$@" 2>>"$0/log"
    "#;
    let mut command = Command::new("unshare");
    let user = if rustix::process::geteuid().is_root() { "--mount" } else { "--map-root-user" };
    command.args([user, "--mount", "--propagation=private", "sh", "-c", SCRIPT]);
    command.arg(dir.join("disk")).args(words);
    command
}

/// Reads lines until one holds this; all of them are JSON objects.
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

/// Whether a line is an object from its beginning to its end.
fn whole(line: &str) -> bool {
    line.starts_with("{\"time\":\"") && line.ends_with('}') && line.matches("{\"time\"").count() == 1
}

#[test]
fn a_log_that_nobody_reads_keeps_nobody_waiting() {
    let mut scene = Scene::new(into_a_pipe).unwrap();
    // More lines than the pipe and the queue have room for.
    scene.visits(6000).unwrap();
    let pipe = scene.child.stderr.take().unwrap();
    let read = lines_until(BufReader::new(pipe), "log lines were lost").unwrap();
    assert!(read < 6000, "{read} lines: nothing can have been lost");
    assert!(scene.end().unwrap().success(), "it failed");
}

#[test]
fn a_log_that_nobody_reads_does_not_keep_it_from_ending() {
    // More lines than the pipe has room for.
    let mut scene = Scene::new(into_a_pipe).unwrap();
    scene.visits(500).unwrap();
    assert!(scene.end().unwrap().success(), "it failed");
}

#[test]
fn a_full_disk_keeps_nobody_waiting() {
    let mut scene = Scene::new(onto_a_small_disk).unwrap();
    scene.visits(500).unwrap();
    let log = scene.log_on_disk();
    let full =
        || Ok((fs::metadata(&log).doing(|| "look at the log".to_owned())?.len() >= 60 << 10).then_some(()));
    wait::until("a full disk", SOON, full).unwrap();
    // Somebody makes room, as log rotation does.
    File::options().write(true).open(&log).unwrap().set_len(0).unwrap();
    scene.visits(5).unwrap();
    let text = wait::until("the number of lost lines", SOON, || {
        let text = fs::read_to_string(&log).doing(|| "read the log".to_owned())?;
        Ok(text.contains("log lines were lost").then_some(text))
    })
    .unwrap();
    let torn: Vec<_> = text.lines().filter(|line| !line.is_empty() && !whole(line)).collect();
    assert!(torn.is_empty(), "{torn:?}");
    assert!(scene.end().unwrap().success(), "it failed");
}

#[test]
fn where_nothing_can_be_written_it_says_nothing_and_leaves_as_ever() {
    // The error has nowhere to go; the exit status tells.
    let dir = TempDir::new().unwrap();
    let file = dir.join("dormouse.toml");
    fs::write(&file, "[services.main]\nlisten = \"/nonexistent/front\"\nto = \"/nonexistent/back\"\n")
        .unwrap();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut command = Command::new(Subject::Ours.program().unwrap());
    let status = command.args(["run", "--config"]).arg(&file).stderr(full).status().unwrap();
    assert_eq!(status.code(), Some(73));
}

/// Each system call costs a process of several threads more: the one that writes lines goes when there are none.
#[test]
fn who_says_nothing_has_one_thread() {
    let mut scene = Scene::new(into_a_pipe).unwrap();
    let status = format!("/proc/{}/status", scene.child.id());
    let alone = || {
        let text = fs::read_to_string(&status).doing(|| "read its status".to_owned())?;
        Ok(text.lines().any(|line| line == "Threads:\t1").then_some(()))
    };
    for _ in 0..2 {
        scene.visits(1).unwrap();
        wait::until("the end of its other threads", SOON, alone).unwrap();
    }
    let pipe = scene.child.stderr.take().unwrap();
    for _ in 0..2 {
        scene.visits(1).unwrap();
    }
    assert!(scene.end().unwrap().success(), "it failed");
    let sessions = BufReader::new(pipe).lines().map_while(std::result::Result::ok);
    assert_eq!(
        sessions.filter(|line| line.contains("\"event\":\"session\"")).count(),
        5,
        "and the one at its start"
    );
}
