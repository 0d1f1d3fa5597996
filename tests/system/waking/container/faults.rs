//! What breaks under a container: its process, its engine, its start.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use dormouse_tests::failure::Doing;
use dormouse_tests::machine::{Machine, case, ensure};
use dormouse_tests::messages;
use dormouse_tests::rng::{Rng, seed};
use dormouse_tests::{Address, Failure, Result, Stream, wait};

use super::debian13;
use super::podman::{PATIENCE, Podman, ask, front, start_behind_its_back};

const LIMIT: Duration = Duration::from_secs(240);

case!(User, process_killed_in_a_session, LIMIT, |machine| {
    let podman = Podman::new(machine)?;
    podman.create(&["--network=host"], &[])?;
    podman.dormouse("--container=web --idle=1h")?;
    for _ in 0..3 {
        podman.ask()?;
        let held = Stream::connect(&front(), PATIENCE)?;
        held.send(b"GET", PATIENCE)?;
        kill(&podman.process()?)?;
        // It ends, by whatever; it does not hang.
        match held.receive_to_end(PATIENCE) {
            Err(failure) if failure.is_timeout() => return Err(podman.with_log(failure)),
            _ => {}
        }
        // The process that had the session may be gone before the one that listens: who comes then is in a queue that
        // nobody serves any more.
        let behind = Address::Tcp(([127, 0, 0, 1], 8081).into());
        wait::until("the end of its listener", PATIENCE, || {
            Ok(Stream::connect(&behind, PATIENCE).is_err().then_some(()))
        })?;
        podman.ask()?;
    }
    podman.wait_for_log("exit code 137")
});

case!(User, engine_killed_while_it_starts_and_stops, LIMIT, killed_engine);
case!(System, engine_killed_while_it_starts_and_stops_rootful, LIMIT, killed_engine);
case!(User in debian13::tree, engine_killed_while_it_starts_and_stops_on_debian_13, LIMIT, killed_engine);

fn killed_engine(machine: &Machine) -> Result<()> {
    let seed = seed()?;
    println!("DORMOUSE_SEED={seed:#x}");
    let mut rng = Rng::new(seed);
    let podman = Podman::new(machine)?;
    podman.create(&["--network=host"], &[])?;
    podman.dormouse("--container=web --idle=200ms")?;
    let mut killed = 0;
    for round in 0..15 {
        let visitor = thread::spawn(ask);
        killed += kill_engine_at(&podman, Instant::now() + rng.duration(Duration::from_millis(100)))?;
        let answer = visitor.join().map_err(|_| Failure::Unexpected("a visitor panicked".to_owned()))?;
        answer
            .map_err(|failure| podman.with_log(Failure::Unexpected(format!("round {round}: {failure}"))))?;
        let stopping = Duration::from_millis(200) + rng.duration(Duration::from_millis(100));
        killed += kill_engine_at(&podman, Instant::now() + stopping)?;
        podman.wait("exited")?;
    }
    println!("the engine was killed {killed} times");
    ensure(killed >= 15, || format!("the engine was killed only {killed} times"))
}

case!(User, half_a_start_is_cleared_away, LIMIT, |machine| {
    let podman = Podman::new(machine)?;
    podman.create(&["--network=host"], &[])?;
    podman.dormouse("--container=web --idle=200ms")?;
    podman.ask()?;
    podman.wait("exited")?;
    podman.wait_for_log(&messages::state("stopping", "stopped"))?;
    let id = podman.run(&["inspect", "--format={{.Id}}", "web"])?;
    // As by an engine that was killed after it has started the program, and before it has written that down. What still
    // clears away after the stop may take along what was just made ready.
    wait::until("half a start", PATIENCE, || {
        let started = podman.run(&["init", "web"]).and_then(|_| start_behind_its_back(id.trim()));
        Ok(started.ok())
    })?;
    podman.ask()?;
    podman.wait("exited")
});

fn kill_engine_at(podman: &Podman<'_>, when: Instant) -> Result<u32> {
    thread::sleep(when.saturating_duration_since(Instant::now()));
    match podman.engine()? {
        Some(process) => kill(&process).map(|()| 1),
        None => Ok(0),
    }
}

case!(User, a_program_that_fails_is_told, LIMIT, |machine| {
    let podman = Podman::new(machine)?;
    podman.create(&["--network=host"], &["/bin/sh", "-c", "exit 3"])?;
    told(&podman, "--container=web", "exit code 3")
});

case!(User, a_container_that_does_not_exist_is_told, LIMIT, |machine| {
    let podman = Podman::new(machine)?;
    told(&podman, "--container=web", "create --name web")
});

case!(User, a_missing_health_check_is_told, LIMIT, |machine| {
    let podman = Podman::new(machine)?;
    podman.create(&["--network=host"], &[])?;
    told(&podman, "--container=web --ready=healthy", "--health-cmd")
});

case!(User, a_missing_engine_is_told, LIMIT, |machine| {
    let podman = Podman::new(machine)?;
    machine.systemctl(&["stop", "podman.socket", "podman.service"])?;
    told(&podman, "--container=web", "systemctl --user enable --now podman.socket")?;
    // And it is no longer missed when it comes.
    podman.create(&["--network=host"], &[])?;
    machine.systemctl(&["start", "podman.socket"])?;
    let end = Instant::now() + PATIENCE;
    while let Err(failure) = ask() {
        ensure(Instant::now() < end, || format!("no answer after the engine has come: {failure}"))?;
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
});

/// A client that comes is sent away, and the log says why.
fn told(podman: &Podman<'_>, flags: &str, reason: &str) -> Result<()> {
    podman.dormouse(flags)?;
    let stream = Stream::connect(&front(), PATIENCE)?;
    match stream.receive_to_end(PATIENCE) {
        Ok(received) if received.bytes.is_empty() => {}
        Ok(received) => return Err(Failure::Unexpected(format!("an answer: {:?}", received.bytes))),
        Err(failure) if failure.is_timeout() => return Err(podman.with_log(failure)),
        Err(_) => {}
    }
    podman.wait_for_log(reason)
}

fn kill(process: &str) -> Result<()> {
    // It may have ended by itself.
    Command::new("kill").args(["-KILL", process]).output().doing(|| "run kill".to_owned()).map(drop)
}
