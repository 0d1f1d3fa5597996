//! The default control socket: in the runtime directory that the service manager made.

use std::fs;

use dormouse_tests::failure::Doing;
use dormouse_tests::messages;
use dormouse_tests::process::{Launch, Running};
use dormouse_tests::temp::TempDir;
use dormouse_tests::wait::SOON;
use dormouse_tests::{Family, Listener, Result, ask};

/// Starts dormouse without admin keys in its file and with this runtime directory.
fn start(dir: &TempDir, server: &Listener, runtime: &str) -> Result<Running> {
    let file = dir.join("dormouse.toml");
    let text = format!("[services.main]\nlisten = \"127.0.0.1:0\"\nto = \"{}\"\n", server.address());
    fs::write(&file, text).doing(|| "write the configuration".to_owned())?;
    let launch = Launch::dormouse().args(["run", "--config"]).arg(&file).env("RUNTIME_DIRECTORY", runtime);
    let dormouse = launch.start()?;
    dormouse.stderr().wait_for(messages::LISTENING, SOON).map_err(|failure| dormouse.with_log(&failure))?;
    Ok(dormouse)
}

#[test]
fn the_default_control_socket_is_in_the_runtime_directory() {
    let (dir, server) = (TempDir::new().unwrap(), Listener::bind(Family::Tcp4).unwrap());
    // The variable may contain several directories, and the first may be missing.
    let runtime = dir.join("runtime");
    let directories = format!("{}:{}", runtime.display(), dir.path().display());
    let dormouse = start(&dir, &server, &directories).unwrap();
    let control = runtime.join("control.sock");
    let found = dormouse.stderr().wait_for(&format!("Commands are taken at {}.", control.display()), SOON);
    found.unwrap();
    assert!(ask(&control, "show info").unwrap().contains("Name: dormouse\n"));
}

#[test]
fn services_are_served_without_the_default_control_socket() {
    let (dir, server) = (TempDir::new().unwrap(), Listener::bind(Family::Tcp4).unwrap());
    // No file can be made in this directory.
    fs::write(dir.join("file"), "").unwrap();
    let runtime = dir.join("file").join("runtime");
    let mut dormouse = start(&dir, &server, &runtime.display().to_string()).unwrap();
    let found = dormouse.stderr().wait_for("No control socket: ", SOON);
    found.map_err(|failure| dormouse.with_log(&failure)).unwrap();
    assert!(dormouse.is_running().unwrap());
}
