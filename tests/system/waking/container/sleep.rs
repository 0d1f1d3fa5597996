//! Pausing, stopping and readiness of a container.

use std::time::{Duration, Instant};

use dormouse_tests::machine::{Machine, SETTLE, case, ensure};
use dormouse_tests::messages;
use dormouse_tests::{Result, Stream, wait};

use super::debian13;
use super::podman::{Podman, REQUEST_LIMIT, front};

const LIMIT: Duration = Duration::from_secs(120);

case!(User, a_paused_container_is_resumed_without_a_start, LIMIT, freezes);
case!(System, a_paused_container_is_resumed_without_a_start_rootful, LIMIT, freezes);

fn freezes(machine: &Machine) -> Result<()> {
    let podman = Podman::new(machine)?;
    podman.create(&["--network=host"], &[])?;
    podman.dormouse("--container=web --freeze=300ms --idle=infinity")?;
    podman.ask()?;
    let process = podman.process()?;
    let same = |when: &str| {
        let now = podman.process()?;
        ensure(now == process, || format!("the container was restarted {when}"))
            .map_err(|failure| podman.with_log(failure))
    };
    for _ in 0..3 {
        podman.wait("paused")?;
        podman.ask()?;
        same("after the pause")?;
    }
    // A killed dormouse leaves the container paused; the next process resumes it.
    podman.wait("paused")?;
    machine.systemctl(&["kill", "--signal=KILL", "front.service"])?;
    machine.wait("front.service", "ActiveState", "failed", SETTLE)?;
    machine.systemctl(&["start", "front.service"])?;
    same("at the end of dormouse")?;
    podman.ask()?;
    same("by the next dormouse process")?;
    // The next process treats the container as started by itself.
    podman.wait("paused")
}

case!(User, a_paused_container_is_stopped_after_the_idle_time, LIMIT, |machine| {
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

case!(User, a_request_waits_for_the_health_check, LIMIT, healthy);
case!(System, a_request_waits_for_the_health_check_rootful, LIMIT, healthy);
case!(User in debian13::tree, a_request_waits_for_the_health_check_on_debian_13, LIMIT, healthy);

/// The engine's first health check is too early and its second is after an hour: dormouse must run the check
/// itself.
fn healthy(machine: &Machine) -> Result<()> {
    let podman = Podman::new(machine)?;
    let check = "--health-cmd=wget -q -O /dev/null http://127.0.0.1:8081/";
    podman.create(&["--network=host", "--env=LATE=1", check, "--health-interval=1h"], &[])?;
    podman.dormouse("--container=web --ready=healthy --idle=500ms")?;
    for _ in 0..2 {
        let asked = Instant::now();
        podman.ask()?;
        let waited = asked.elapsed();
        ensure(waited > Duration::from_secs(1), || {
            format!("answered after {waited:?}, so that the server was not late")
        })?;
        podman.wait("exited")?;
    }
    Ok(())
}

case!(User, the_engine_ends_while_the_container_is_stopped, LIMIT, |machine| {
    let podman = Podman::new(machine)?;
    podman.create(&["--network=host"], &[])?;
    podman.dormouse("--container=web --idle=300ms")?;
    podman.ask()?;
    ensure(podman.engine()?.is_some(), || "the engine does not run, although the container does".to_owned())?;
    podman.wait("exited")?;
    // Podman's service ends 5 s after the last connection.
    wait::until("end of the engine", SETTLE, || Ok(podman.engine()?.is_none().then_some(())))?;
    podman.ask()
});

case!(User, a_container_started_by_others_is_used_and_kept_running, LIMIT, |machine| {
    let podman = Podman::new(machine)?;
    podman.create(&["--network=host"], &[])?;
    podman.run(&["start", "web"])?;
    let process = podman.process()?;
    podman.dormouse("--container=web --idle=300ms")?;
    podman.ask()?;
    // The container keeps running without clients. Only a wait of a fixed time can show this.
    let gone = wait::until("end of the container", Duration::from_secs(3), || {
        Ok((podman.state()? != "running").then_some(()))
    });
    ensure(gone.is_err() && podman.process()? == process, || "the container was stopped".to_owned())
        .map_err(|failure| podman.with_log(failure))
});

case!(User, a_container_stopped_by_others_is_woken_again, LIMIT, |machine| {
    let podman = Podman::new(machine)?;
    podman.create(&["--network=host"], &[])?;
    podman.dormouse("--container=web --idle=1h")?;
    podman.ask()?;
    podman.run(&["stop", "web"])?;
    podman.ask()?;
    // Until the engine reports the pause, the kernel accepts connections for a paused container, but the server
    // does not answer.
    podman.run(&["pause", "web"])?;
    podman.wait_for_log(messages::PAUSED_BY_OTHERS)?;
    podman.ask()?;
    podman.wait("running")?;
    // The same during a session.
    let held = Stream::connect(&front(), REQUEST_LIMIT)?;
    podman.run(&["stop", "web"])?;
    podman.ask()?;
    drop(held);
    Ok(())
});
