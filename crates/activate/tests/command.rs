//! The activator for the user's own commands.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test's helpers fail as its body does"
)]

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use dormouse_activate::command::{Commands, succeeds};
use dormouse_activate::{
    ActivationError, Activator, ActivatorConfig, ActivatorContext, Event, LogLine, Request, RunProcesses,
};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::sync::watch;

/// A limit far above the duration of any step on a busy machine.
const SOON: Duration = Duration::from_secs(20);
const FREEZE: (&str, &str) = ("freeze", "touch frozen");
const THAW: (&str, &str) = ("thaw", "rm frozen");

#[tokio::test]
async fn a_workload_is_started_frozen_thawed_and_stopped() {
    let mut rig = Rig::new(
        "echo starting; touch runs",
        &[("stop", "rm runs"), ("freeze", "touch frozen"), ("thaw", "rm frozen"), ("status", "test -e runs")],
    );
    for _ in 0..2 {
        rig.request(Request::Start).await;
        assert!(matches!(rig.event().await, Event::Launched { foreign: false }));
        assert!(rig.exists("runs"));
        rig.request(Request::Freeze).await;
        assert!(matches!(rig.event().await, Event::Frozen));
        assert!(rig.exists("frozen"));
        rig.request(Request::Thaw).await;
        assert!(matches!(rig.event().await, Event::Thawed));
        assert!(!rig.exists("frozen"));
        // A stop thaws a frozen workload first.
        rig.request(Request::Freeze).await;
        assert!(matches!(rig.event().await, Event::Frozen));
        rig.request(Request::Stop).await;
        assert!(matches!(rig.event().await, Event::Stopped));
        assert!(!rig.exists("runs") && !rig.exists("frozen"));
    }
    rig.wait_for_line("starting", 2).await;
    rig.close().await;
}

#[tokio::test]
async fn a_running_workload_is_not_started_again() {
    let status = "test -e runs || { echo no >asked; false; }";
    let mut asked = None;
    let mut rig =
        Rig::prepared("touch started", &[("status", status)], |rig| asked = Some(rig.fifo("asked")));
    // The first status command finds nothing.
    let first_byte = asked.as_mut().unwrap().read_u8();
    tokio::time::timeout(SOON, first_byte).await.expect("it is not asked").unwrap();
    rig.touch("runs");
    rig.request(Request::Start).await;
    assert!(matches!(rig.event().await, Event::Launched { foreign: true }));
    assert!(!rig.exists("started"));
    rig.close().await;
}

#[tokio::test]
async fn a_start_or_end_by_another_program_is_noticed() {
    // The status command runs immediately.
    let mut rig = Rig::prepared("true", &[("status", "test -e runs")], |rig| rig.touch("runs"));
    assert!(matches!(rig.event().await, Event::Running { .. }));
    // It runs again every five seconds.
    fs::remove_file(rig.dir.join("runs")).unwrap();
    assert!(matches!(rig.event().await, Event::Exited(Ok(()))));
    rig.close().await;
}

#[tokio::test]
async fn a_failed_start_reports_the_reason() {
    let error = Rig::new("echo no such machine >&2; exit 7", &[]).start_fails().await;
    assert_eq!(
        error.reason,
        "the start command failed: it exited with code 7; its last output was \"no such machine\""
    );
    let mut rig = Rig::with(|dir| Commands {
        start: vec![dir.join("nonexistent").into()],
        stop: None,
        freeze: None,
        thaw: None,
        status: None,
    });
    let error = rig.start_fails().await;
    assert!(error.reason.contains("check the path"), "{error}");
}

#[tokio::test]
async fn a_stop_cancels_a_slow_start() {
    let mut rig = Rig::new("echo $$; sleep 1000 & wait", &[("stop", "touch stopped")]);
    rig.request(Request::Start).await;
    rig.wait_for_lines(|lines| !lines.is_empty()).await;
    rig.request(Request::Stop).await;
    assert!(matches!(rig.event().await, Event::Stopped));
    assert!(rig.exists("stopped"));
    assert!(!fs::exists(format!("/proc/{}", rig.lines()[0])).unwrap());
    rig.close().await;
}

