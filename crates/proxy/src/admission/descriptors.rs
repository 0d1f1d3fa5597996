//! How many sessions the process's descriptors allow.

use dormouse_relay::Pipes;
use dormouse_sys::fd_limit;

/// A session holds two sockets.
const PER_SESSION: u64 = 2;
/// While several addresses are tried at once, a session may hold some more for a moment; and there are the event
/// loop, standard streams, the service manager's socket, resolver threads. Sockets that wait for their next
/// session come out of it, too, and are let go where they are in the way (`dormouse_relay::socket_reuse`).
const RESERVE: u64 = 48;

/// A listener, and once more for the task that accepts there.
const PER_LISTENER: u64 = 2;
/// What an awake server takes of us: a process its guard and pipes, a unit the connection to its manager.
const PER_WAKER: u64 = 4;

/// What needs descriptors beside sessions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Beside {
    /// How many listeners there are.
    pub listeners: usize,
    /// How many servers there are that may be awake because of us.
    pub wakers: usize,
    /// How many descriptors those who look may need.
    pub lookers: usize,
}

impl Beside {
    /// What is there whoever comes.
    fn standing(self) -> u64 {
        count(self.listeners)
            .saturating_mul(PER_LISTENER)
            .saturating_add(count(self.wakers).saturating_mul(PER_WAKER))
    }

    /// What may be needed at times.
    fn reserve(self) -> u64 {
        RESERVE.saturating_add(count(self.lookers))
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

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
/// what fits beside the others.
pub fn raise_limit(sessions: u32, beside: Beside) -> Budget {
    let others = beside.standing().saturating_add(beside.reserve()).saturating_add(FOR_PIPES);
    let wanted = u64::from(sessions).saturating_mul(PER_SESSION);
    share(fd_limit::raise(wanted.saturating_add(others)), sessions, beside)
}

/// More are never used for pipes.
const FOR_PIPES: u64 = Pipes::MAX_DESCRIPTORS as u64;

fn share(limit: u64, sessions: u32, beside: Beside) -> Budget {
    let left = limit.saturating_sub(beside.standing());
    // Under a very low limit half of what is left is for sessions, so that a few are served all the same.
    let left = left - beside.reserve().min(left / 2);
    let fits = (left / PER_SESSION).min(u64::from(sessions));
    let pipes = (left - fits * PER_SESSION).min(FOR_PIPES);
    let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    Budget { sessions: count(fits), pipes: count(pipes), limit }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_fits_under_the_managers_default() {
        let budget = share(1024, 256, Beside::default());
        assert_eq!((budget.sessions, budget.pipes), (256, 96));
    }

    #[test]
    fn a_low_limit_serves_fewer_and_never_more_than_there_are() {
        for limit in 0..2000 {
            for sessions in [1, 10, 256, 5000] {
                let budget = share(limit, sessions, Beside::default());
                assert!((budget.sessions * 2 + budget.pipes) as u64 <= limit, "{limit}: {budget:?}");
                assert!(limit < 8 || budget.sessions > 0, "{limit}: {budget:?}");
            }
        }
    }

    #[test]
    fn listeners_and_what_is_awake_take_nothing_that_is_promised() {
        let beside = Beside { listeners: 40, wakers: 3, lookers: 28 };
        for limit in 0..2000 {
            let budget = share(limit, 10_000, beside);
            let standing = 40 * 2 + 3 * 4;
            assert!(
                budget.sessions == 0 || budget.sessions as u64 * 2 + standing <= limit,
                "{limit}: {budget:?}"
            );
        }
        // Half of what the listeners leave.
        assert_eq!(share(160, 10_000, Beside { wakers: 0, ..beside }).sessions, 20);
    }
}
