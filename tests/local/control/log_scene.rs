//! A `dormouse run` that logs each session to a standard error of the test's choice.

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

/// A `dormouse run` that logs all it can, in front of an echo.
pub(crate) struct Scene {
    pub(crate) dir: TempDir,
    pub(crate) child: Child,
}

impl Scene {
    /// One that `start` starts.
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

    /// So many clients, one after the other, say something and hear it back.
    pub(crate) fn visits(&self, count: usize) -> Result<()> {
        for number in 0..count {
            let mut client = UnixStream::connect(self.dir.join("front")).doing(|| "connect".to_owned())?;
            client.set_read_timeout(Some(SOON)).doing(|| "set a timeout".to_owned())?;
            client.write_all(b"hello").doing(|| "say something".to_owned())?;
            let mut heard = [0; 5];
            client.read_exact(&mut heard).doing(|| format!("hear it back as client {number}"))?;
            if &heard != b"hello" {
                let text = format!("client {number} received {heard:?}");
                return Err(Failure::Unexpected(text));
            }
        }
        Ok(())
    }

    /// Tells it to end, and waits for that.
    pub(crate) fn end(&mut self) -> Result<ExitStatus> {
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
pub(crate) fn into_a_pipe(_: &Path, words: &[PathBuf]) -> Command {
    let mut command = Command::new("env");
    command.args(words).stderr(Stdio::piped());
    command
}

/// Whether a line is an object from its beginning to its end.
pub(crate) fn whole(line: &str) -> bool {
    line.starts_with("{\"time\":\"") && line.ends_with('}') && line.matches("{\"time\"").count() == 1
}
