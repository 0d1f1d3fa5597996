//! Woken, frozen, thawed, stopped, woken again.

use std::time::Duration;

use dormouse_tests::Result;
use dormouse_tests::machine::{Machine, case, ensure};

use super::stage::{NGINX, Stage, WEB};
use dormouse_tests::nginx::Start;

const LIMIT: Duration = Duration::from_secs(120);

case!(User, user_manager, LIMIT, sleeps_and_wakes);
case!(System, system_manager, LIMIT, sleeps_and_wakes);
case!(User, a_slow_start_is_waited_for, LIMIT, a_slow_start_is_waited_for_);
case!(User, the_start_limit_does_not_count, LIMIT, the_start_limit_does_not_count_);
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
        let visitor = stage.visitor()?;
        ensure(machine.number(WEB, "MainPID")? == process, || "it was stopped instead of frozen".to_owned())?;
        machine.expect(WEB, "FreezerState", "running")?;
        drop(visitor);
        stage.wait("ActiveState", "inactive")?;
        machine.expect(WEB, "Result", "success")?;
    }
    Ok(())
}

/// It is "started" long before it listens.
fn a_slow_start_is_waited_for_(machine: &Machine) -> Result<()> {
    let stage = Stage::new(machine, NGINX, Start::Slow)?;
    stage.dormouse("--idle=10ms")?;
    for round in 0..2 {
        stage.ask(round)?;
        stage.wait("ActiveState", "inactive")?;
    }
    Ok(())
}

/// Five starts in ten seconds are what a manager allows unless told otherwise. It counts them as long as it keeps the
/// unit in memory, which it does while another one refers to it.
fn the_start_limit_does_not_count_(machine: &Machine) -> Result<()> {
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
