//! The status of a server as `HAProxy` shows it.

use dormouse_core::activation::State;
use dormouse_core::control::AdminState;

use super::running::RunningServer;

/// The status of a server in `HAProxy`. A stopped workload would take a client, so it is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Maint,
    Drain,
    Down,
    Up,
    NoCheck,
}

impl Status {
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Maint => "MAINT",
            Self::Drain => "DRAIN",
            Self::Down => "DOWN",
            Self::Up => "UP",
            Self::NoCheck => "no check",
        }
    }

    /// Returns whether the server takes new clients.
    pub(super) fn is_up(self) -> bool {
        matches!(self, Self::Up | Self::NoCheck)
    }
}

/// Returns the status with the number of checks until it changes.
pub(super) fn status_with_checks(server: &RunningServer<'_>) -> String {
    let status = status(server);
    let streak = server.view.as_ref().and_then(|view| view.streak);
    let counts = streak.and_then(|streak| match status {
        Status::Up | Status::Drain => Some((streak.failures_left()?, streak.fall)),
        Status::Down if server.is_down() && streak.health > 0 => Some((streak.health, streak.rise)),
        Status::Down | Status::Maint | Status::NoCheck => None,
    });
    match counts {
        Some((count, of)) => format!("{} {count}/{of}", status.text()),
        None => status.text().to_owned(),
    }
}

/// Returns the status of a server.
pub(super) fn status(server: &RunningServer<'_>) -> Status {
    let checked = server.view.as_ref().is_some_and(|view| view.is_checked);
    match (server.admin(), server.wakeable()) {
        (AdminState::Maint, _) => Status::Maint,
        _ if server.is_down() => Status::Down,
        (AdminState::Drain, _) => Status::Drain,
        (AdminState::Ready, None) if !checked => Status::NoCheck,
        (AdminState::Ready, Some(wakeable)) if wakeable.state().0 == State::Failed => Status::Down,
        (AdminState::Ready, _) => Status::Up,
    }
}
