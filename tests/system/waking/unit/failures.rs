//! Units that do not start, and units that end too early.

use std::time::{Duration, Instant};

use dormouse_tests::Result;
use dormouse_tests::machine::{Machine, case, ensure, write};

use super::stage::{NGINX, PATIENCE, Stage, WEB};
use dormouse_tests::nginx::Start;

const LIMIT: Duration = Duration::from_secs(120);

case!(User, a_unit_that_fails_is_known_at_once, LIMIT, fails_at_start);
case!(System, a_unit_that_fails_is_known_at_once_by_the_system, LIMIT, fails_at_start);
case!(User, a_unit_that_is_not_there, LIMIT, not_there);
case!(System, a_unit_that_may_not_be_started, LIMIT, not_permitted);
case!(User, killed_in_mid_session, LIMIT, killed_in_mid_session_);
case!(User, restarted_by_its_manager, LIMIT, restarted_by_its_manager_);
case!(User, one_that_never_gets_ready_is_given_up, LIMIT, never_ready);
case!(User, one_that_does_not_stop_is_killed, LIMIT, does_not_stop);

/// nginx once there is a file, and a failure before.
const MOODY: &str = "\
[Unit]
StartLimitIntervalSec=0
[Service]
Type=notify
NotifyAccess=all
RuntimeDirectory=web
ExecStart=/bin/sh -c 'test -e %t/mended || exit 3; systemd-notify --ready; exec /usr/sbin/nginx -e stderr -c %t/nginx.conf'
";

fn fails_at_start(machine: &Machine) -> Result<()> {
    let stage = Stage::new(machine, MOODY, Start::Quick)?;
    stage.dormouse("")?;
    let asked = Instant::now();
    stage.ask_in_vain()?;
    let took = asked.elapsed();
    ensure(took < Duration::from_secs(10), || format!("the client was turned away after {took:?}"))?;
    stage.wait_for_log("result exit-code: its main process exited with 3")?;
    stage.wait_for_log("-u web.service`")?;
    write(&machine.runtime().join("mended"), "")?;
    stage.ask_until_answered()
}

fn not_there(machine: &Machine) -> Result<()> {
    let stage = Stage::new(machine, NGINX, Start::Quick)?;
    stage.dormouse_as("--unit=nothing.service", "")?;
    stage.ask_in_vain()?;
    stage.wait_for_log("there is no such unit; `systemctl --user list-unit-files` shows all")
}

fn not_permitted(machine: &Machine) -> Result<()> {
    let stage = Stage::new(machine, NGINX, Start::Quick)?;
    stage.dormouse_as("--system --unit=web.service", "User=nobody")?;
    stage.ask_in_vain()?;
    stage.wait_for_log("org.freedesktop.systemd1.manage-units")?;
    machine.expect(WEB, "ActiveState", "inactive")
}

fn killed_in_mid_session_(machine: &Machine) -> Result<()> {
    let stage = Stage::new(machine, NGINX, Start::Quick)?;
    stage.dormouse("")?;
    let visitor = stage.visitor()?;
    stage.systemctl(&["kill", "--signal=KILL", WEB])?;
    visitor.receive_to_end(PATIENCE)?;
    stage.wait_for_log("killed by signal 9 (SIGKILL)")?;
    stage.ask_until_answered()
}

/// Whoever comes while its manager starts it again waits for that.
fn restarted_by_its_manager_(machine: &Machine) -> Result<()> {
    let web = format!("{NGINX}Restart=always\nRestartSec=3s\n");
    let stage = Stage::new(machine, &web, Start::Quick)?;
    stage.dormouse("")?;
    for round in 0..3 {
        stage.ask(round)?;
        stage.systemctl(&["kill", "--signal=KILL", WEB])?;
        stage.wait("SubState", "auto-restart")?;
        stage.ask(round + 10)?;
    }
    stage.wait_for_log("its manager starts it again")
}

/// Its manager would wait for a minute and a half.
fn never_ready(machine: &Machine) -> Result<()> {
    let web =
        NGINX.replace("Type=exec", "Type=notify").replace("/usr/sbin/nginx", "/bin/sh -c 'exec sleep 1000'");
    let stage = Stage::new(machine, &web, Start::Quick)?;
    stage.dormouse("--start-timeout=500ms")?;
    stage.ask_in_vain()?;
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
        stage.wait_for_log_times("has not stopped within 1 s: killing it", round + 1)?;
        stage.wait("ActiveState", "failed")?;
    }
    Ok(())
}
