//! Freezing and thawing.

use std::time::Duration;

use dormouse_activate::{Event, Request};

use crate::rig::{Drive, Rig, Watched, field, shell, until};

/// Two processes that append to files, one of them in another session.
const COUNTERS: &str = "setsid sh -c 'echo pid $$; while :; do echo x >>two; sleep 0.005; done' &
    echo pid $$; while :; do echo x >>one; sleep 0.005; done";

/// Runs a command as the user 65534.
const AS_NOBODY: &str = "import os, sys; os.setgroups([]); os.setgid(65534); os.setuid(65534); os.execvp(sys.argv[1], sys.argv[1:])";

#[tokio::test]
async fn no_process_runs_until_the_thaw() {
    let dir = dormouse_tests::temp::TempDir::new().unwrap();
    let mut program = shell(COUNTERS);
    program.directory = Some(dir.path().to_owned());
    let mut rig = Rig::new(program);
    rig.start().await;
    let all = rig.watched(2).await;
    let counted =
        || ["one", "two"].map(|name| std::fs::metadata(dir.join(name)).map_or(0, |file| file.len()));
    until("both count", || counted().iter().all(|count| *count > 0));
    for _ in 0..5 {
        rig.request(Request::Freeze).await;
        let event = rig.event().await;
        assert!(matches!(event, Event::Frozen), "{event:?}");
        let before = counted();
        rig.quiet(Duration::from_millis(100)).await;
        assert_eq!(counted(), before, "something moves");
        rig.request(Request::Thaw).await;
        assert!(matches!(rig.event().await, Event::Thawed));
        until("both count again", || counted().iter().zip(before).all(|(now, before)| *now > before));
    }
    // A frozen program can be stopped and started again.
    rig.request(Request::Freeze).await;
    assert!(matches!(rig.event().await, Event::Frozen));
    rig.stop().await;
    assert!(all.iter().all(Watched::has_ended));
    rig.start().await;
    rig.close().await;
}

#[tokio::test]
async fn a_stop_thaws_a_frozen_program_first() {
    let script = "trap 'echo goodbye; exit 0' TERM; echo ready; while :; do sleep 0.01; done";
    let mut rig = Rig::with_stop_timeout(shell(script), Duration::from_secs(600));
    rig.start().await;
    rig.line("ready").await;
    rig.request(Request::Freeze).await;
    assert!(matches!(rig.event().await, Event::Frozen));
    rig.stop().await;
    rig.line("goodbye").await;
    rig.close().await;
}

#[test]
fn without_a_control_group_signals_freeze_the_program() {
    // Another user may not create control groups.
    let through: &[&str] =
        if rustix::process::geteuid().is_root() { &["python3", "-c", AS_NOBODY] } else { &[] };
    let drive = Drive::start(
        through,
        "echo pid $$; setsid sh -c 'echo pid $$; exec sleep 1000' & while :; do sleep 0.01; done",
    );
    drive.send("start");
    until("two processes", || drive.text().matches("pid ").count() == 2);
    let pids: Vec<i32> = drive
        .text()
        .lines()
        .filter_map(|line| line.strip_prefix("Output(\"pid ")?.strip_suffix("\")")?.parse().ok())
        .collect();
    for _ in 0..3 {
        let before = drive.text().matches("Frozen").count();
        drive.send("freeze");
        until("frozen", || drive.text().matches("Frozen").count() > before);
        // A shell that waits for its stopped child (vfork) is in state D, which is as good as stopped.
        assert!(pids.iter().all(|pid| ["T", "D"].contains(&&*field(*pid, 0))), "{}", drive.text());
        let before = drive.text().matches("Thawed").count();
        drive.send("thaw");
        until("thawed", || drive.text().matches("Thawed").count() > before);
        until("it moves", || pids.iter().all(|pid| field(*pid, 0) != "T"));
    }
    drive.send("freeze");
    until("frozen", || drive.text().matches("Frozen").count() == 4);
    drive.send("stop");
    drive.wait_for_text("Stopped");
    until("nothing is left but the driver", || drive.all().len() == 1);
}

#[tokio::test]
async fn a_stopped_program_cannot_be_frozen() {
    let mut rig = Rig::new(shell("true"));
    rig.request(Request::Freeze).await;
    assert!(matches!(rig.event().await, Event::FreezeFailed(_)));
    rig.request(Request::Thaw).await;
    assert!(matches!(rig.event().await, Event::Thawed));
    rig.close().await;
}
