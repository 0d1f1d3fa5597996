//! Units that do not start, and units that end unexpectedly.

use std::time::{Duration, Instant};

use dormouse_tests::machine::{Machine, case, ensure, write};
use dormouse_tests::{Result, messages};

use super::stage::{NGINX, REQUEST_LIMIT, Stage, WEB};
use dormouse_tests::nginx::Start;

const LIMIT: Duration = Duration::from_secs(120);

case!(User, a_failed_start_is_reported_at_once, LIMIT, fails_at_start);
case!(System, a_failed_start_is_reported_at_once_by_the_system_manager, LIMIT, fails_at_start);
case!(User, a_missing_unit_is_reported, LIMIT, not_there);
case!(System, a_missing_permission_is_reported, LIMIT, not_permitted);
case!(User, a_unit_killed_during_a_session_is_started_again, LIMIT, killed_during_session);
case!(User, a_request_waits_for_a_restart_by_the_manager, LIMIT, restarted_by_its_manager);
case!(User, a_slow_end_before_a_restart_is_no_failure, LIMIT, restarted_after_a_slow_end);
case!(User, a_unit_that_never_gets_ready_fails, LIMIT, never_ready);
case!(User, a_unit_that_does_not_stop_is_killed, LIMIT, does_not_stop);

/// nginx if a file exists, and a failure otherwise.
const NGINX_IF_FILE: &str = "\
[Unit]
StartLimitIntervalSec=0
[Service]
Type=notify
NotifyAccess=all
RuntimeDirectory=web
ExecStart=/bin/sh -c 'test -e %t/mended || exit 3; systemd-notify --ready; exec /usr/sbin/nginx -e stderr -c %t/nginx.conf'
";

fn fails_at_start(machine: &Machine) -> Result<()> {
    let stage = Stage::new(machine, NGINX_IF_FILE, Start::Quick)?;
    stage.dormouse("")?;
    let asked = Instant::now();
    stage.ask_without_answer()?;
    let took = asked.elapsed();
    ensure(took < Duration::from_secs(10), || format!("the client was refused after {took:?}"))?;
    stage.wait_for_log(&messages::unit_exited(3))?;
    stage.wait_for_log(messages::SEE_JOURNAL_OF_WEB)?;
    write(&machine.runtime().join("mended"), "")?;
    stage.ask_until_answered()
}

fn not_there(machine: &Machine) -> Result<()> {
    let stage = Stage::new(machine, NGINX, Start::Quick)?;
    stage.dormouse_as("--unit=nothing.service", "")?;
    stage.ask_without_answer()?;
    stage.wait_for_log(messages::NO_SUCH_UNIT)
}

fn not_permitted(machine: &Machine) -> Result<()> {
    let stage = Stage::new(machine, NGINX, Start::Quick)?;
    stage.dormouse_as("--system --unit=web.service", "User=nobody")?;
    stage.ask_without_answer()?;
    stage.wait_for_log(messages::ALLOW_MANAGE_UNITS)?;
    machine.expect(WEB, "ActiveState", "inactive")
}

fn killed_during_session(machine: &Machine) -> Result<()> {
    let stage = Stage::new(machine, NGINX, Start::Quick)?;
    stage.dormouse("")?;
    let client = stage.client()?;
    stage.systemctl(&["kill", "--signal=KILL", WEB])?;
    client.receive_to_end(REQUEST_LIMIT)?;
    stage.wait_for_log(messages::UNIT_KILLED)?;
    stage.ask_until_answered()
}

/// A client that connects while the manager restarts the unit waits for the restart.
fn restarted_by_its_manager(machine: &Machine) -> Result<()> {
    let web = format!("{NGINX}Restart=always\nRestartSec=3s\n");
    let stage = Stage::new(machine, &web, Start::Quick)?;
    stage.dormouse("")?;
    for round in 0..3 {
        stage.ask(round)?;
        stage.systemctl(&["kill", "--signal=KILL", WEB])?;
        stage.wait("SubState", "auto-restart")?;
        stage.ask(round + 10)?;
    }
    stage.wait_for_log(messages::MANAGER_RESTARTS_IT)
}

/// The unit is seen while it ends, and the manager restarts it afterwards. It is still the one that dormouse started, so
/// it is stopped when it is idle.
fn restarted_after_a_slow_end(machine: &Machine) -> Result<()> {
    let web = format!("{NGINX}ExecStopPost=/bin/sleep 1\nRestart=always\nRestartSec=10ms\n");
    let stage = Stage::new(machine, &web, Start::Quick)?;
    stage.dormouse("--idle=5s")?;
    stage.ask(1)?;
    stage.systemctl(&["kill", "--signal=KILL", WEB])?;
    stage.wait("SubState", "stop-post")?;
    stage.ask(2)?;
    stage.wait_for_log(messages::MANAGER_RESTARTS_IT)?;
    stage.wait("ActiveState", "inactive")
}

/// The manager's own start timeout is 90 s.
fn never_ready(machine: &Machine) -> Result<()> {
    let web =
        NGINX.replace("Type=exec", "Type=notify").replace("/usr/sbin/nginx", "/bin/sh -c 'exec sleep 1000'");
    let stage = Stage::new(machine, &web, Start::Quick)?;
    stage.dormouse("--start-timeout=500ms")?;
    stage.ask_without_answer()?;
    stage.wait("ActiveState", "inactive")?;
    stage.systemctl(&["stop", "front.service"])
}

fn does_not_stop(machine: &Machine) -> Result<()> {
    let web = NGINX
        .replace("ExecStart=", "ExecStop=/bin/sleep 60\nTimeoutStopSec=100\nExecStart=")
        .replace("Type=exec", "Type=exec\nKillSignal=SIGWINCH");
    let stage = Stage::new(machine, &web, Start::Quick)?;
    stage.dormouse("--idle=10ms --stop-timeout=1s")?;
    for round in 0..2 {
        stage.ask(round)?;
        stage.wait_for_log_times(messages::KILLING_UNIT, round + 1)?;
        stage.wait("ActiveState", "failed")?;
    }
    Ok(())
}
