//! The unit with the drop-in that `dormouse check --drop-in` prints.

use std::fs;
use std::path::Path;
use std::process::Command;

use dormouse_tests::failure::Doing;
use dormouse_tests::machine::{Machine, SETTLE, case, ensure, write};
use dormouse_tests::{Address, Failure, Result, messages, wait};

use super::debian13;
use super::stage::{
    LIMIT, Stage, UNIT, ask, ask_at, check, log, server, succeed, with_log, write_configuration,
};

case!(System, ports_below_1024_open_with_the_drop_in, LIMIT, low_port);
case!(System in debian13::tree, ports_below_1024_open_with_the_drop_in_on_debian_13, LIMIT, low_port);
case!(System, a_socket_unit_opens_a_port_below_1024_without_a_drop_in, LIMIT, passed_port);
case!(System, programs_run_and_freeze_with_the_drop_in, LIMIT, program);
case!(System in debian13::tree, programs_run_and_freeze_with_the_drop_in_on_debian_13, LIMIT, program);
case!(System, programs_run_as_another_user_with_the_drop_in, LIMIT, program_of_another_user);
case!(System in debian13::tree, programs_run_as_another_user_on_debian_13, LIMIT, program_of_another_user);
case!(System, confined_programs_run_with_the_drop_in, LIMIT, confined_program);
case!(System in debian13::tree, confined_programs_run_with_the_drop_in_on_debian_13, LIMIT, confined_program);
case!(System, the_credentials_of_clients_pass_with_the_drop_in, LIMIT, credentials);

const LOW: &str = "[services.web]\nlisten = ['127.0.0.1:80', 'unix:/run/web-front/web.sock?mode=0666']\n\
                   to = '127.0.0.1:8081'\n";

fn low_port(machine: &Machine) -> Result<()> {
    let stage = Stage::new(machine)?;
    machine.install(&[("web.service", &server("web", 8081))])?;
    stage.systemctl(&["start", "web.service"])?;
    write_configuration(LOW)?;
    let without = machine.systemctl(&["start", UNIT]);
    ensure(without.is_err(), || "the unit needs no drop-in for port 80".to_owned())?;
    stage.systemctl(&["reset-failed", UNIT])?;
    stage.configure(LOW)?;
    stage.start()?;
    ask(80)?;
    ask_at(&Address::Unix("/run/web-front/web.sock".into()))
}

fn passed_port(machine: &Machine) -> Result<()> {
    let stage = Stage::new(machine)?;
    machine.install(&[
        ("web.service", &server("web", 8081)),
        (
            "dormouse-web.socket",
            "[Socket]\nListenStream=127.0.0.1:80\nFileDescriptorName=web\nService=dormouse.service\n",
        ),
    ])?;
    stage.systemctl(&["start", "web.service"])?;
    stage.configure("[services.web]\nlisten = 'fd:web'\nto = '127.0.0.1:8081'\n")?;
    stage.systemctl(&["start", "dormouse-web.socket"])?;
    stage.start()?;
    ask(80)?;
    machine
        .expect(UNIT, "AmbientCapabilities", "")
        .and_then(|()| machine.expect(UNIT, "CapabilityBoundingSet", ""))
}

const PROGRAM: &str = "[services.web]\nlisten = '127.0.0.1:8080'\nto = '127.0.0.1:8081'\n\
                       wake = { exec = ['sh', '-c', 'echo hello from behind >index.html; exec busybox httpd -f -p 127.0.0.1:8081'], \
                       directory = '/srv/web' }\n\
                       idle = { freeze = '300ms', stop = '1500ms', minimum_uptime = 0 }\n";

fn program(machine: &Machine) -> Result<()> {
    let stage = Stage::new(machine)?;
    succeed(Command::new("install").args(["-d", "-o", "dormouse", "-g", "dormouse", "/srv/web"]))?;
    stage.configure(PROGRAM)?;
    stage.start()?;
    for _ in 0..2 {
        ask(8080)?;
        wait_frozen()?;
        ask(8080)?;
        wait_stopped()?;
    }
    Ok(())
}

/// The same program as another user, who owns its directory.
fn program_of_another_user(machine: &Machine) -> Result<()> {
    let stage = Stage::new(machine)?;
    succeed(Command::new("install").args(["-d", "-o", "daemon", "-g", "daemon", "/srv/web"]))?;
    stage.configure(&PROGRAM.replace("directory =", "user = 'daemon', directory ="))?;
    stage.start()?;
    for _ in 0..2 {
        ask(8080)?;
        ensure(program_runs_as("daemon")?, || "the program does not run as daemon".to_owned())?;
        wait_frozen()?;
        ask(8080)?;
        wait_stopped_as("daemon")?;
    }
    Ok(())
}

