//! Service managers and message buses that restart while the unit is asleep or awake.

use std::time::Duration;

use dormouse_tests::Result;
use dormouse_tests::machine::{Machine, case};
use dormouse_tests::messages;

use super::stage::{NGINX, Stage, WEB};
use dormouse_tests::nginx::Start;

const LIMIT: Duration = Duration::from_secs(120);

/// The unit lines that leave only the bus as the way to the manager.
const BUS_ONLY: &str = "InaccessiblePaths=/run/systemd/private";

case!(User, a_daemon_reexec_of_the_user_manager_is_tolerated, LIMIT, |machine| reexec(machine, ""));
case!(System, a_daemon_reexec_of_the_system_manager_is_tolerated, LIMIT, |machine| reexec(machine, ""));
case!(System, a_daemon_reexec_is_tolerated_with_only_the_bus, LIMIT, |machine| reexec(machine, BUS_ONLY));
case!(System, a_restart_of_the_bus_is_tolerated, LIMIT, bus_restarted);

fn reexec(machine: &Machine, lines: &str) -> Result<()> {
    let stage = Stage::new(machine, NGINX, Start::Quick)?;
    stage.dormouse_as("--unit=web.service --idle=300ms", lines)?;
    for round in 0..3 {
        // Asleep.
        stage.systemctl(&["daemon-reexec"])?;
        stage.ask(round)?;
        // Awake, with a session.
        let client = stage.client()?;
        stage.systemctl(&["daemon-reexec"])?;
        stage.ask(round + 10)?;
        drop(client);
        stage.wait("ActiveState", "inactive")?;
    }
    // dormouse notices later changes of the unit.
    let client = stage.client()?;
    stage.systemctl(&["daemon-reexec"])?;
    stage.systemctl(&["kill", "--signal=KILL", WEB])?;
    stage.wait_for_log(messages::UNIT_KILLED)?;
    drop(client);
    stage.ask_until_answered()
}

fn bus_restarted(machine: &Machine) -> Result<()> {
    let stage = Stage::new(machine, NGINX, Start::Quick)?;
    machine.install(&[("dbus.service.d/often.conf", "[Unit]\nStartLimitIntervalSec=0\n")])?;
    stage.dormouse_as("--unit=web.service --idle=300ms", BUS_ONLY)?;
    for round in 0..3 {
        stage.systemctl(&["restart", "dbus.service"])?;
        stage.ask(round)?;
        let client = stage.client()?;
        stage.systemctl(&["restart", "dbus.service"])?;
        stage.ask(round + 10)?;
        drop(client);
        stage.wait("ActiveState", "inactive")?;
    }
    let client = stage.client()?;
    stage.systemctl(&["restart", "dbus.service"])?;
    stage.systemctl(&["kill", "--signal=KILL", WEB])?;
    stage.wait_for_log(messages::UNIT_KILLED)?;
    drop(client);
    stage.ask_until_answered()
}
