//! A container that a new dormouse process recovers after a crash.

use std::time::Duration;

use dormouse_tests::Result;
use dormouse_tests::machine::{Machine, case};

use super::podman::Podman;

const LIMIT: Duration = Duration::from_secs(120);

/// The unit lines that let dormouse recover its wake state after a crash.
const RECOVERY: &str = "\
[Service]
RuntimeDirectory=front
RuntimeDirectoryPreserve=restart
Restart=always
RestartSec=0
";

case!(User, a_container_started_before_a_crash_is_stopped_when_idle, LIMIT, sleeps);
case!(System, a_container_started_before_a_crash_is_stopped_when_idle_rootful, LIMIT, sleeps);

fn sleeps(machine: &Machine) -> Result<()> {
    let podman = Podman::new(machine)?;
    podman.create(&["--network=host"], &[])?;
    machine.install(&[("front.service.d/memory.conf", RECOVERY)])?;
    podman.dormouse("--container=web --freeze=500ms --idle=5s")?;
    podman.ask()?;
    // No client connects any more. dormouse stops only a container that it has started itself.
    let crash = || machine.systemctl(&["kill", "--signal=KILL", "--kill-who=main", "front.service"]);
    crash()?;
    podman.wait("paused")?;
    crash()?;
    podman.wait("exited")
}
