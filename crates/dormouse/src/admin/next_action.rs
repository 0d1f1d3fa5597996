//! What happens next to a workload without a new client, and when.

use std::time::Instant;

use dormouse_core::activation::{Snapshot, State};

/// What happens next without a new client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NextAction {
    /// The verb, in the third person.
    pub(super) what: &'static str,
    /// `None`: when the last session has ended.
    pub(super) at: Option<Instant>,
}

/// Returns what happens next to a workload, if that is known.
pub(super) fn next_action(snapshot: &Snapshot, state: State, now: Instant) -> Option<NextAction> {
    let at = |what, at: Instant| Some(NextAction { what, at: Some(at) });
    match state {
        // Later the next client starts it.
        State::Failed => {
            let retry = snapshot.retry_at.filter(|moment| *moment > now);
            retry.and_then(|moment| at("may start again", moment))
        }
        State::Starting => snapshot.timeout_at.and_then(|due| at("gives up", due)),
        State::Stopped | State::Freezing | State::Thawing | State::Stopping => None,
        State::Ready => {
            let what = match (snapshot.freeze_after, snapshot.stop_after) {
                _ if snapshot.keep_warm || !snapshot.may_stop => return None,
                _ if !snapshot.evictions.is_empty() => "stops",
                (Some(freeze), Some(stop)) if freeze <= stop => "freezes",
                (Some(_), None) => "freezes",
                (_, Some(_)) => "stops",
                (None, None) => return None,
            };
            Some(NextAction { what, at: None })
        }
        State::Idle | State::Frozen => match (snapshot.freeze_at, snapshot.stop_at) {
            (Some(freeze), Some(stop)) if freeze < stop => at("freezes", freeze),
            (_, Some(stop)) => at("stops", stop),
            (Some(freeze), None) => at("freezes", freeze),
            (None, None) => None,
        },
    }
}
