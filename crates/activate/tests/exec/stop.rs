//! Programs that end in time, late, or not at all after a stop request.

use std::time::{Duration, Instant};

use dormouse_activate::{Event, Request};

use crate::rig::{Rig, STOP_TIMEOUT, shell};

#[tokio::test]
async fn a_program_has_time_to_end_in_good_order() {
    let script = "trap 'sleep 0.2; echo goodbye; exit 0' TERM; echo ready; while :; do sleep 0.01; done";
    let mut rig = Rig::with_stop_timeout(shell(script), Duration::from_secs(20));
    rig.start().await;
    rig.line("ready").await;
    rig.stop().await;
    rig.line("goodbye").await;
    rig.close().await;
}

#[tokio::test]
async fn a_program_that_ignores_sigterm_is_killed_after_the_timeout() {
    let script = "trap '' TERM; echo pid $$; (sh -c 'echo pid $$; while :; do sleep 1; done') & while :; do sleep 1; done";
    let mut rig = Rig::new(shell(script));
    rig.start().await;
    let all = rig.watched(2).await;
    let began = Instant::now();
    rig.stop().await;
    assert!(began.elapsed() >= STOP_TIMEOUT, "{:?}", began.elapsed());
    assert!(all.iter().all(crate::rig::Watched::has_ended));
    rig.close().await;
}

#[tokio::test]
async fn descendants_end_in_any_session() {
    // A child in another session, and an orphaned grandchild.
    let script = "setsid sh -c 'echo pid $$; exec sleep 1000' &
        (setsid sh -c 'trap \"\" TERM; echo pid $$; sleep 1000; true' &)
        echo pid $$; exec sleep 1000";
    let mut rig = Rig::new(shell(script));
    rig.start().await;
    let all = rig.watched(3).await;
    rig.stop().await;
    assert!(all.iter().all(crate::rig::Watched::has_ended));
    rig.close().await;
}

#[tokio::test]
async fn a_stop_cancels_a_start_without_further_events() {
    let mut rig = Rig::new(shell("exec sleep 1000"));
    for _ in 0..50 {
        rig.request(Request::Start).await;
        rig.request(Request::Stop).await;
        loop {
            match rig.event().await {
                Event::Launched { .. } => {}
                Event::Stopped => break,
                event => panic!("{event:?}"),
            }
        }
    }
    rig.quiet(Duration::from_millis(50)).await;
    rig.close().await;
}

#[tokio::test]
async fn a_start_during_a_stop_follows_the_stop() {
    let script = "trap 'sleep 0.1; exit 0' TERM; echo ready; while :; do sleep 0.01; done";
    let mut rig = Rig::new(shell(script));
    rig.start().await;
    for round in 1..5 {
        rig.lines_after("ready", round).await;
        rig.request(Request::Stop).await;
        rig.request(Request::Start).await;
        assert!(matches!(rig.event().await, Event::Stopped));
        assert!(matches!(rig.event().await, Event::Launched { foreign: false }));
    }
    rig.close().await;
}

#[tokio::test]
async fn closing_the_requests_stops_the_program() {
    let mut rig = Rig::new(shell("trap '' TERM; echo pid $$; while :; do sleep 1; done"));
    rig.start().await;
    let all = rig.watched(1).await;
    rig.close().await;
    assert!(all[0].has_ended());
}

#[tokio::test]
async fn a_program_that_writes_without_end_can_be_stopped() {
    let mut rig =
        Rig::new(shell("echo pid $$; exec yes xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"));
    rig.start().await;
    let all = rig.watched(1).await;
    rig.stop().await;
    assert!(all[0].has_ended());
    rig.close().await;
}
