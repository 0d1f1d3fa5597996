//! An activator with its log lines, and handles of processes.

use std::ffi::OsString;
use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use dormouse_activate::exec::{Exec, Sandbox};
use dormouse_activate::{
    ActivationError, Activator, ActivatorConfig, ActivatorContext, Event, LogLine, Request, RunProcesses,
};
use dormouse_tests::temp::TempDir;
use dormouse_tests::wait;
use rustix::process::{Pid, Signal};
use tokio::sync::watch;

/// A limit far above the duration of any step on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);
/// The stop timeout of the programs in these tests.
pub(crate) const STOP_TIMEOUT: Duration = Duration::from_millis(400);

/// An activator under test.
pub(crate) struct Rig {
    activator: Activator,
    lines: watch::Sender<Vec<String>>,
}

impl Rig {
    /// Starts an activator for a program.
    pub(crate) fn new(exec: Exec) -> Self {
        Self::with_stop_timeout(exec, STOP_TIMEOUT)
    }

    pub(crate) fn with_stop_timeout(exec: Exec, stop_timeout: Duration) -> Self {
        dormouse_activate::exec::set_guard_program(example("guard"));
        let lines = watch::Sender::new(Vec::new());
        let into = lines.clone();
        let log = Arc::new(move |line: LogLine<'_>| {
            let line = match line {
                LogLine::Output(text) => text.to_owned(),
                LogLine::Notice(text) => format!("notice: {text}"),
                LogLine::Warning(text) => format!("warning: {text}"),
            };
            into.send_modify(|lines: &mut Vec<String>| lines.push(line));
        });
        let context = ActivatorContext {
            name: "web".to_owned(),
            stop_timeout,
            started_by_dormouse: false,
            processes: RunProcesses::default(),
            log,
        };
        Self { activator: dormouse_activate::spawn(ActivatorConfig::Exec(exec), context), lines }
    }

    pub(crate) async fn request(&self, request: Request) {
        self.activator.requests.send(request).await.unwrap();
    }

    /// Returns the next event.
    pub(crate) async fn event(&mut self) -> Event {
        let event = tokio::time::timeout(SOON, self.activator.events.recv()).await;
        event.unwrap_or_else(|_| panic!("no event; lines: {:?}", self.lines())).expect("the task has ended")
    }

    pub(crate) async fn start(&mut self) {
        self.request(Request::Start).await;
        let event = self.event().await;
        assert!(matches!(event, Event::Launched { foreign: false }), "{event:?}");
    }

    pub(crate) async fn start_fails(&mut self) -> ActivationError {
        self.request(Request::Start).await;
        match self.event().await {
            Event::StartFailed(error) => error,
            event => panic!("{event:?}"),
        }
    }

    pub(crate) async fn stop(&mut self) {
        self.request(Request::Stop).await;
        let event = self.event().await;
        assert!(matches!(event, Event::Stopped), "{event:?}");
    }

    /// Waits for the event of the program's end.
    pub(crate) async fn exited(&mut self) -> Result<(), ActivationError> {
        match self.event().await {
            Event::Exited(how) => how,
            event => panic!("{event:?}"),
        }
    }

    /// Fails if an event arrives within `time`.
    pub(crate) async fn quiet(&mut self, time: Duration) {
        let event = tokio::time::timeout(time, self.activator.events.recv()).await;
        assert!(event.is_err(), "{event:?}");
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.borrow().clone()
    }

    /// Waits for a line that starts with `prefix`, and returns the rest of it.
    pub(crate) async fn line(&self, prefix: &str) -> String {
        self.lines_after(prefix, 1).await.remove(0)
    }

    /// Waits for `count` lines that start with `prefix`, and returns the rest of each.
    pub(crate) async fn lines_after(&self, prefix: &str, count: usize) -> Vec<String> {
        let found = |lines: &[String]| -> Vec<String> {
            lines.iter().filter_map(|line| line.strip_prefix(prefix)).map(str::to_owned).collect()
        };
        let mut lines = self.lines.subscribe();
        let enough = lines.wait_for(|lines| found(lines).len() >= count);
        let enough = tokio::time::timeout(SOON, enough).await;
        let lines = enough.unwrap_or_else(|_| panic!("no line {prefix:?} in {:?}", self.lines()));
        found(&lines.unwrap())
    }

    /// Returns the processes whose numbers the program wrote as `pid NUMBER`.
    pub(crate) async fn watched(&self, count: usize) -> Vec<Watched> {
        let said = self.lines_after("pid ", count).await;
        said.iter().map(|pid| Watched::new(pid.trim().parse().unwrap())).collect()
    }

    /// Closes the requests, and waits for the end of the task.
    pub(crate) async fn close(self) {
        drop(self.activator.requests);
        tokio::time::timeout(SOON, self.activator.task).await.expect("the task goes on").unwrap();
    }
}

