//! Other programs that start, stop or freeze the unit.

use std::thread;
use std::time::{Duration, Instant};

use dormouse_tests::Result;
use dormouse_tests::machine::{Machine, SETTLE, case};
use dormouse_tests::messages;

use super::stage::{NGINX, Stage, WEB};
use dormouse_tests::nginx::Start;

const LIMIT: Duration = Duration::from_secs(120);

case!(User, a_unit_started_by_others_is_used_and_not_stopped, LIMIT, foreign);
case!(System, a_unit_started_before_dormouse_is_used_and_not_stopped, LIMIT, started_before_dormouse);
case!(User, a_unit_started_by_others_is_stopped_with_stop_foreign, LIMIT, stop_foreign);
case!(User, a_unit_stopped_by_others_is_woken_again, LIMIT, stopped_by_others);
case!(System, a_unit_stopped_by_others_is_woken_again_by_the_system_manager, LIMIT, stopped_by_others);
case!(User, a_request_waits_for_the_end_of_a_slow_stop_by_others, LIMIT, slow_stop_by_others);
case!(User, a_unit_frozen_by_others_is_thawed_for_a_request, LIMIT, frozen_by_others);

fn foreign(machine: &Machine) -> Result<()> {
    let stage = Stage::new(machine, NGINX, Start::Quick)?;
    stage.dormouse("--idle=50ms")?;
    stage.systemctl(&["start", WEB])?;
    stage.ask(1)?;
    stays_up(&stage)?;
    stage.systemctl(&["stop", "front.service"])?;
    machine.expect(WEB, "ActiveState", "active")
}

fn started_before_dormouse(machine: &Machine) -> Result<()> {
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

/// The kernel accepts connections for the frozen unit, but the server does not answer.
fn frozen_by_others(machine: &Machine) -> Result<()> {
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
        let client = stage.client()?;
        stage.systemctl(&["stop", WEB])?;
        stage.ask(round)?;
        drop(client);
    }
    stage.wait_for_log(messages::STOPPED_BY_OTHERS)?;
    stage.systemctl(&["restart", WEB])?;
    stage.ask(99)
}

/// A client that connects during a stop by another program waits for its end.
fn slow_stop_by_others(machine: &Machine) -> Result<()> {
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
    dormouse_tests::machine::ensure(process != next, || "the unit was not stopped".to_owned())
}

/// Asserts that the unit stays active for many times the idle time.
fn stays_up(stage: &Stage<'_>) -> Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(1) {
        stage.machine.expect(WEB, "ActiveState", "active")?;
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
