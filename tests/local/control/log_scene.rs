//! A `dormouse run` that logs each session to a standard error that the test chooses.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;

use dormouse_tests::failure::Doing;
use dormouse_tests::temp::TempDir;
use dormouse_tests::wait::{self, SOON};
use dormouse_tests::{Failure, Result, Subject};
use rustix::process::{Pid, Signal, kill_process};

/// A `dormouse run` with the most verbose log, and an echo server.
pub(crate) struct Scene {
    pub(crate) dir: TempDir,
    pub(crate) child: Child,
}

impl Scene {
    /// Starts dormouse with the command that `start` returns.
    pub(crate) fn new(start: impl FnOnce(&Path, &[PathBuf]) -> Command) -> Result<Self> {
        let dir = TempDir::new()?;
        echo(&dir.join("back"))?;
        let text = format!(
            "log_level = \"debug\"\nlog = \"json\"\ncontrol = \"none\"\n[services.main]\nlisten = \"{}\"\nto = \"{}\"\n",
            dir.join("front").display(),
            dir.join("back").display()
        );
        let file = dir.join("dormouse.toml");
        fs::write(&file, text).doing(|| "write the configuration".to_owned())?;
        let words = [Subject::Dormouse.program()?, "run".into(), "--config".into(), file];
        let mut command = start(dir.path(), &words);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.spawn().doing(|| format!("start {command:?}"))?;
        let scene = Self { dir, child };
        wait::until("dormouse's listener", SOON, || {
            Ok(UnixStream::connect(scene.dir.join("front")).is_ok().then_some(()))
        })?;
        Ok(scene)
    }

    /// Runs this number of consecutive sessions, each of which sends data and receives the echo.
    pub(crate) fn visits(&self, count: usize) -> Result<()> {
        for number in 0..count {
            let mut client = UnixStream::connect(self.dir.join("front")).doing(|| "connect".to_owned())?;
            client.set_read_timeout(Some(SOON)).doing(|| "set a timeout".to_owned())?;
            client.write_all(b"hello").doing(|| "send".to_owned())?;
            let mut echoed = [0; 5];
            client.read_exact(&mut echoed).doing(|| format!("receive the echo as client {number}"))?;
            if &echoed != b"hello" {
                let text = format!("client {number} received {echoed:?}");
                return Err(Failure::Unexpected(text));
            }
        }
        Ok(())
    }

    /// Sends SIGTERM and waits for the exit.
    pub(crate) fn end(&mut self) -> Result<ExitStatus> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or(Failure::Unexpected("no process id".to_owned()))?;
        kill_process(pid, Signal::TERM).doing(|| "send SIGTERM".to_owned())?;
        wait::until("the exit", SOON, || self.child.try_wait().doing(|| "wait for dormouse".to_owned()))
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // The process may have ended already; then the kill fails.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Echoes the data of each client, one client at a time.
fn echo(path: &Path) -> Result<()> {
    let listener = UnixListener::bind(path).doing(|| "listen for the echo".to_owned())?;
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            // A client without data disconnects soon.
            let _ = client.set_read_timeout(Some(SOON));
            let _ = std::io::copy(&mut &client, &mut &client);
        }
    });
    Ok(())
}

/// Returns a command whose standard error is a pipe that is not read yet.
pub(crate) fn into_a_pipe(_: &Path, words: &[PathBuf]) -> Command {
    let mut command = Command::new("env");
    command.args(words).stderr(Stdio::piped());
    command
}

/// Whether a line is one complete JSON object.
pub(crate) fn whole(line: &str) -> bool {
    line.starts_with("{\"time\":\"") && line.ends_with('}') && line.matches("{\"time\"").count() == 1
}
