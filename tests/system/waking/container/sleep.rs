//! How a container sleeps, and what it takes to be awake.

use std::time::{Duration, Instant};

use dormouse_tests::machine::{Machine, SETTLE, case, ensure};
use dormouse_tests::{Result, Stream, wait};

use super::debian13;
use super::podman::{PATIENCE, Podman, front};

const LIMIT: Duration = Duration::from_secs(120);

case!(User, a_paused_container_wakes_at_once, LIMIT, freezes);
case!(System, a_paused_container_wakes_at_once_rootful, LIMIT, freezes);

fn freezes(machine: &Machine) -> Result<()> {
    let podman = Podman::new(machine)?;
    podman.create(&["--network=host"], &[])?;
    podman.dormouse("--container=web --freeze=300ms --idle=infinity")?;
    podman.ask()?;
    let process = podman.process()?;
    let same = |when: &str| {
        let now = podman.process()?;
        ensure(now == process, || format!("it was started again {when}"))
            .map_err(|failure| podman.with_log(failure))
    };
    for _ in 0..3 {
        podman.wait("paused")?;
        podman.ask()?;
        same("after it was paused")?;
    }
    // One that is killed leaves it paused, and the next one wakes it.
    podman.wait("paused")?;
    machine.systemctl(&["kill", "--signal=KILL", "front.service"])?;
    machine.wait("front.service", "ActiveState", "failed", SETTLE)?;
    machine.systemctl(&["start", "front.service"])?;
    same("by the end of dormouse")?;
    podman.ask()?;
    same("by the next dormouse")?;
    // It is as if the next one had started it.
    podman.wait("paused")
}

case!(User, a_paused_container_is_stopped_when_nobody_comes, LIMIT, |machine| {
    let podman = Podman::new(machine)?;
    podman.create(&["--network=host"], &[])?;
    podman.dormouse("--container=web --freeze=100ms --idle=2s")?;
    for _ in 0..2 {
        podman.ask()?;
        podman.wait("paused")?;
        podman.wait("exited")?;
    }
    Ok(())
});

case!(User, health_is_waited_for, LIMIT, healthy);
case!(System, health_is_waited_for_rootful, LIMIT, healthy);
case!(User in debian13::tree, health_is_waited_for_on_debian_13, LIMIT, healthy);

/// The engine's first check comes too early, and its second after an hour: whoever waits must do more than watch.
fn healthy(machine: &Machine) -> Result<()> {
    let podman = Podman::new(machine)?;
    let check = "--health-cmd=wget -q -O /dev/null http://127.0.0.1:8081/";
    podman.create(&["--network=host", "--env=LATE=1", check, "--health-interval=1h"], &[])?;
    podman.dormouse("--container=web --ready=healthy --idle=500ms")?;
    for _ in 0..2 {
        let asked = Instant::now();
        podman.ask()?;
        let waited = asked.elapsed();
        ensure(waited > Duration::from_secs(1), || format!("answered after {waited:?}, so it was not late"))?;
        podman.wait("exited")?;
    }
    Ok(())
}

case!(User, the_engine_sleeps_while_the_container_does, LIMIT, |machine| {
    let podman = Podman::new(machine)?;
    podman.create(&["--network=host"], &[])?;
    podman.dormouse("--container=web --idle=300ms")?;
    podman.ask()?;
    ensure(podman.engine()?.is_some(), || "no engine, but a container".to_owned())?;
    podman.wait("exited")?;
    // Podman's service ends 5 s after the last connection.
    wait::until("sleep of the engine", SETTLE, || Ok(podman.engine()?.is_none().then_some(())))?;
    podman.ask()
});

case!(User, what_others_start_is_used_and_left_running, LIMIT, |machine| {
    let podman = Podman::new(machine)?;
    podman.create(&["--network=host"], &[])?;
    podman.run(&["start", "web"])?;
    let process = podman.process()?;
    podman.dormouse("--container=web --idle=300ms")?;
    podman.ask()?;
    // It stays, however long nobody asks: that it does not go can only be seen by waiting.
    let gone =
        wait::until("end of it", Duration::from_secs(3), || Ok((podman.state()? != "running").then_some(())));
    ensure(gone.is_err() && podman.process()? == process, || "it was stopped".to_owned())
        .map_err(|failure| podman.with_log(failure))
});

case!(User, what_others_stop_is_woken_again, LIMIT, |machine| {
    let podman = Podman::new(machine)?;
    podman.create(&["--network=host"], &[])?;
    podman.dormouse("--container=web --idle=1h")?;
    podman.ask()?;
    podman.run(&["stop", "web"])?;
    podman.ask()?;
    // Until the engine tells, a paused container takes connections and says nothing.
    podman.run(&["pause", "web"])?;
    podman.wait_for_log("somebody else has paused it")?;
    podman.ask()?;
    podman.wait("running")?;
    // And while somebody is connected.
    let held = Stream::connect(&front(), PATIENCE)?;
    podman.run(&["stop", "web"])?;
    podman.ask()?;
    drop(held);
    Ok(())
});
