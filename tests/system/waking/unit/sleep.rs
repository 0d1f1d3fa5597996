//! Wake, freeze, thaw and stop of a unit.

use std::time::Duration;

use dormouse_tests::Result;
use dormouse_tests::machine::{Machine, case, ensure};

use super::stage::{NGINX, Stage, WEB};
use dormouse_tests::nginx::Start;

const LIMIT: Duration = Duration::from_secs(120);

case!(User, sleeps_and_wakes_under_the_user_manager, LIMIT, sleeps_and_wakes);
case!(System, sleeps_and_wakes_under_the_system_manager, LIMIT, sleeps_and_wakes);
case!(User, a_request_waits_for_a_slow_start, LIMIT, slow_start);
case!(User, wakes_do_not_count_against_the_start_limit, LIMIT, many_starts);
case!(User, a_frozen_unit_is_thawed_before_it_is_stopped, LIMIT, frozen_and_stopped);

fn sleeps_and_wakes(machine: &Machine) -> Result<()> {
    let stage = Stage::new(machine, NGINX, Start::Quick)?;
    machine.expect(WEB, "ActiveState", "inactive")?;
    stage.dormouse("--freeze=200ms --idle=5s")?;
    machine.expect(WEB, "ActiveState", "inactive")?;
    for round in 0..3 {
        stage.ask(round)?;
        let process = machine.number(WEB, "MainPID")?;
        stage.wait("FreezerState", "frozen")?;
        stage.ask(round + 10)?;
        stage.wait("FreezerState", "frozen")?;
        let client = stage.client()?;
        ensure(machine.number(WEB, "MainPID")? == process, || {
            "the unit was stopped instead of frozen".to_owned()
        })?;
        machine.expect(WEB, "FreezerState", "running")?;
        drop(client);
        stage.wait("ActiveState", "inactive")?;
        machine.expect(WEB, "Result", "success")?;
    }
    Ok(())
}

/// The manager reports the unit as started long before nginx listens.
fn slow_start(machine: &Machine) -> Result<()> {
    let stage = Stage::new(machine, NGINX, Start::Slow)?;
    stage.dormouse("--idle=10ms")?;
    for round in 0..2 {
        stage.ask(round)?;
        stage.wait("ActiveState", "inactive")?;
    }
    Ok(())
}

/// By default the manager allows five starts in ten seconds. It counts them while the unit is loaded, which is as
/// long as another unit refers to it.
fn many_starts(machine: &Machine) -> Result<()> {
    let stage = Stage::new(machine, &NGINX.replace("StartLimitIntervalSec=0\n", ""), Start::Quick)?;
    let other = "[Unit]\nAfter=web.service\n[Service]\nExecStart=/bin/sleep infinity\n";
    machine.install(&[("other.service", other)])?;
    stage.systemctl(&["start", "other.service"])?;
    stage.dormouse("--idle=1ms")?;
    for round in 0..12 {
        stage.ask(round)?;
        stage.wait("ActiveState", "inactive")?;
    }
    Ok(())
}

fn frozen_and_stopped(machine: &Machine) -> Result<()> {
    let stage = Stage::new(machine, NGINX, Start::Quick)?;
    stage.dormouse("--freeze=50ms --idle=300ms")?;
    for round in 0..3 {
        stage.ask(round)?;
        stage.wait("ActiveState", "inactive")?;
        machine.expect(WEB, "Result", "success")?;
    }
    Ok(())
}