/// A process, held by a pidfd so that its number is not reused.
pub(crate) struct Watched {
    pub(crate) pid: i32,
    fd: std::os::fd::OwnedFd,
}

impl Watched {
    pub(crate) fn new(pid: i32) -> Self {
        let flags = rustix::process::PidfdFlags::empty();
        let fd = rustix::process::pidfd_open(Pid::from_raw(pid).unwrap(), flags);
        Self { pid, fd: fd.unwrap_or_else(|error| panic!("process {pid}: {error}")) }
    }

    /// Waits for the end of the process.
    pub(crate) fn ended(&self) {
        let mut fds = [rustix::event::PollFd::new(&self.fd, rustix::event::PollFlags::IN)];
        let limit = rustix::event::Timespec::try_from(SOON).unwrap();
        let ready = rustix::event::poll(&mut fds, Some(&limit)).unwrap();
        assert_eq!(ready, 1, "process {} goes on: {}", self.pid, stat(self.pid));
    }

    /// Returns whether the process has ended.
    pub(crate) fn has_ended(&self) -> bool {
        let mut fds = [rustix::event::PollFd::new(&self.fd, rustix::event::PollFlags::IN)];
        rustix::event::poll(&mut fds, Some(&rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() == 1
    }

    pub(crate) fn kill(&self) {
        rustix::process::pidfd_send_signal(&self.fd, Signal::KILL).unwrap();
    }

    /// Returns the number of the parent.
    pub(crate) fn parent(&self) -> i32 {
        field(self.pid, 1).parse().unwrap()
    }
}

pub(crate) fn stat(pid: i32) -> String {
    fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default()
}

/// Returns a field after the name in /proc/PID/stat. Field 0 is the state.
pub(crate) fn field(pid: i32, index: usize) -> String {
    let stat = stat(pid);
    stat.rsplit_once(") ").unwrap().1.split(' ').nth(index).unwrap().to_owned()
}

pub(crate) fn is_guard(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.starts_with("guard:"))
}

/// Waits until `check` succeeds.
pub(crate) fn until(what: &str, mut check: impl FnMut() -> bool) {
    wait::until(what, SOON, || Ok(check().then_some(()))).unwrap();
}

/// Waits until `check` succeeds, while other tasks go on.
pub(crate) async fn until_async(what: &str, mut check: impl FnMut() -> bool) {
    wait::until_async(what, SOON, || Ok(check().then_some(()))).await.unwrap();
}

/// Returns a program with arguments.
pub(crate) fn exec(argv: &[&str]) -> Exec {
    Exec {
        argv: argv.iter().map(OsString::from).collect(),
        environment: Vec::new(),
        directory: None,
        user: None,
        sandbox: Sandbox::None,
        notify: false,
    }
}

/// Defines the command `setsid` of util-linux, which may not be installed.
const SETSID: &str = "setsid() { exec python3 -c 'import os, sys; os.setsid(); os.execvp(sys.argv[1], sys.argv[1:])' \"$@\"; };";

/// Returns a shell script as a program. The script may use `setsid` in the background.
pub(crate) fn shell(script: &str) -> Exec {
    exec(&["/bin/sh", "-c", &format!("{SETSID} {script}")])
}

/// Returns a Python script as a program.
pub(crate) fn python(script: &str) -> Exec {
    exec(&["python3", "-c", script])
}

/// Returns the path of an example of this crate, which cargo builds together with the tests.
pub(crate) fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().and_then(Path::parent).unwrap().join("examples").join(name);
    assert!(path.is_file(), "{} is missing: cargo build -p dormouse-activate --examples", path.display());
    path
}

/// Fails when a program that the test needs is not installed.
pub(crate) fn needs(program: &str, package: &str) {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|directory| directory.join(program).is_file());
    assert!(found, "{program} is missing: install the package {package}");
}

/// Checks that a daemonized program keeps running. `daemon` returns the program for a directory, in which it creates
/// `socket` and `pid`.
pub(crate) async fn check_daemon(daemon: impl Fn(&Path) -> Exec) {
    let dir = TempDir::new().unwrap();
    let answers = || UnixStream::connect(dir.join("socket")).is_ok();
    let mut rig = Rig::with_stop_timeout(daemon(dir.path()), Duration::from_secs(10));
    rig.start().await;
    until("the daemon answers", answers);
    until_first_process_ended(dir.path());
    rig.stop().await;
    assert!(!answers(), "the daemon still runs");
    // A killed daemon is a failure, although the first process has exited with code 0.
    rig.start().await;
    until("the daemon answers", answers);
    let daemon = until_first_process_ended(dir.path());
    daemon.kill();
    // The end of the first process would have been reported before.
    assert_eq!(rig.exited().await.unwrap_err().reason.split(';').next().unwrap(), "it was killed by SIGKILL");
    rig.close().await;
}