/// The same program with a user of its own and a private /tmp. Without rights over the mounts of the machine it is in a user
/// namespace.
fn confined_program(machine: &Machine) -> Result<()> {
    let stage = Stage::new(machine)?;
    stage.configure(&PROGRAM.replace("directory =", "sandbox = 'strict', directory ="))?;
    let described = check("--config=/etc/dormouse/dormouse.toml")?;
    let user = described.split("of its own user ").nth(1).and_then(|rest| rest.split(':').next());
    let user = user.ok_or_else(|| Failure::Unexpected(described.clone()))?;
    succeed(Command::new("install").args(["-d", "-o", user, "-g", user, "/srv/web"]))?;
    write(Path::new("/tmp/marker"), "a file of others")?;
    stage.start()?;
    for _ in 0..2 {
        ask(8080)?;
        // The oldest: the server has a process for each client.
        let pid = succeed(Command::new("pgrep").args(["-o", "-u", user, "-x", "busybox"]))
            .map_err(|failure| with_log(&failure))?;
        let seen = succeed(Command::new("ls").arg("-A").arg(format!("/proc/{}/root/tmp", pid.trim())))?;
        ensure(seen.is_empty(), || format!("the program sees {seen}"))?;
        wait_frozen()?;
        ask(8080)?;
        wait_stopped_as(user)?;
    }
    ensure(!log().contains(messages::UNCONFINED), || "a part of the confinement is missing".to_owned())
        .map_err(|failure| with_log(&failure))
}

/// The service manager names the instances of a socket unit by the number, the process and the user of the client.
const WHO: [(&str, &str); 2] = [
    ("who.socket", "[Socket]\nListenStream=/run/who.sock\nSocketMode=0666\nAccept=yes\n"),
    ("who@.service", "[Service]\nExecStart=echo %i\nStandardInput=socket\nStandardOutput=socket\n"),
];

fn credentials(machine: &Machine) -> Result<()> {
    let stage = Stage::new(machine)?;
    machine.install(&WHO)?;
    stage.systemctl(&["start", "who.socket"])?;
    stage.configure(
        "[services.who]\nlisten = 'unix:/run/dormouse/who.sock?mode=0666'\nto = '/run/who.sock'\n\
         peer_credentials = 'pass'\n",
    )?;
    stage.start()?;
    for uid in ["1234", "65534"] {
        let client = "import socket; s = socket.socket(socket.AF_UNIX); s.connect('/run/dormouse/who.sock'); \
                      s.shutdown(socket.SHUT_WR); print(s.makefile().read())";
        let ids = [format!("--reuid={uid}"), format!("--regid={uid}"), "--clear-groups".to_owned()];
        let seen = succeed(Command::new("setpriv").args(ids).args(["/usr/bin/python3", "-c", client]))
            .map_err(|failure| with_log(&failure))?;
        ensure(seen.trim().rsplit('-').next() == Some(uid), || format!("user {uid} is seen as {seen}"))?;
    }
    Ok(())
}

/// Waits until the program of the service has ended.
fn wait_stopped() -> Result<()> {
    wait_stopped_as("dormouse")
}

fn wait_stopped_as(user: &str) -> Result<()> {
    wait::until("the end of the program", SETTLE, || Ok((!program_runs_as(user)?).then_some(())))
        .map_err(|failure| with_log(&failure))
}

fn program_runs_as(user: &str) -> Result<bool> {
    let found = Command::new("pgrep").args(["-u", user, "-x", "busybox"]).output();
    Ok(found.doing(|| "run pgrep".to_owned())?.status.success())
}

/// Waits until a control group below that of dormouse is frozen.
fn wait_frozen() -> Result<()> {
    let group = Path::new("/sys/fs/cgroup/system.slice/dormouse.service");
    let frozen = || {
        let groups = fs::read_dir(group).ok()?;
        groups.flatten().find_map(|entry| {
            let events = fs::read_to_string(entry.path().join("cgroup.events")).ok()?;
            events.contains("frozen 1").then_some(())
        })
    };
    wait::until("a frozen control group", SETTLE, || Ok(frozen())).map_err(|failure| with_log(&failure))
}
