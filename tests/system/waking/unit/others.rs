//! What others do with the unit meanwhile.

use std::thread;
use std::time::{Duration, Instant};

use dormouse_tests::Result;
use dormouse_tests::machine::{Machine, SETTLE, case};
use dormouse_tests::messages;

use super::stage::{NGINX, Stage, WEB};
use dormouse_tests::nginx::Start;

const LIMIT: Duration = Duration::from_secs(120);

case!(User, started_by_others_it_is_used_and_not_stopped, LIMIT, foreign);
case!(System, started_by_others_before_us, LIMIT, foreign_before_us);
case!(User, started_by_others_and_stopped_if_so_told, LIMIT, stop_foreign);
case!(User, stopped_by_others_it_is_woken_again, LIMIT, stopped_by_others);
case!(System, stopped_by_others_in_the_system, LIMIT, stopped_by_others);
case!(User, stopped_by_others_at_length, LIMIT, stopped_at_length);
case!(User, frozen_by_others_it_is_thawed_when_wanted, LIMIT, frozen_before_us);

fn foreign(machine: &Machine) -> Result<()> {
    let stage = Stage::new(machine, NGINX, Start::Quick)?;
    stage.dormouse("--idle=50ms")?;
    stage.systemctl(&["start", WEB])?;
    stage.ask(1)?;
    stays_up(&stage)?;
    stage.systemctl(&["stop", "front.service"])?;
    machine.expect(WEB, "ActiveState", "active")
}

fn foreign_before_us(machine: &Machine) -> Result<()> {
    let stage = Stage::new(machine, NGINX, Start::Quick)?;
    stage.systemctl(&["start", WEB])?;
    stage.dormouse("--idle=50ms")?;
    stage.ask(1)?;
    stays_up(&stage)
}

fn stop_foreign(machine: &Machine) -> Result<()> {
    let stage = Stage::new(machine, NGINX, Start::Quick)?;
    stage.dormouse("--idle=50ms --stop-foreign")?;
    stage.systemctl(&["start", WEB])?;
    stage.wait("ActiveState", "inactive")?;
    stage.ask(1)
}

/// Its socket takes connections all the same, but nobody answers on them.
fn frozen_before_us(machine: &Machine) -> Result<()> {
    let stage = Stage::new(machine, NGINX, Start::Quick)?;
    stage.systemctl(&["start", WEB])?;
    stage.dormouse("")?;
    for round in 0..8 {
        stage.systemctl(&["freeze", WEB])?;
        stage.systemctl(&["restart", "front.service"])?;
        machine.expect(WEB, "FreezerState", "frozen")?;
        stage.ask(round)?;
        machine.expect(WEB, "FreezerState", "running")?;
    }
    Ok(())
}

fn stopped_by_others(machine: &Machine) -> Result<()> {
    let stage = Stage::new(machine, NGINX, Start::Quick)?;
    stage.dormouse("")?;
    for round in 0..3 {
        let visitor = stage.visitor()?;
        stage.systemctl(&["stop", WEB])?;
        stage.ask(round)?;
        drop(visitor);
    }
    stage.wait_for_log(messages::STOPPED_BY_OTHERS)?;
    stage.systemctl(&["restart", WEB])?;
    stage.ask(99)
}

/// A client that comes while somebody else's stop is under way waits for its end.
fn stopped_at_length(machine: &Machine) -> Result<()> {
    let web = format!("{NGINX}ExecStop=/bin/sleep 3\n");
    let stage = Stage::new(machine, &web, Start::Quick)?;
    stage.dormouse("")?;
    stage.ask(1)?;
    let process = machine.number(WEB, "MainPID")?;
    stage.systemctl(&["stop", "--no-block", WEB])?;
    machine.wait(WEB, "ActiveState", "deactivating", SETTLE)?;
    stage.wait_for_log(messages::STOPPED_BY_OTHERS)?;
    stage.ask(2)?;
    let next = machine.number(WEB, "MainPID")?;
    dormouse_tests::machine::ensure(process != next, || "it was never stopped".to_owned())
}

/// Many times as long as it would take to fall asleep.
fn stays_up(stage: &Stage<'_>) -> Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(1) {
        stage.machine.expect(WEB, "ActiveState", "active")?;
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
