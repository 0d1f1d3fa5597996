//! The JSON of `show services json` and of /status.json, which `dormouse status` and the page show.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use dormouse_core::activation::{Snapshot, State};
use dormouse_core::control::AdminState;
use dormouse_core::pool::SlotState;
use dormouse_log::Utc;
use dormouse_proxy::stats::wake::WokenBy;
use serde_json::{Value, json};

use super::running::{Running, RunningServer, RunningService};

/// Returns the process without its services.
pub(super) fn process(running: &Running) -> Value {
    let figures = &running.stats.counters;
    let uptime = running.uptime();
    json!({
        "program": "dormouse",
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "started": Utc(running.started).to_string(),
        "uptime_seconds": uptime.as_secs(),
        "ending": running.stats.is_shutting_down(),
        "sessions": {
            "current": figures.open.get(),
            "max": figures.max.get(),
            "total": figures.accepted.get(),
            "rate": figures.rate.now(uptime),
            "unserved": figures.unserved.get(),
            "refused": figures.refused.get(),
            "limit": running.pool.max_sessions(),
        },
        "bytes": { "in": figures.bytes_in.get(), "out": figures.bytes_out.get() },
    })
}

/// Returns one service.
pub(super) fn service(service: &RunningService) -> Value {
    let stats = service.stats();
    let figures = &stats.counters;
    let (service_state, since) = state(service);
    let servers: Vec<Value> = service.servers().map(|server| server_value(&server)).collect();
    json!({
        "name": service.name,
        "state": service_state,
        "since_seconds": since.as_secs(),
        "listen": service.listen,
        "sessions": {
            "current": figures.open.get(),
            "max": figures.max.get(),
            "total": figures.accepted.get(),
            "rate": figures.rate.now(stats.start_time.elapsed()),
            "rate_max": figures.rate.max(),
            "unserved": figures.unserved.get(),
            "refused": figures.refused.get(),
            "limit": service.admission.cap(),
        },
        "waiting": figures.waiting(),
        "bytes": { "in": figures.bytes_in.get(), "out": figures.bytes_out.get() },
        "servers": servers,
    })
}

/// Returns the state of a service: that of its best server for a client; if no server takes clients, the reason.
pub(super) fn state(service: &RunningService) -> (&'static str, Duration) {
    let mut best: Option<(Stance, Duration)> = None;
    for server in service.servers() {
        let (stance, since) = (Stance::of(&server), server.since());
        best = Some(match best {
            // A service is up since its first server is, and takes no clients since its last server does not.
            Some((Stance::Up, before)) if stance == Stance::Up => (stance, before.max(since)),
            Some((other, before)) if !other.takes() && !stance.takes() => {
                (other.min(stance), before.min(since))
            }
            Some((other, before)) if other <= stance => (other, before),
            _ => (stance, since),
        });
    }
    let (stance, since) = best.unwrap_or_else(|| (Stance::Up, service.stats().start_time.elapsed()));
    (stance.word(), since)
}

/// The state of a server for new clients, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stance {
    Up,
    /// The index in `SLEEPERS`.
    Sleeper(usize),
    Down,
    /// The same in maintenance or drain, which is shown beside the state.
    Closed(usize),
    Drain,
    Maint,
    Vacant,
}

impl Stance {
    const SLEEPERS: [State; 9] = [
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
        match (server.admin(), server.sleeper()) {
            _ if server.presence() == SlotState::Empty => Self::Vacant,
            (AdminState::Maint, None) => Self::Maint,
            (admin, _) if server.is_down() && admin != AdminState::Maint => Self::Down,
            (AdminState::Ready, None) if server.weight() > 0 => Self::Up,
            (_, None) => Self::Drain,
            (admin, Some(sleeper)) => {
                let state = sleeper.state().0;
                let place = Self::SLEEPERS.iter().position(|other| *other == state);
                let place = place.unwrap_or(Self::SLEEPERS.len());
                let takes = admin == AdminState::Ready && server.weight() > 0;
                if takes { Self::Sleeper(place) } else { Self::Closed(place) }
            }
        }
    }

    fn takes(self) -> bool {
        matches!(self, Self::Up | Self::Sleeper(_))
    }

    fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Sleeper(place) | Self::Closed(place) => {
                word(Self::SLEEPERS.get(place).copied().unwrap_or(State::Failed))
            }
            Self::Down => "down",
            Self::Drain => "drain",
            Self::Maint => "maint",
            Self::Vacant => "vacant",
        }
    }
}

