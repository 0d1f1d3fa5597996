//! The user's own commands behind the waker `command`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test's helpers fail as its body does"
)]

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use dormouse_wake::command::Commands;
use dormouse_wake::{Context, Line, News, Order, Wake, WakeError, Waker};

/// Far above what anything here takes on a busy machine.
const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn it_is_started_frozen_thawed_and_stopped() {
    let mut rig = Rig::new(
        "echo starting; touch runs",
        &[("stop", "rm runs"), ("freeze", "touch frozen"), ("thaw", "rm frozen"), ("status", "test -e runs")],
    );
    for _ in 0..2 {
        rig.order(Order::Start).await;
        assert!(matches!(rig.news().await, News::Launched { foreign: false }));
        assert!(rig.exists("runs"));
        rig.order(Order::Freeze).await;
        assert!(matches!(rig.news().await, News::Frozen));
        assert!(rig.exists("frozen"));
        rig.order(Order::Thaw).await;
        assert!(matches!(rig.news().await, News::Thawed));
        assert!(!rig.exists("frozen"));
        // Frozen, it is thawed to be stopped.
        rig.order(Order::Freeze).await;
        assert!(matches!(rig.news().await, News::Frozen));
        rig.order(Order::Stop).await;
        assert!(matches!(rig.news().await, News::Stopped));
        assert!(!rig.exists("runs") && !rig.exists("frozen"));
    }
    rig.heard("starting", 2).await;
    rig.close().await;
}

#[tokio::test]
async fn what_runs_already_is_not_started_again() {
    let mut rig = Rig::new("touch started", &[("status", "test -e runs")]);
    rig.quiet(Duration::from_millis(300)).await;
    rig.touch("runs");
    rig.order(Order::Start).await;
    assert!(matches!(rig.news().await, News::Launched { foreign: true }));
    assert!(!rig.exists("started"));
    rig.close().await;
}

#[tokio::test]
async fn what_others_start_and_end_is_noticed() {
    // Asked for at once.
    let mut rig = Rig::prepared("true", &[("status", "test -e runs")], |rig| rig.touch("runs"));
    assert!(matches!(rig.news().await, News::Running { .. }));
    // …and every five seconds.
    fs::remove_file(rig.dir.join("runs")).unwrap();
    assert!(matches!(rig.news().await, News::Exited(Ok(()))));
    rig.close().await;
}

