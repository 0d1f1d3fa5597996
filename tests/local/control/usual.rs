//! Where the control socket is when nothing is said of it: in the directory that the service manager made.

use std::fs;

use dormouse_tests::failure::Doing;
use dormouse_tests::messages;
use dormouse_tests::process::{Launch, Running};
use dormouse_tests::temp::TempDir;
use dormouse_tests::wait::SOON;
use dormouse_tests::{Family, Listener, Result, ask};

/// A dormouse whose file says nothing of windows, with this directory of the service manager's.
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
fn the_control_socket_is_in_the_managers_directory() {
    let (dir, server) = (TempDir::new().unwrap(), Listener::bind(Family::Tcp4).unwrap());
    // Several may be given, and the first need not be there any more.
    let runtime = dir.join("runtime");
    let directories = format!("{}:{}", runtime.display(), dir.path().display());
    let dormouse = start(&dir, &server, &directories).unwrap();
    let control = runtime.join("control.sock");
    let told = dormouse.stderr().wait_for(&format!("Commands are taken at {}.", control.display()), SOON);
    told.unwrap();
    assert!(ask(&control, "show info").unwrap().contains("Name: dormouse\n"));
}

#[test]
fn without_a_place_for_it_services_are_served_all_the_same() {
    let (dir, server) = (TempDir::new().unwrap(), Listener::bind(Family::Tcp4).unwrap());
    // Nothing can be made there.
    fs::write(dir.join("file"), "").unwrap();
    let runtime = dir.join("file").join("runtime");
    let mut dormouse = start(&dir, &server, &runtime.display().to_string()).unwrap();
    let told = dormouse.stderr().wait_for("No control socket: ", SOON);
    told.map_err(|failure| dormouse.with_log(&failure)).unwrap();
    assert!(dormouse.is_running().unwrap());
}
