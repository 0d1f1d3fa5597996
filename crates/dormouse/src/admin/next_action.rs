//! What happens next to a workload without a new client, and when.

use std::time::Instant;

use dormouse_activate::{ActivatorConfig, Support};
use dormouse_core::activation::{Snapshot, State};

/// What happens next without a new client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NextAction {
    /// The verb, in the third person.
    pub(super) what: &'static str,
    /// `None`: when the last session has ended.
    pub(super) at: Option<Instant>,
}

/// Returns the verb for the stop of a workload. A workload that dormouse cannot stop only counts as asleep.
pub(super) fn stop_verb(activator: Option<&ActivatorConfig>) -> &'static str {
    match activator.map(|activator| activator.properties().stop) {
        Some(Support::Never(_)) => "counts as asleep",
        Some(Support::Always | Support::WithCommand) | None => "stops",
    }
}

/// Returns what happens next to a workload, if that is known. `stops`: the verb of [`stop_verb`].
pub(super) fn next_action(
    snapshot: &Snapshot,
    state: State,
    stops: &'static str,
    now: Instant,
) -> Option<NextAction> {
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
                _ if !snapshot.evictions.is_empty() => stops,
                (Some(freeze), Some(stop)) if freeze <= stop => "freezes",
                (Some(_), None) => "freezes",
                (_, Some(_)) => stops,
                (None, None) => return None,
            };
            Some(NextAction { what, at: None })
        }
        State::Idle | State::Frozen => match (snapshot.freeze_at, snapshot.stop_at) {
            (Some(freeze), Some(stop)) if freeze < stop => at("freezes", freeze),
            (_, Some(stop)) => at(stops, stop),
            (Some(freeze), None) => at("freezes", freeze),
            (None, None) => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use dormouse_activate::wol::{Machine, parse_mac};

    use super::*;

    #[test]
    fn a_machine_is_not_stopped() {
        let mac = parse_mac("00:11:22:33:44:55").unwrap();
        let machine = Machine { mac, broadcast: ([10, 0, 0, 255], 9).into() };
        assert_eq!(stop_verb(Some(&ActivatorConfig::WakeOnLan(machine))), "counts as asleep");
        assert_eq!(stop_verb(None), "stops");
    }
}