#[tokio::test]
async fn slow_commands_are_killed() {
    let mut rig = Rig::new("true", &[("stop", "sleep 1000"), ("freeze", "sleep 1000"), ("thaw", "true")]);
    rig.request(Request::Start).await;
    assert!(matches!(rig.event().await, Event::Launched { .. }));
    rig.request(Request::Freeze).await;
    match rig.event().await {
        Event::FreezeFailed(error) => assert!(error.reason.contains("took longer than 1 s"), "{error}"),
        event => panic!("{event:?}"),
    }
    rig.request(Request::Stop).await;
    assert!(matches!(rig.event().await, Event::Stopped));
    assert!(rig.lines()[0].contains("the stop command was killed"), "{:?}", rig.lines());
    rig.close().await;
}

#[tokio::test]
async fn a_stop_completes_when_the_status_command_confirms_it() {
    let stop = "(sleep 0.2; rm runs) >/dev/null 2>&1 &";
    let mut rig = Rig::new("touch runs", &[("stop", stop), ("status", "test -e runs")]);
    rig.request(Request::Start).await;
    assert!(matches!(rig.event().await, Event::Launched { .. }));
    rig.request(Request::Stop).await;
    assert!(matches!(rig.event().await, Event::Stopped));
    assert!(!rig.exists("runs"), "{:?}", rig.lines());
    rig.close().await;
}

#[tokio::test]
async fn a_workload_frozen_before_a_restart_is_thawed() {
    // The first status command recognises a frozen workload, the second does not.
    for status in ["test -e runs", "test -e runs && test ! -e frozen"] {
        let others = [("stop", "rm runs"), FREEZE, THAW, ("status", status)];
        let mut rig = Rig::prepared("touch started", &others, Rig::left_frozen);
        assert!(matches!(rig.event().await, Event::Running { foreign: false }), "{status}");
        assert!(!rig.exists("frozen"), "{status}");
        rig.request(Request::Stop).await;
        assert!(matches!(rig.event().await, Event::Stopped), "{status}");
        assert!(!rig.exists("runs"), "{status}");
        rig.close().await;
        // A start request comes before the first status command has finished.
        let mut rig = Rig::prepared("touch started", &others, Rig::left_frozen);
        rig.request(Request::Start).await;
        let mut event = rig.event().await;
        if matches!(event, Event::Running { foreign: false }) {
            event = rig.event().await;
        }
        assert!(matches!(event, Event::Launched { foreign: false }), "{status}: {event:?}");
        assert!(!rig.exists("frozen") && !rig.exists("started"), "{status}");
        rig.close().await;
    }
    // A stop request comes first.
    let others = [("stop", "test ! -e frozen && rm runs"), FREEZE, THAW];
    let mut rig = Rig::prepared("true", &others, Rig::left_frozen);
    rig.request(Request::Stop).await;
    assert!(matches!(rig.event().await, Event::Stopped));
    assert!(!rig.exists("frozen") && !rig.exists("runs"));
    rig.close().await;
}

#[tokio::test]
async fn a_workload_running_before_a_restart_is_not_foreign() {
    let others = [FREEZE, THAW, ("status", "test -e runs")];
    let mut rig = Rig::prepared("touch started", &others, |rig| {
        rig.started_by_dormouse = true;
        rig.touch("runs");
    });
    assert!(matches!(rig.event().await, Event::Running { foreign: false }));
    for _ in 0..2 {
        rig.request(Request::Start).await;
        assert!(matches!(rig.event().await, Event::Launched { foreign: false }));
    }
    assert!(!rig.exists("started"));
    rig.close().await;
}

#[tokio::test]
async fn a_failed_freeze_is_undone() {
    for freeze in ["touch frozen; echo no >&2; exit 1", "touch frozen; sleep 1000"] {
        let others = [("freeze", freeze), THAW];
        let mut rig = Rig::new("true", &others);
        rig.request(Request::Start).await;
        assert!(matches!(rig.event().await, Event::Launched { .. }));
        rig.request(Request::Freeze).await;
        assert!(matches!(rig.event().await, Event::FreezeFailed(_)), "{freeze}");
        assert!(!rig.exists("frozen"), "{freeze}");
        rig.close().await;
    }
}

