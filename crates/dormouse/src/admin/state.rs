//! The names of the states of services and servers.

use std::time::Duration;

use dormouse_core::activation::State;
use dormouse_core::control::AdminState;
use dormouse_core::pool::SlotState;

use super::running::{RunningServer, RunningService};

/// Returns the state of a service and how long it lasts: that of its best server for a client; if no server takes
/// clients, the reason.
pub(super) fn service_state(service: &RunningService) -> (String, Duration) {
    let mut best: Option<(Availability, Duration)> = None;
    for server in service.servers() {
        let (availability, since) = (Availability::of(&server), server.since());
        best = Some(match best {
            // A service is up since its first server is up, and down since its last server is down.
            Some((Availability::Up, before)) if availability == Availability::Up => {
                (availability, before.max(since))
            }
            Some((other, before)) if !other.takes() && !availability.takes() => {
                (other.min(availability), before.min(since))
            }
            Some((other, before)) if other <= availability => (other, before),
            _ => (availability, since),
        });
    }
    let (availability, since) =
        best.unwrap_or_else(|| (Availability::Up, service.stats().start_time.elapsed()));
    (availability.name(), since)
}

/// The state of a server for new clients, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Availability {
    Up,
    /// The index in `STATES`.
    Workload(usize),
    Down,
    /// The same in maintenance or drain; both are shown.
    Closed(usize),
    Drain,
    Maint,
    Vacant,
}

impl Availability {
    const STATES: [State; 9] = [
        State::Ready,
        State::Idle,
        State::Thawing,
        State::Starting,
        State::Freezing,
        State::Frozen,
        State::Stopping,
        State::Stopped,
        State::Failed,
    ];

    fn of(server: &RunningServer<'_>) -> Self {
        match (server.admin(), server.wakeable()) {
            _ if server.slot_state() == SlotState::Empty => Self::Vacant,
            (AdminState::Maint, None) => Self::Maint,
            (admin, _) if server.is_down() && admin != AdminState::Maint => Self::Down,
            (AdminState::Ready, None) if server.weight() > 0 => Self::Up,
            (_, None) => Self::Drain,
            (admin, Some(wakeable)) => {
                let state = wakeable.state().0;
                let index = Self::STATES.iter().position(|other| *other == state);
                let index = index.unwrap_or(Self::STATES.len());
                let takes = admin == AdminState::Ready && server.weight() > 0;
                if takes { Self::Workload(index) } else { Self::Closed(index) }
            }
        }
    }

    fn takes(self) -> bool {
        matches!(self, Self::Up | Self::Workload(_))
    }

    fn name(self) -> String {
        let name = match self {
            Self::Up => "up",
            Self::Workload(index) | Self::Closed(index) => {
                return Self::STATES.get(index).copied().unwrap_or(State::Failed).to_string();
            }
            Self::Down => "down",
            Self::Drain => "drain",
            Self::Maint => "maint",
            Self::Vacant => "vacant",
        };
        name.to_owned()
    }
}

/// Returns the state of a server: vacant, down (by health checks), the state of its workload, maint, or up.
pub(super) fn server_state(server: &RunningServer<'_>) -> String {
    match server.wakeable() {
        _ if server.slot_state() == SlotState::Empty => "vacant".to_owned(),
        _ if server.is_down() && server.admin() != AdminState::Maint => "down".to_owned(),
        Some(wakeable) => wakeable.state().0.to_string(),
        None if server.admin() == AdminState::Maint => "maint".to_owned(),
        None => "up".to_owned(),
    }
}

/// Returns the state of a server, with its administrative state unless that is ready or the same.
pub(super) fn state_with_admin(server: &RunningServer<'_>) -> String {
    let state = server_state(server);
    match server.admin() {
        AdminState::Ready => state,
        _ if matches!(state.as_str(), "vacant" | "maint") => state,
        admin => format!("{state}, {admin}"),
    }
}