#[tokio::test]
async fn a_start_that_fails_tells_why() {
    let error = Rig::new("echo no such machine >&2; exit 7", &[]).start_fails().await;
    assert_eq!(
        error.reason,
        "the start command failed: it exited with code 7; it last wrote \"no such machine\""
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
async fn a_stop_ends_a_start_that_takes_long() {
    let mut rig = Rig::new("echo $$; sleep 1000 & wait", &[("stop", "touch stopped")]);
    rig.order(Order::Start).await;
    let began = Instant::now();
    while rig.lines().is_empty() {
        assert!(began.elapsed() < SOON);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    rig.order(Order::Stop).await;
    assert!(matches!(rig.news().await, News::Stopped));
    assert!(rig.exists("stopped"));
    assert!(!fs::exists(format!("/proc/{}", rig.lines()[0])).unwrap());
    rig.close().await;
}

#[tokio::test]
async fn commands_that_take_too_long_are_killed() {
    let mut rig = Rig::new("true", &[("stop", "sleep 1000"), ("freeze", "sleep 1000"), ("thaw", "true")]);
    rig.order(Order::Start).await;
    assert!(matches!(rig.news().await, News::Launched { .. }));
    rig.order(Order::Freeze).await;
    match rig.news().await {
        News::FreezeFailed(error) => assert!(error.reason.contains("took longer than 1 s"), "{error}"),
        news => panic!("{news:?}"),
    }
    rig.order(Order::Stop).await;
    assert!(matches!(rig.news().await, News::Stopped));
    assert!(rig.lines()[0].contains("the stop command was killed"), "{:?}", rig.lines());
    rig.close().await;
}

#[tokio::test]
async fn a_stop_is_done_when_the_status_says_so() {
    let stop = "(sleep 0.2; rm runs) >/dev/null 2>&1 &";
    let mut rig = Rig::new("touch runs", &[("stop", stop), ("status", "test -e runs")]);
    rig.order(Order::Start).await;
    assert!(matches!(rig.news().await, News::Launched { .. }));
    rig.order(Order::Stop).await;
    assert!(matches!(rig.news().await, News::Stopped));
    assert!(!rig.exists("runs"), "{:?}", rig.lines());
    rig.close().await;
}

#[tokio::test]
async fn what_has_no_command_is_told() {
    let mut rig = Rig::new("true", &[]);
    rig.order(Order::Start).await;
    assert!(matches!(rig.news().await, News::Launched { .. }));
    rig.order(Order::Freeze).await;
    assert!(matches!(rig.news().await, News::FreezeFailed(_)));
    rig.order(Order::Thaw).await;
    assert!(matches!(rig.news().await, News::Thawed));
    rig.order(Order::Stop).await;
    assert!(matches!(rig.news().await, News::Stopped));
    assert!(rig.lines()[0].contains("has no stop command"), "{:?}", rig.lines());
    rig.close().await;
}

#[tokio::test]
async fn what_a_start_left_behind_is_heard_and_left_alone() {
    let mut rig = Rig::new(
        "sh -c 'echo $$; while [ ! -e go ]; do sleep 0.01; done; echo later; exec sleep 1000' &",
        &[],
    );
    rig.order(Order::Start).await;
    assert!(matches!(rig.news().await, News::Launched { foreign: false }));
    rig.touch("go");
    rig.heard("later", 1).await;
    let pid: i32 = rig.lines()[0].parse().unwrap();
    rig.close().await;
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it was ended");
}

/// A waker that is driven by hand, in a directory of its own.
struct Rig {
    waker: Option<Waker>,
    lines: Arc<Mutex<Vec<String>>>,
    dir: PathBuf,
}

impl Rig {
    /// With these scripts of the shell.
    fn new(start: &str, others: &[(&str, &str)]) -> Self {
        Self::prepared(start, others, |_| ())
    }

    fn prepared(start: &str, others: &[(&str, &str)], prepare: impl FnOnce(&Self)) -> Self {
        let mut rig = Self::empty();
        prepare(&rig);
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
        Self { waker: None, lines: Arc::default(), dir }
    }

    fn spawn(&mut self, commands: Commands) {
        let into = Arc::clone(&self.lines);
        let tell = Arc::new(move |line: Line<'_>| {
            let (Line::Output(text) | Line::Notice(text) | Line::Warning(text)) = line;
            into.lock().unwrap().push(text.to_owned());
        });
        let context =
            Context { name: "vm".to_owned(), stop_timeout: Duration::from_secs(1), ours: false, tell };
        self.waker = Some(dormouse_wake::spawn(Wake::Command(commands), context));
    }

    async fn order(&self, order: Order) {
        self.waker.as_ref().unwrap().orders.send(order).await.unwrap();
    }

    async fn news(&mut self) -> News {
        let news = tokio::time::timeout(SOON, self.waker.as_mut().unwrap().news.recv()).await;
        news.unwrap_or_else(|_| panic!("no news; lines: {:?}", self.lines())).expect("the task has ended")
    }

    async fn start_fails(&mut self) -> WakeError {
        self.order(Order::Start).await;
        match self.news().await {
            News::StartFailed(error) => error,
            news => panic!("{news:?}"),
        }
    }

    /// No news for so long.
    async fn quiet(&mut self, time: Duration) {
        let news = tokio::time::timeout(time, self.waker.as_mut().unwrap().news.recv()).await;
        assert!(news.is_err(), "{news:?}");
    }

    /// So many lines that are this one, now or later.
    async fn heard(&self, wanted: &str, count: usize) {
        let began = Instant::now();
        while self.lines().iter().filter(|line| *line == wanted).count() < count {
            assert!(began.elapsed() < SOON, "{:?}", self.lines());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    fn exists(&self, name: &str) -> bool {
        self.dir.join(name).exists()
    }

    fn touch(&self, name: &str) {
        fs::write(self.dir.join(name), "").unwrap();
    }

    async fn close(mut self) {
        let waker = self.waker.take().unwrap();
        drop(waker.orders);
        tokio::time::timeout(SOON, waker.task).await.expect("the task goes on").unwrap();
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}
