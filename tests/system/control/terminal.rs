//! A terminal that a test reads and types into.

use std::process::Command;

use dormouse_tests::temp::TempDir;
use dormouse_tests::wait::{self, SOON};
use dormouse_tests::{Failure, Result};

use super::rig::all_of;

/// A tmux session with one command; it ends with the test.
pub(super) struct Terminal(TempDir);

impl Terminal {
    pub(super) fn new(command: &str) -> Result<Self> {
        let terminal = Self(TempDir::new()?);
        terminal.tmux(&["new-session", "-d", "-x", "110", "-y", "30", command])?;
        Ok(terminal)
    }

    pub(super) fn tmux(&self, args: &[&str]) -> Result<String> {
        let output = Command::new("tmux").args(["-u", "-S"]).arg(self.0.join("tmux")).args(args).output();
        output.map(|output| all_of(&output)).map_err(|_| Failure::missing("tmux", "run scripts/test-deps.sh"))
    }

    #[track_caller]
    pub(super) fn press(&self, keys: &[&str]) {
        let args: Vec<&str> = ["send-keys"].iter().chain(keys).copied().collect();
        let sent = self.tmux(&args);
        assert!(sent.is_ok(), "{sent:?}");
    }

    /// Waits until a line of the screen contains all these parts.
    #[track_caller]
    pub(super) fn shows(&self, parts: &[&str]) {
        let shown = wait::until(&format!("a line with {parts:?}"), SOON, || {
            let screen = self.tmux(&["capture-pane", "-p"])?;
            Ok(screen.lines().any(|line| parts.iter().all(|part| line.contains(part))).then_some(()))
        });
        assert!(
            shown.is_ok(),
            "no {parts:?} in:\n{}",
            self.tmux(&["capture-pane", "-p"]).unwrap_or_default()
        );
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // The session may have ended already; then the command fails.
        let _ = self.tmux(&["kill-server"]);
    }
}
