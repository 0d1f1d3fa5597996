//! A container, and the dormouse that comes after one that was killed.

use std::time::Duration;

use dormouse_tests::Result;
use dormouse_tests::machine::{Machine, case};

use super::podman::Podman;

const LIMIT: Duration = Duration::from_secs(120);

/// What a unit has whose dormouse is to know what it had woken.
const MEMORY: &str = "\
[Service]
RuntimeDirectory=front
RuntimeDirectoryPreserve=restart
Restart=always
RestartSec=0
";

case!(User, what_was_started_before_a_crash_is_put_to_sleep, LIMIT, sleeps);
case!(System, what_was_started_before_a_crash_is_put_to_sleep_rootful, LIMIT, sleeps);

fn sleeps(machine: &Machine) -> Result<()> {
    let podman = Podman::new(machine)?;
    podman.create(&["--network=host"], &[])?;
    machine.install(&[("front.service.d/memory.conf", MEMORY)])?;
    podman.dormouse("--container=web --freeze=500ms --idle=5s")?;
    podman.ask()?;
    // Nobody asks for it any more. What was somebody else's would be left as it is.
    let crash = || machine.systemctl(&["kill", "--signal=KILL", "--kill-who=main", "front.service"]);
    crash()?;
    podman.wait("paused")?;
    crash()?;
    podman.wait("exited")
}
