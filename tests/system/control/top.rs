//! `dormouse top` in a real terminal: what it shows, what keys do, and how it leaves.

use std::process::Command;

use dormouse_tests::failure::Doing;
use dormouse_tests::wait::SOON;
use dormouse_tests::{Failure, Result, Stream, Subject};

use super::pane::Pane;
use super::rig::Rig;

const TWO: &str = "[services.one]\nlisten = LISTEN\nECHO(one)\n[services.two]\nlisten = LISTEN\nECHO(two)\n";

fn top(rig: &Rig, more: &str) -> Result<Pane> {
    let program = Subject::Ours.program()?;
    let control = rig.control();
    in_a_terminal(&format!("{} top --control={} {more}", program.display(), control.display()))
}

/// A terminal in which this command runs, and then its exit status is shown.
fn in_a_terminal(command: &str) -> Result<Pane> {
    Pane::new(&format!(
        "{command}; echo \"left: $?\"; stty -a | grep -qw -- -icanon && echo keys || echo lines; sleep 100"
    ))
}

#[test]
fn top_shows_and_steers() {
    let rig = Rig::new("", TWO).unwrap();
    let guest = rig.guest("one").unwrap();
    let pane = top(&rig, "--interval=200ms").unwrap();
    pane.shows(&["one", "ready"]);
    pane.shows(&["two", "stopped"]);
    pane.shows(&["Sessions of one: 1"]);
    pane.shows(&["127.0.0.1:", "server1"]);
    // The order, and what is selected, which stays so.
    pane.shows(&["of", "sessions, by name"]);
    pane.press(&["s"]);
    pane.shows(&["sessions, by sessions"]);
    pane.press(&["s", "s", "j"]);
    pane.shows(&["sessions, by name"]);
    pane.shows(&["Sessions of two: 0"]);
    // The second service wakes at a key.
    pane.press(&["w"]);
    rig.is("two", "idle").unwrap();
    pane.shows(&["two", "idle"]);
    pane.press(&["z"]);
    rig.is("two", "stopped").unwrap();
    pane.press(&["h"]);
    pane.shows(&["end the selected session"]);
    pane.press(&["h"]);
    // A terminal that becomes small has what fits.
    pane.tmux(&["set-option", "window-size", "manual"]).unwrap();
    pane.tmux(&["resize-window", "-x", "40", "-y", "6"]).unwrap();
    pane.shows(&["SERVICE", "SESSIONS"]);
    pane.shows(&["h help  q quit  s order", "…"]);
    pane.tmux(&["resize-window", "-x", "110", "-y", "30"]).unwrap();
    pane.shows(&["SERVICE", "NEXT"]);
    // A session ends at a key, and another.
    pane.press(&["Up", "Enter", "x"]);
    pane.shows(&["End the session of 127.0.0.1:"]);
    pane.press(&["y"]);
    ended(&guest).unwrap();
    pane.shows(&["Sessions of one: 0"]);
    pane.press(&["q"]);
    pane.shows(&["left: 0"]);
    // Lines are taken as lines again, and the screen is the one from before.
    pane.shows(&["lines"]);
    let screen = pane.tmux(&["capture-pane", "-p"]).unwrap();
    assert!(!screen.contains("SERVICE"), "{screen}");
}

/// Waits until the other side has ended.
fn ended(guest: &Stream) -> Result<()> {
    match guest.receive(1, SOON) {
        Ok(heard) if !heard.is_empty() => Err(Failure::Unexpected(format!("{heard:?}"))),
        // An end, or a reset.
        _ => Ok(()),
    }
}

#[test]
fn top_outlives_what_it_shows_and_leaves_at_a_signal() {
    let rig = Rig::new("", TWO).unwrap();
    let pid_file = rig.dir.join("top.pid");
    let program = Subject::Ours.program().unwrap();
    // The shell becomes the program, so that its number is known.
    let command = format!(
        "sh -c 'echo $$ > {}; exec {} top --control={} --interval=200ms'",
        pid_file.display(),
        program.display(),
        rig.control().display()
    );
    let pane = in_a_terminal(&command).unwrap();
    pane.shows(&["two", "stopped"]);
    std::fs::rename(rig.control(), rig.dir.join("elsewhere")).unwrap();
    pane.shows(&["Failed to connect to the control socket"]);
    pane.shows(&["two", "stopped"]);
    let pid = std::fs::read_to_string(&pid_file).unwrap();
    let kill = Command::new("kill").arg(pid.trim()).status().doing(|| "run kill".to_owned()).unwrap();
    assert!(kill.success());
    pane.shows(&["left: 0"]);
    pane.shows(&["lines"]);
}

#[test]
fn top_reports_a_missing_control_socket() {
    let pane = in_a_terminal(&format!(
        "{} top --control=/nowhere/control.sock",
        Subject::Ours.program().unwrap().display()
    ))
    .unwrap();
    pane.shows(&["Failed to connect to the control socket /nowhere/control.sock"]);
    pane.shows(&["left: 1"]);
}