#[tokio::test]
async fn a_failed_thaw_is_repeated_at_the_next_start() {
    let thaw = "test -e may_thaw && rm frozen";
    let others = [("stop", "rm runs"), FREEZE, ("thaw", thaw), ("status", "test -e runs")];
    let mut rig = Rig::new("touch runs", &others);
    rig.request(Request::Start).await;
    assert!(matches!(rig.event().await, Event::Launched { foreign: false }));
    rig.request(Request::Freeze).await;
    assert!(matches!(rig.event().await, Event::Frozen));
    rig.request(Request::Thaw).await;
    assert!(matches!(rig.event().await, Event::Exited(Err(_))));
    assert!(rig.exists("frozen"));
    // The next client.
    rig.touch("may_thaw");
    rig.request(Request::Start).await;
    assert!(matches!(rig.event().await, Event::Launched { foreign: false }));
    assert!(!rig.exists("frozen"));
    rig.request(Request::Stop).await;
    assert!(matches!(rig.event().await, Event::Stopped));
    assert!(!rig.exists("runs"));
    rig.close().await;
}

#[tokio::test]
async fn commands_get_the_original_descriptor_limit() {
    // This changes the limit of the test process, so no other test may do it.
    dormouse_sys::fd_limit::set(500);
    assert_eq!(dormouse_sys::fd_limit::raise(600), 600);
    let mut rig = Rig::new("ulimit -n", &[("stop", "test $(ulimit -n) = 500 && touch stopped")]);
    rig.request(Request::Start).await;
    assert!(matches!(rig.event().await, Event::Launched { .. }));
    rig.wait_for_line("500", 1).await;
    rig.request(Request::Stop).await;
    assert!(matches!(rig.event().await, Event::Stopped));
    assert!(rig.exists("stopped"), "{:?}", rig.lines());
    rig.close().await;
}

