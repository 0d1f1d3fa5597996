//! Failures of a container: its process, its engine, its start.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use dormouse_tests::failure::Doing;
use dormouse_tests::machine::{Machine, case, ensure};
use dormouse_tests::messages;
use dormouse_tests::rng::{Rng, seed};
use dormouse_tests::{Address, Failure, Result, Stream, wait};

use super::debian13;
use super::podman::{Podman, REQUEST_LIMIT, ask, front, start_without_the_engine};

const LIMIT: Duration = Duration::from_secs(240);

case!(User, a_process_killed_during_a_session_is_started_again, LIMIT, |machine| {
    let podman = Podman::new(machine)?;
    podman.create(&["--network=host"], &[])?;
    podman.dormouse("--container=web --idle=1h")?;
    for _ in 0..3 {
        podman.ask()?;
        let client = Stream::connect(&front(), REQUEST_LIMIT)?;
        client.send(b"GET", REQUEST_LIMIT)?;
        kill(&podman.process()?)?;
        // The session ends in any way; it does not hang.
        match client.receive_to_end(REQUEST_LIMIT) {
            Err(failure) if failure.is_timeout() => return Err(podman.with_log(failure)),
            _ => {}
        }
        // The process of the session may end before the process that listens. A client that connects between the
        // two is never accepted.
        let server = Address::Tcp(([127, 0, 0, 1], 8081).into());
        wait::until("the end of its listener", REQUEST_LIMIT, || {
            Ok(Stream::connect(&server, REQUEST_LIMIT).is_err().then_some(()))
        })?;
        podman.ask()?;
    }
    podman.wait_for_log(messages::CONTAINER_KILLED)
});

case!(User, requests_survive_kills_of_the_engine, LIMIT, killed_engine);
case!(System, requests_survive_kills_of_the_engine_rootful, LIMIT, killed_engine);
case!(User in debian13::tree, requests_survive_kills_of_the_engine_on_debian_13, LIMIT, killed_engine);

fn killed_engine(machine: &Machine) -> Result<()> {
    let seed = seed()?;
    println!("DORMOUSE_SEED={seed:#x}");
    let mut rng = Rng::new(seed);
    let podman = Podman::new(machine)?;
    podman.create(&["--network=host"], &[])?;
    podman.dormouse("--container=web --idle=200ms")?;
    let mut killed = 0;
    for round in 0..15 {
        let client = thread::spawn(ask);
        killed += kill_engine_at(&podman, Instant::now() + rng.duration(Duration::from_millis(100)))?;
        let answer = client.join().map_err(|_| Failure::Unexpected("a client panicked".to_owned()))?;
        answer
            .map_err(|failure| podman.with_log(Failure::Unexpected(format!("round {round}: {failure}"))))?;
        let stopping = Duration::from_millis(200) + rng.duration(Duration::from_millis(100));
        killed += kill_engine_at(&podman, Instant::now() + stopping)?;
        podman.wait_for_end()?;
    }
    println!("the engine was killed {killed} times");
    ensure(killed >= 15, || format!("the engine was killed only {killed} times"))
}

case!(User, an_incomplete_start_is_cleaned_up, LIMIT, |machine| {
    let podman = Podman::new(machine)?;
    podman.create(&["--network=host"], &[])?;
    podman.dormouse("--container=web --idle=200ms")?;
    podman.ask()?;
    podman.wait("exited")?;
    podman.wait_for_log(&messages::state("stopping", "stopped"))?;
    let id = podman.run(&["inspect", "--format={{.Id}}", "web"])?;
    // The cleanup of the previous run kills a process of the container that the engine does not know to be running, at
    // any time after its start.
    podman.wait_for_cleanup(id.trim())?;
    // The state after an engine was killed between starting the process and recording it.
    podman.run(&["init", "web"])?;
    start_without_the_engine(id.trim())?;
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

case!(User, a_failing_program_is_reported, LIMIT, |machine| {
    let podman = Podman::new(machine)?;
    podman.create(&["--network=host"], &["/bin/sh", "-c", "exit 3"])?;
    expect_refusal(&podman, "--container=web", "exit code 3")
});

case!(User, a_missing_container_is_reported, LIMIT, |machine| {
    let podman = Podman::new(machine)?;
    expect_refusal(&podman, "--container=web", "create --name web")
});

case!(User, a_missing_health_check_is_reported, LIMIT, |machine| {
    let podman = Podman::new(machine)?;
    podman.create(&["--network=host"], &[])?;
    expect_refusal(&podman, "--container=web --ready=healthy", "--health-cmd")
});

case!(User, a_missing_engine_is_reported, LIMIT, |machine| {
    let podman = Podman::new(machine)?;
    machine.systemctl(&["stop", "podman.socket", "podman.service"])?;
    expect_refusal(&podman, "--container=web", "systemctl --user enable --now podman.socket")?;
    // dormouse uses the engine when it becomes available.
    podman.create(&["--network=host"], &[])?;
    machine.systemctl(&["start", "podman.socket"])?;
    let end = Instant::now() + REQUEST_LIMIT;
    while let Err(failure) = ask() {
        ensure(Instant::now() < end, || format!("no answer after the engine has started: {failure}"))?;
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
});

/// Asserts that a client is refused and that the log contains the reason.
fn expect_refusal(podman: &Podman<'_>, flags: &str, reason: &str) -> Result<()> {
    podman.dormouse(flags)?;
    let stream = Stream::connect(&front(), REQUEST_LIMIT)?;
    match stream.receive_to_end(REQUEST_LIMIT) {
        Ok(received) if received.bytes.is_empty() => {}
        Ok(received) => return Err(Failure::Unexpected(format!("an answer: {:?}", received.bytes))),
        Err(failure) if failure.is_timeout() => return Err(podman.with_log(failure)),
        Err(_) => {}
    }
    podman.wait_for_log(reason)
}

fn kill(process: &str) -> Result<()> {
    // The process may have ended already.
    Command::new("kill").args(["-KILL", process]).output().doing(|| "run kill".to_owned()).map(drop)
}