fn server_value(server: &RunningServer<'_>) -> Value {
    let counters = server.counters;
    let count = |get: fn(&dormouse_proxy::stats::counters::ServerCounters) -> u64| counters.map_or(0, get);
    let mut value = json!({
        "name": server.name,
        "address": server.address,
        "admin": server.admin().to_string(),
        "state": stands(server),
        "since_seconds": server.since().as_secs(),
        "weight": server.weight(),
        "backup": server.is_backup(),
        "checked": server.view.as_ref().is_some_and(|view| view.is_checked),
        "last_check": server.view.as_ref().and_then(|view| Some(view.last_check.as_ref()?.text.clone())),
        "sessions": {
            "current": count(|counters| counters.open.get()),
            "max": count(|counters| counters.max.get()),
            "total": count(|counters| counters.sessions.get()),
        },
        "bytes": {
            "in": count(|counters| counters.bytes_in.get()),
            "out": count(|counters| counters.bytes_out.get()),
        },
    });
    let (Some(sleeper), Some(object)) = (server.sleeper(), value.as_object_mut()) else { return value };
    let now = Instant::now();
    let (state, _, cold_start) = sleeper.state();
    let outlook = sleeper.snapshot();
    let counters = &sleeper.counters;
    let woken = counters.woken();
    let next = next(&outlook, state, now);
    let wakes: serde_json::Map<String, Value> =
        WokenBy::ALL.iter().map(|by| (by.name().to_owned(), counters.wakes(*by).into())).collect();
    let spent: serde_json::Map<String, Value> = State::ALL
        .iter()
        .map(|state| (word(*state).to_owned(), seconds(counters.spent(*state, now))))
        .collect();
    let more = json!({
        "waiting": outlook.held,
        "waiting_max": counters.max_held.get(),
        "in_use": outlook.in_use,
        "foreign": outlook.foreign,
        "kept_warm": outlook.keep_warm,
        "cold_start_seconds": cold_start.map(seconds),
        "starts": counters.cold_starts.count(),
        "failed_starts": counters.failed_starts.get(),
        "freezes": counters.freezes.get(),
        "holds": counters.holds.count(),
        "holds_in_vain": counters.failed_holds.get(),
        "reason": sleeper.reason().map(|reason| reason.to_string()),
        "woken_by": woken.as_ref().map(ToString::to_string),
        "woken_at": woken.as_ref().map(|woken| Utc(woken.at).to_string()),
        "wakes": wakes,
        "seconds_in_state": spent,
        "next": next.as_ref().map(|next| next.what),
        "next_seconds": next.and_then(|next| next.at).map(|at| at.saturating_duration_since(now).as_secs()),
    });
    if let Value::Object(more) = more {
        object.extend(more);
    }
    value
}

/// How a server stands: vacant, down as checks tell, in its state if it sleeps, in maintenance, where nobody looks
/// after it, or up.
fn stands(server: &RunningServer<'_>) -> &'static str {
    match server.sleeper() {
        _ if server.presence() == SlotState::Empty => "vacant",
        _ if server.is_down() && server.admin() != AdminState::Maint => "down",
        Some(sleeper) => word(sleeper.state().0),
        None if server.admin() == AdminState::Maint => "maint",
        None => "up",
    }
}

/// The same, with what an administrator wants where that is another matter.
pub(super) fn standing(server: &RunningServer<'_>) -> String {
    match (stands(server), server.admin()) {
        (state @ ("vacant" | "maint"), _) | (state, AdminState::Ready) => state.to_owned(),
        (state, admin) => format!("{state}, {admin}"),
    }
}

/// What happens next if nobody comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Next {
    pub(super) what: &'static str,
    /// `None`: when the last session has ended.
    pub(super) at: Option<Instant>,
}

/// What happens next to a server, as far as that is known.
pub(super) fn next(outlook: &Snapshot, state: State, now: Instant) -> Option<Next> {
    let at = |what, at: Instant| Some(Next { what, at: Some(at) });
    match state {
        // Later it is up to the next client.
        State::Failed => {
            let again = outlook.retry_at.filter(|moment| *moment > now);
            again.and_then(|moment| at("may start again", moment))
        }
        State::Starting => outlook.timeout_at.and_then(|due| at("gives up", due)),
        State::Stopped | State::Freezing | State::Thawing | State::Stopping => None,
        State::Ready => {
            let what = match (outlook.freeze_after, outlook.stop_after) {
                _ if outlook.keep_warm || !outlook.may_stop => return None,
                _ if !outlook.evictions.is_empty() => "stops",
                (Some(freeze), Some(stop)) if freeze <= stop => "freezes",
                (Some(_), None) => "freezes",
                (_, Some(_)) => "stops",
                (None, None) => return None,
            };
            Some(Next { what, at: None })
        }
        State::Idle | State::Frozen => match (outlook.freeze_at, outlook.stop_at) {
            (Some(freeze), Some(stop)) if freeze < stop => at("freezes", freeze),
            (_, Some(stop)) => at("stops", stop),
            (Some(freeze), None) => at("freezes", freeze),
            (None, None) => None,
        },
    }
}

/// A state's name.
pub(super) fn word(state: State) -> &'static str {
    match state {
        State::Stopped => "stopped",
        State::Starting => "starting",
        State::Ready => "ready",
        State::Idle => "idle",
        State::Freezing => "freezing",
        State::Frozen => "frozen",
        State::Thawing => "thawing",
        State::Stopping => "stopping",
        State::Failed => "failed",
    }
}

fn seconds(span: Duration) -> Value {
    Value::from((span.as_secs_f64() * 1000.0).round() / 1000.0)
}

/// Writes the line of a service in `show services`.
pub(super) fn line(service: &RunningService, text: &mut String) {
    let (state, since) = state(service);
    let figures = &service.stats().counters;
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "{} {state} {} {} {} {}",
        service.name,
        since.as_secs(),
        figures.open.get(),
        figures.waiting(),
        figures.accepted.get()
    );
}

/// The header line of `show services`.
pub(super) const HEAD: &str = "# name state since sessions waiting total\n";
