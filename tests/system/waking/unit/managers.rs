//! Managers and buses that go away and come back, while the service is asleep and while it is awake.

use std::time::Duration;

use dormouse_tests::Result;
use dormouse_tests::machine::{Machine, case};

use super::stage::{NGINX, Stage, WEB};
use dormouse_tests::nginx::Start;

const LIMIT: Duration = Duration::from_secs(120);

/// Of a service that has to take the bus.
const BUS_ONLY: &str = "InaccessiblePaths=/run/systemd/private";

case!(User, the_user_manager_executes_itself_anew, LIMIT, |machine| reexec(machine, ""));
case!(System, the_system_manager_executes_itself_anew, LIMIT, |machine| reexec(machine, ""));
case!(System, the_manager_executes_itself_anew_behind_a_bus, LIMIT, |machine| reexec(machine, BUS_ONLY));
case!(System, the_bus_is_restarted, LIMIT, bus_restarted);

fn reexec(machine: &Machine, lines: &str) -> Result<()> {
    let stage = Stage::new(machine, NGINX, Start::Quick)?;
    stage.dormouse_as("--unit=web.service --idle=300ms", lines)?;
    for round in 0..3 {
        // Asleep.
        stage.systemctl(&["daemon-reexec"])?;
        stage.ask(round)?;
        // Awake, with somebody there.
        let visitor = stage.visitor()?;
        stage.systemctl(&["daemon-reexec"])?;
        stage.ask(round + 10)?;
        drop(visitor);
        stage.wait("ActiveState", "inactive")?;
    }
    // What happens to the unit afterwards is noticed.
    let visitor = stage.visitor()?;
    stage.systemctl(&["daemon-reexec"])?;
    stage.systemctl(&["kill", "--signal=KILL", WEB])?;
    stage.wait_for_log("killed by signal 9 (SIGKILL)")?;
    drop(visitor);
    stage.ask_until_answered()
}

fn bus_restarted(machine: &Machine) -> Result<()> {
    let stage = Stage::new(machine, NGINX, Start::Quick)?;
    machine.install(&[("dbus.service.d/often.conf", "[Unit]\nStartLimitIntervalSec=0\n")])?;
    stage.dormouse_as("--unit=web.service --idle=300ms", BUS_ONLY)?;
    for round in 0..3 {
        stage.systemctl(&["restart", "dbus.service"])?;
        stage.ask(round)?;
        let visitor = stage.visitor()?;
        stage.systemctl(&["restart", "dbus.service"])?;
        stage.ask(round + 10)?;
        drop(visitor);
        stage.wait("ActiveState", "inactive")?;
    }
    let visitor = stage.visitor()?;
    stage.systemctl(&["restart", "dbus.service"])?;
    stage.systemctl(&["kill", "--signal=KILL", WEB])?;
    stage.wait_for_log("killed by signal 9 (SIGKILL)")?;
    drop(visitor);
    stage.ask_until_answered()
}
