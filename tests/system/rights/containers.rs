//! Containers that the user of the unit controls through the group of the engine's socket.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use dormouse_tests::Result;
use dormouse_tests::failure::Doing;
use dormouse_tests::machine::{Machine, case, ensure, write};

use super::debian13;
use super::podman::Podman;
use super::stage::{LIMIT, Stage, UNIT, check, succeed, with_log};

case!(System, a_container_wakes_freezes_and_stops, LIMIT, container);
case!(System in debian13::tree, a_container_wakes_freezes_and_stops_on_debian_13, LIMIT, container);

const CONFIG: &str = "[services.web]\nlisten = '127.0.0.1:8080'\nto = '127.0.0.1:8081'\nwake = { container = 'web' }\n\
                      idle = { freeze = '300ms', stop = '1500ms', minimum_uptime = 0 }\n";

fn container(machine: &Machine) -> Result<()> {
    let stage = Stage::new(machine)?;
    let podman = Podman::new(machine)?;
    podman.create(&["--network=host"], &[])?;
    // At boot Debian makes the directory of the socket root's alone.
    fs::set_permissions("/run/podman", fs::Permissions::from_mode(0o700))
        .doing(|| "close /run/podman".to_owned())?;
    stage.configure(CONFIG)?;
    // The socket belongs to root, so `check` describes how to open it.
    let drop_in = check("--drop-in")?;
    let lines: Vec<_> = drop_in.lines().filter_map(|line| line.strip_prefix("#   ")).collect();
    ensure(lines.first() == Some(&"[Socket]"), || drop_in.clone())?;
    write(Path::new("/etc/systemd/system/podman.socket.d/50-dormouse.conf"), &(lines.join("\n") + "\n"))?;
    stage.systemctl(&["daemon-reload"])?;
    succeed(Command::new("systemctl").args(["stop", "podman.service", "podman.socket"]))?;
    stage.systemctl(&["start", "podman.socket"])?;
    let drop_in = check("--drop-in")?;
    ensure(!drop_in.contains("[Socket]"), || drop_in.clone())?;
    stage.start()?;
    for _ in 0..2 {
        ask(&podman)?;
        podman.wait("paused")?;
        ask(&podman)?;
        podman.wait("exited")?;
    }
    stage.systemctl(&["stop", UNIT]).map(drop)
}

fn ask(podman: &Podman<'_>) -> Result<()> {
    podman.ask().map_err(|failure| with_log(&failure))
}