/// Waits until the guard has reaped the first process of the daemon in the file `pid`, and waits for the end of others
/// again. Returns the daemon.
fn until_first_process_ended(dir: &Path) -> Watched {
    let pid = || fs::read_to_string(dir.join("pid")).ok()?.trim().parse().ok();
    until("a pid file", || pid().is_some());
    let daemon = Watched::new(pid().unwrap());
    until("the guard as the parent of the daemon", || is_guard(daemon.parent()));
    let guard = daemon.parent();
    // A daemon that ends before the guard has noticed the end of the first process does not decide how the run ended.
    until("the end of the first process", || children(guard) == [daemon.pid] && field(guard, 0) == "S");
    daemon
}

/// Returns the numbers of the children of a process, including those that nobody has reaped.
fn children(parent: i32) -> Vec<i32> {
    let all = fs::read_dir("/proc").unwrap().flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| {
            let stat = stat(*pid);
            let fields = stat.rsplit_once(") ").map(|(_, fields)| fields.split(' '));
            fields.and_then(|mut fields| fields.nth(1)?.parse().ok()) == Some(parent)
        })
        .collect()
}

/// Checks that a program becomes ready. The program writes `socket` and the value of `NOTIFY_SOCKET`, and sends
/// `READY=1` and the status `all well` there.
pub(crate) async fn check_notification(mut program: Exec) {
    program.notify = true;
    let mut rig = Rig::new(program);
    rig.start().await;
    let event = rig.event().await;
    assert!(matches!(event, Event::Ready), "{event:?}");
    rig.line("STATUS=all well").await;
    let socket = rig.line("socket ").await;
    assert!(fs::exists(&socket).unwrap());
    rig.stop().await;
    let directory = Path::new(&socket).parent().unwrap();
    assert!(!directory.exists(), "{socket} stays behind");
    rig.close().await;
}

/// The example `drive` in a process of its own, with its output in a file.
pub(crate) struct Drive {
    pub(crate) child: Child,
    out: PathBuf,
    mark: String,
    _dir: TempDir,
}

impl Drive {
    /// Starts the example for a shell script, through the command `through`.
    pub(crate) fn start(through: &[&str], script: &str) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let dir = TempDir::new().unwrap();
        // Another user may not be able to access the build directory.
        let program = dir.join("drive");
        fs::copy(example("drive"), &program).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let out = dir.join("out");
        let file = fs::File::create(&out).unwrap();
        let mark = format!("DORMOUSE_TEST={}", dir.path().display());
        let mut command = Command::new("env");
        command.arg(&mark).args(through).arg(program);
        command.args(["exec", "--", "/bin/sh", "-c", &format!("{SETSID} {script}")]);
        command.stdin(Stdio::piped()).stdout(file.try_clone().unwrap()).stderr(file);
        Self { child: command.spawn().unwrap(), out, mark, _dir: dir }
    }

    pub(crate) fn send(&self, word: &str) {
        use std::io::Write;
        writeln!(self.child.stdin.as_ref().unwrap(), "{word}").unwrap();
    }

    pub(crate) fn text(&self) -> String {
        fs::read_to_string(&self.out).unwrap()
    }

    pub(crate) fn wait_for_text(&self, text: &str) {
        self.wait_for(text, |output| output.contains(text));
    }

    /// Waits until the output is as `check` wants it.
    pub(crate) fn wait_for(&self, what: &str, check: impl Fn(&str) -> bool) {
        let found = || Ok(check(&self.text()).then_some(()));
        wait::until(what, SOON, found).unwrap_or_else(|failure| panic!("{failure} in {}", self.text()));
    }

    /// Returns all processes with the mark in their environment, including the example.
    pub(crate) fn all(&self) -> Vec<i32> {
        let all = fs::read_dir("/proc").unwrap().flatten();
        all.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|pid: &i32| {
                fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environ| {
                    // A guard has the variables of its program under other names.
                    environ.split(|byte| *byte == 0).any(|variable| variable.ends_with(self.mark.as_bytes()))
                })
            })
            .collect()
    }

    /// Kills only the example.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Drive {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        for pid in self.all() {
            let _ = rustix::process::kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL);
        }
    }
}
