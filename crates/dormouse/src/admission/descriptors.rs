//! How many sessions the process's descriptors allow.

use dormouse_relay::Pipes;
use dormouse_sys::limits::raise_descriptors;

/// A session holds two sockets.
const PER_SESSION: u64 = 2;
/// While several addresses are tried at once, a session may hold some more for a moment; and there are the event
/// loop, listeners, standard streams, the service manager's socket, resolver threads. Sockets that wait for their next
/// session come out of it, too, and are let go where they are in the way (`dormouse_relay::spares`).
const RESERVE: u64 = 48;

/// Descriptors as they are shared out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// How many sessions fit.
    pub sessions: usize,
    /// How many descriptors are left for pipes.
    pub pipes: usize,
    /// The limit on descriptors that this comes from.
    pub limit: u64,
}

/// Raises the soft limit on descriptors to what so many sessions need, as far as the hard limit allows, and says
/// what fits. `beside`: descriptors that others need.
pub fn raise_limit(sessions: u32, beside: u64) -> Budget {
    let reserve = RESERVE.saturating_add(beside);
    let wanted = u64::from(sessions).saturating_mul(PER_SESSION);
    let limit = raise_descriptors(wanted.saturating_add(reserve).saturating_add(FOR_PIPES));
    share(limit, sessions, reserve)
}

/// More are never used for pipes.
const FOR_PIPES: u64 = Pipes::MAX_DESCRIPTORS as u64;

fn share(limit: u64, sessions: u32, reserve: u64) -> Budget {
    // Under a very low limit half of it is for sessions, so that a few are served all the same.
    let reserve = reserve.min(limit / 2);
    let fits = ((limit - reserve) / PER_SESSION).min(u64::from(sessions));
    let pipes = (limit - reserve - fits * PER_SESSION).min(FOR_PIPES);
    let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    Budget { sessions: count(fits), pipes: count(pipes), limit }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_fits_under_the_managers_default() {
        let budget = share(1024, 256, RESERVE);
        assert_eq!((budget.sessions, budget.pipes), (256, 96));
    }

    #[test]
    fn a_low_limit_serves_fewer_and_never_more_than_there_are() {
        for limit in 0..2000 {
            for sessions in [1, 10, 256, 5000] {
                let budget = share(limit, sessions, RESERVE);
                assert!((budget.sessions * 2 + budget.pipes) as u64 <= limit, "{limit}: {budget:?}");
                assert!(limit < 8 || budget.sessions > 0, "{limit}: {budget:?}");
            }
        }
    }
}
