//! Dormouse or the guard is killed: no process of the program may remain.

use std::time::Duration;

use crate::rig::{Drive, Rig, Watched, is_guard, shell, until};

/// A shell, a child in another session that ignores SIGTERM, and an orphan.
const PROCESS_TREE: &str =
    "echo pid $$; setsid sh -c 'trap \"\" TERM; echo pid $$; while :; do sleep 1; done' &
    (setsid sh -c 'echo pid $$; exec sleep 1000' &) ; while :; do sleep 1; done";

#[test]
fn no_process_is_left_when_the_driver_is_killed() {
    // A process that ignores SIGTERM runs until the stop timeout, which is 5 s in the example `drive`.
    for frozen in [false, true] {
        let mut drive = Drive::start(&[], PROCESS_TREE);
        drive.send("start");
        until("three processes", || drive.text().matches("pid ").count() == 3);
        if frozen {
            drive.send("freeze");
            drive.wait_for_text("Frozen");
        }
        let all: Vec<_> = drive
            .all()
            .into_iter()
            .filter(|pid| u32::try_from(*pid) != Ok(drive.child.id()))
            .map(Watched::new)
            .collect();
        assert!(all.len() >= 4, "the guard and its three descendants: {}", drive.text());
        drive.kill();
        for one in &all {
            one.ended();
        }
        until("nothing carries the mark", || drive.all().is_empty());
    }
}

#[test]
fn no_process_is_left_when_the_driver_is_killed_during_a_start() {
    for round in 0..30u64 {
        let mut drive = Drive::start(&[], "setsid sleep 1000 & exec sleep 1000");
        drive.send("start");
        // A start takes a few milliseconds. Each round kills the driver at another point of it.
        std::thread::sleep(Duration::from_micros(round * 500));
        drive.kill();
        until("nothing carries the mark", || drive.all().is_empty());
    }
}

#[tokio::test]
async fn no_process_is_left_when_the_guard_is_killed() {
    let mut rig = Rig::new(shell(PROCESS_TREE));
    for round in 1..4 {
        rig.start().await;
        let all = rig.lines_after("pid ", 3 * round).await;
        let all: Vec<_> =
            all.iter().skip(3 * (round - 1)).map(|pid| Watched::new(pid.parse().unwrap())).collect();
        let guard = all.iter().map(Watched::parent).find(|parent| is_guard(*parent));
        Watched::new(guard.unwrap()).kill();
        let error = rig.exited().await.unwrap_err();
        assert!(error.reason.contains("guard"), "{error}");
        assert!(all.iter().all(Watched::has_ended));
    }
    rig.close().await;
}

#[tokio::test]
async fn a_killed_program_is_reported() {
    let mut rig = Rig::new(shell("echo pid $$; exec sleep 1000"));
    rig.start().await;
    rig.watched(1).await[0].kill();
    assert!(rig.exited().await.unwrap_err().reason.starts_with("it was killed by SIGKILL"));
    rig.stop().await;
    rig.close().await;
}
