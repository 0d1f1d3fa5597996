//! `dormouse top` in a real terminal: the screen, the keys, and the exit.

use std::process::Command;

use dormouse_tests::failure::Doing;
use dormouse_tests::wait::SOON;
use dormouse_tests::{Failure, Result, Stream, Subject};

use super::rig::Rig;
use super::terminal::Terminal;

const TWO: &str = "[services.one]\nlisten = LISTEN\nECHO(one)\n[services.two]\nlisten = LISTEN\nECHO(two)\n";

fn top(rig: &Rig, more: &str) -> Result<Terminal> {
    let program = Subject::Dormouse.program()?;
    let control = rig.control();
    with_exit_status(&format!("{} top --control={} {more}", program.display(), control.display()))
}

/// Runs a command in a terminal that shows the exit code and the terminal mode afterwards.
fn with_exit_status(command: &str) -> Result<Terminal> {
    Terminal::new(&format!(
        "{command}; echo \"left: $?\"; stty -a | grep -qw -- -icanon && echo keys || echo lines; sleep 100"
    ))
}

#[test]
fn top_shows_and_controls_services() {
    let rig = Rig::new("", TWO).unwrap();
    let client = rig.client("one").unwrap();
    let terminal = top(&rig, "--interval=200ms").unwrap();
    terminal.shows(&["one", "ready"]);
    terminal.shows(&["two", "stopped"]);
    terminal.shows(&["Sessions of one: 1"]);
    terminal.shows(&["127.0.0.1:", "server1"]);
    // Keys change the order; the selection stays.
    terminal.shows(&["of", "sessions, by name"]);
    terminal.press(&["s"]);
    terminal.shows(&["sessions, by sessions"]);
    terminal.press(&["s", "s", "j"]);
    terminal.shows(&["sessions, by name"]);
    terminal.shows(&["Sessions of two: 0"]);
    // A key wakes the second service.
    terminal.press(&["w"]);
    rig.is("two", "idle").unwrap();
    terminal.shows(&["two", "idle"]);
    terminal.press(&["z"]);
    rig.is("two", "stopped").unwrap();
    terminal.press(&["h"]);
    terminal.shows(&["end the selected session"]);
    terminal.press(&["h"]);
    // A small terminal shows the parts that fit.
    terminal.tmux(&["set-option", "window-size", "manual"]).unwrap();
    terminal.tmux(&["resize-window", "-x", "40", "-y", "6"]).unwrap();
    terminal.shows(&["SERVICE", "SESSIONS"]);
    terminal.shows(&["h help  q quit  s order", "…"]);
    terminal.tmux(&["resize-window", "-x", "110", "-y", "30"]).unwrap();
    terminal.shows(&["SERVICE", "NEXT"]);
    // A key and its confirmation end a session.
    terminal.press(&["Up", "Enter", "x"]);
    terminal.shows(&["End the session of 127.0.0.1:"]);
    terminal.press(&["y"]);
    ended(&client).unwrap();
    terminal.shows(&["Sessions of one: 0"]);
    terminal.press(&["q"]);
    terminal.shows(&["left: 0"]);
    // The terminal is in line mode again and shows its previous screen.
    terminal.shows(&["lines"]);
    let screen = terminal.tmux(&["capture-pane", "-p"]).unwrap();
    assert!(!screen.contains("SERVICE"), "{screen}");
}

/// Waits until the other side has ended.
fn ended(client: &Stream) -> Result<()> {
    match client.receive(1, SOON) {
        Ok(received) if !received.is_empty() => Err(Failure::Unexpected(format!("{received:?}"))),
        // A FIN or a reset.
        _ => Ok(()),
    }
}

#[test]
fn top_survives_the_end_of_dormouse_and_exits_on_a_signal() {
    let rig = Rig::new("", TWO).unwrap();
    let pid_file = rig.dir.join("top.pid");
    let program = Subject::Dormouse.program().unwrap();
    // The shell executes the program, so that the shell's process id is the program's.
    let command = format!(
        "sh -c 'echo $$ > {}; exec {} top --control={} --interval=200ms'",
        pid_file.display(),
        program.display(),
        rig.control().display()
    );
    let terminal = with_exit_status(&command).unwrap();
    terminal.shows(&["two", "stopped"]);
    std::fs::rename(rig.control(), rig.dir.join("elsewhere")).unwrap();
    terminal.shows(&["Failed to connect to the control socket"]);
    terminal.shows(&["two", "stopped"]);
    let pid = std::fs::read_to_string(&pid_file).unwrap();
    let kill = Command::new("kill").arg(pid.trim()).status().doing(|| "run kill".to_owned()).unwrap();
    assert!(kill.success());
    terminal.shows(&["left: 0"]);
    terminal.shows(&["lines"]);
}

#[test]
fn top_reports_a_missing_control_socket() {
    let terminal = with_exit_status(&format!(
        "{} top --control=/nowhere/control.sock",
        Subject::Dormouse.program().unwrap().display()
    ))
    .unwrap();
    terminal.shows(&["Failed to connect to the control socket /nowhere/control.sock"]);
    terminal.shows(&["left: 1"]);
}
