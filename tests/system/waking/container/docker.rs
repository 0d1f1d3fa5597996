//! Docker instead of Podman: its engine always runs, so that it reports every start and stop.

use std::time::Duration;

use dormouse_tests::Result;
use dormouse_tests::machine::{Machine, SETTLE, case};

use super::podman::Podman;

const LIMIT: Duration = Duration::from_secs(180);

case!(System, sleeps_and_wakes, LIMIT, |machine| {
    let docker = created(machine, &[])?;
    docker.dormouse("--container=web --idle=500ms")?;
    for _ in 0..3 {
        docker.ask()?;
        docker.wait("exited")?;
    }
    Ok(())
});

case!(System, freezes_and_stops, LIMIT, |machine| {
    let docker = created(machine, &[])?;
    docker.dormouse("--container=web --freeze=100ms --idle=2s")?;
    for _ in 0..2 {
        docker.ask()?;
        docker.wait("paused")?;
        docker.ask()?;
        docker.wait("exited")?;
    }
    Ok(())
});

case!(System, a_request_waits_for_the_health_check, LIMIT, |machine| {
    let check = "--health-cmd=wget -q -O /dev/null http://127.0.0.1:8081/";
    let docker = created(machine, &["--env=LATE=1", check, "--health-interval=1s"])?;
    docker.dormouse("--container=web --ready=healthy --idle=500ms")?;
    docker.ask()?;
    docker.wait("exited")
});

case!(System, a_container_started_by_others_is_noticed, LIMIT, |machine| {
    let docker = created(machine, &[])?;
    docker.dormouse("--container=web --idle=500ms --stop-foreign")?;
    docker.ask()?;
    docker.wait("exited")?;
    docker.run(&["start", "web"])?;
    // Without clients the container is stopped.
    docker.wait("exited")
});

case!(System, a_restart_of_the_engine_is_tolerated, LIMIT, |machine| {
    let docker = created(machine, &[])?;
    docker.dormouse("--container=web --idle=500ms")?;
    docker.ask()?;
    docker.wait("exited")?;
    machine.systemctl(&["kill", "--signal=KILL", "dockerd.service"])?;
    machine.wait("dockerd.service", "ActiveState", "failed", SETTLE)?;
    machine.systemctl(&["start", "--no-block", "dockerd.service"])?;
    docker.ask()
});

fn created<'m>(machine: &'m Machine, flags: &[&str]) -> Result<Podman<'m>> {
    let docker = Podman::docker(machine)?;
    docker.create(&[&["--network=host"], flags].concat(), &[])?;
    Ok(docker)
}
