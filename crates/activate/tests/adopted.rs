//! Processes whose parent has ended. The kernel gives them to the first process of their PID namespace, and likewise to a
//! subreaper, which this test makes of itself. That changes the whole process, so it is one test in a process of its own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test's helpers fail as its body does"
)]

use std::ffi::OsString;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use dormouse_activate::command::Commands;
use dormouse_activate::{ActivatorConfig, ActivatorContext, Event, Request, RunProcesses, reap_adopted};
use dormouse_tests::wait::until_async;
use rustix::process::{getpid, set_child_subreaper};

/// A limit far above the duration of any step on a busy machine.
const SOON: Duration = Duration::from_secs(20);

/// Leaves processes behind, which end before and after the command.
const ORPHANS: &str =
    "for time in 0 0.01 0.02 0.1; do sleep $time & (sleep $time & sleep $time &) done; exit 7";

#[tokio::test]
async fn adopted_processes_are_reaped_and_started_ones_left_to_their_owners() {
    set_child_subreaper(Some(getpid())).unwrap();
    let reaper = tokio::spawn(reap_adopted());
    let shell = |script: &str| ["/bin/sh", "-c", script].map(OsString::from).to_vec();
    let commands = Commands {
        start: shell(ORPHANS),
        stop: None,
        freeze: None,
        thaw: None,
        status: Some(shell("false")),
    };
    let context = ActivatorContext {
        name: "vm".to_owned(),
        stop_timeout: SOON,
        started_by_dormouse: false,
        processes: RunProcesses::default(),
        log: Arc::new(|_| ()),
    };
    let mut activator = dormouse_activate::spawn(ActivatorConfig::Command(commands), context);
    for _ in 0..10 {
        activator.requests.send(Request::Start).await.unwrap();
        let event = tokio::time::timeout(SOON, activator.events.recv()).await.expect("no event");
        let Some(Event::StartFailed(error)) = event else { panic!("{event:?}") };
        // The status of the command was not lost.
        assert!(error.reason.contains("it exited with code 7"), "{error}");
    }
    let none_left = until_async("an empty table", SOON, || Ok(children().is_empty().then_some(()))).await;
    assert!(none_left.is_ok(), "still in the table of processes: {:?}", children());
    assert!(!reaper.is_finished());
}

/// Returns the entries of the children of this process, ended or not.
fn children() -> Vec<String> {
    let own = getpid().to_string();
    let all = fs::read_dir("/proc").unwrap().flatten();
    all.filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok())
        .filter(|stat| {
            let fields = stat.rsplit_once(") ").map(|(_, fields)| fields.split(' '));
            fields.is_some_and(|mut fields| fields.nth(1) == Some(&own))
        })
        .collect()
}