#[tokio::test]
async fn succeeds_kills_commands_that_are_too_slow() {
    let ask = |script: &str| -> Vec<OsString> { ["/bin/sh", "-c", script].map(Into::into).to_vec() };
    let name = format!("question-{}", std::process::id());
    let log = Arc::new(|_: LogLine<'_>| ());
    let context = ActivatorContext {
        name: name.clone(),
        stop_timeout: SOON,
        started_by_dormouse: false,
        processes: RunProcesses::default(),
        log,
    };
    assert!(succeeds(&ask("test \"$DORMOUSE_SERVICE\""), &context, SOON).await);
    assert!(!succeeds(&ask("exit 1"), &context, SOON).await);
    assert!(!succeeds(&["/nonexistent".into()], &context, SOON).await);
    assert!(!succeeds(&[], &context, SOON).await);
    // A shell that waits for another program.
    let hangs = ask("sleep 1000 & wait");
    assert!(!succeeds(&hangs, &context, Duration::from_millis(300)).await);
    none_left(&name).await;
    // The caller drops the future.
    let asked = succeeds(&hangs, &context, SOON);
    assert!(tokio::time::timeout(Duration::from_millis(300), asked).await.is_err());
    none_left(&name).await;
}

/// Waits until no process of the service of this name is left.
async fn none_left(name: &str) {
    let mark = format!("DORMOUSE_SERVICE={name}");
    let is_left = |environ: Vec<u8>| environ.split(|byte| *byte == 0).any(|one| one == mark.as_bytes());
    let began = Instant::now();
    loop {
        let all = fs::read_dir("/proc").unwrap().flatten();
        let left: Vec<_> = all
            .filter(|entry| fs::read(entry.path().join("environ")).is_ok_and(is_left))
            .map(|entry| entry.file_name())
            .collect();
        if left.is_empty() {
            return;
        }
        assert!(began.elapsed() < SOON, "{left:?} are left");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn operations_without_a_command_are_reported() {
    let mut rig = Rig::new("true", &[]);
    rig.request(Request::Start).await;
    assert!(matches!(rig.event().await, Event::Launched { .. }));
    rig.request(Request::Freeze).await;
    assert!(matches!(rig.event().await, Event::FreezeFailed(_)));
    rig.request(Request::Thaw).await;
    assert!(matches!(rig.event().await, Event::Thawed));
    rig.request(Request::Stop).await;
    assert!(matches!(rig.event().await, Event::Stopped));
    assert!(rig.lines()[0].contains("has no stop command"), "{:?}", rig.lines());
    rig.close().await;
}

#[tokio::test]
async fn background_processes_of_a_start_are_logged_and_kept() {
    let mut rig = Rig::new(
        "sh -c 'echo $$; while [ ! -e go ]; do sleep 0.01; done; echo later; exec sleep 1000' &",
        &[],
    );
    rig.request(Request::Start).await;
    assert!(matches!(rig.event().await, Event::Launched { foreign: false }));
    rig.touch("go");
    rig.wait_for_line("later", 1).await;
    let pid: i32 = rig.lines()[0].parse().unwrap();
    rig.close().await;
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it was ended");
}

/// An activator in a directory of its own.
struct Rig {
    activator: Option<Activator>,
    lines: watch::Sender<Vec<String>>,
    dir: PathBuf,
    /// A workload that runs already was started by dormouse.
    started_by_dormouse: bool,
}

impl Rig {
    /// Starts an activator with these shell scripts.
    fn new(start: &str, others: &[(&str, &str)]) -> Self {
        Self::prepared(start, others, |_| ())
    }

    fn prepared(start: &str, others: &[(&str, &str)], prepare: impl FnOnce(&mut Self)) -> Self {
        let mut rig = Self::empty();
        prepare(&mut rig);
        let shell = |script: &str| -> Vec<OsString> {
            let script = format!("cd {} && {{ {script}\n}}", rig.dir.display());
            vec!["/bin/sh".into(), "-c".into(), script.into()]
        };
        let other = |name| others.iter().find(|(which, _)| *which == name).map(|(_, script)| shell(script));
        let commands = Commands {
            start: shell(start),
            stop: other("stop"),
            freeze: other("freeze"),
            thaw: other("thaw"),
            status: other("status"),
        };
        rig.spawn(commands);
        rig
    }

    fn with(commands: impl FnOnce(&PathBuf) -> Commands) -> Self {
        let mut rig = Self::empty();
        let commands = commands(&rig.dir);
        rig.spawn(commands);
        rig
    }

    fn empty() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("dormouse-command-test-{}-{number}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        Self { activator: None, lines: watch::Sender::default(), dir, started_by_dormouse: false }
    }

    fn spawn(&mut self, commands: Commands) {
        let into = self.lines.clone();
        let log = Arc::new(move |line: LogLine<'_>| {
            let (LogLine::Output(text) | LogLine::Notice(text) | LogLine::Warning(text)) = line;
            into.send_modify(|lines| lines.push(text.to_owned()));
        });
        let stop_timeout = Duration::from_secs(1);
        let context = ActivatorContext {
            name: "vm".to_owned(),
            stop_timeout,
            started_by_dormouse: self.started_by_dormouse,
            processes: RunProcesses::default(),
            log,
        };
        self.activator = Some(dormouse_activate::spawn(ActivatorConfig::Command(commands), context));
    }

    /// Prepares a workload that dormouse has started and frozen before a restart.
    fn left_frozen(&mut self) {
        self.started_by_dormouse = true;
        self.touch("runs");
        self.touch("frozen");
    }

    async fn request(&self, request: Request) {
        self.activator.as_ref().unwrap().requests.send(request).await.unwrap();
    }

    async fn event(&mut self) -> Event {
        let event = tokio::time::timeout(SOON, self.activator.as_mut().unwrap().events.recv()).await;
        event.unwrap_or_else(|_| panic!("no event; lines: {:?}", self.lines())).expect("the task has ended")
    }

    async fn start_fails(&mut self) -> ActivationError {
        self.request(Request::Start).await;
        match self.event().await {
            Event::StartFailed(error) => error,
            event => panic!("{event:?}"),
        }
    }

    /// Creates a FIFO for scripts to write to.
    fn fifo(&self, name: &str) -> pipe::Receiver {
        let path = self.dir.join(name);
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RWXU).unwrap();
        // Opened for writing, too, so that the reader sees no end of file.
        pipe::OpenOptions::new().read_write(true).open_receiver(path).unwrap()
    }

    /// Waits until `count` lines equal `wanted`.
    async fn wait_for_line(&self, wanted: &str, count: usize) {
        self.wait_for_lines(|lines| lines.iter().filter(|line| *line == wanted).count() >= count).await;
    }

    /// Waits until the lines match.
    async fn wait_for_lines(&self, matches: impl Fn(&[String]) -> bool) {
        let mut lines = self.lines.subscribe();
        let found = tokio::time::timeout(SOON, lines.wait_for(|lines| matches(lines))).await;
        assert!(found.is_ok(), "{:?}", self.lines());
    }

    fn lines(&self) -> Vec<String> {
        self.lines.borrow().clone()
    }

    fn exists(&self, name: &str) -> bool {
        self.dir.join(name).exists()
    }

    fn touch(&self, name: &str) {
        fs::write(self.dir.join(name), "").unwrap();
    }

    async fn close(mut self) {
        let activator = self.activator.take().unwrap();
        drop(activator.requests);
        tokio::time::timeout(SOON, activator.task).await.expect("the task goes on").unwrap();
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}
