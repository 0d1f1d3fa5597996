//! How the process's file descriptors are divided between sessions, pipes and the rest.

use dormouse_relay::{Pipes, set_passed_fds_limit};
use dormouse_sys::fd_limit;

/// Descriptors of a session: two sockets.
const PER_SESSION: u64 = 2;
/// While several addresses are tried at once, a session may hold some more for a moment; and there are the event
/// loop, standard streams, the service manager's socket, resolver threads. Sockets that wait for their next
/// session come out of it, too, and are let go where they are in the way (`dormouse_relay::socket_reuse`).
const RESERVE: u64 = 48;

/// Descriptors of a listener: the socket, and a duplicate for the task that accepts.
const PER_LISTENER: u64 = 2;
/// Descriptors of an awake workload: for a process its guard and pipes, for a unit the connection to its manager.
const PER_ACTIVATOR: u64 = 4;

/// The users of descriptors besides sessions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FdReservation {
    /// The number of listeners.
    pub listeners: usize,
    /// The number of servers that dormouse can start.
    pub activators: usize,
    /// The number of descriptors that admin clients may need.
    pub admin_clients: usize,
}

impl FdReservation {
    /// Descriptors that are always in use.
    fn permanent(self) -> u64 {
        count(self.listeners)
            .saturating_mul(PER_LISTENER)
            .saturating_add(count(self.activators).saturating_mul(PER_ACTIVATOR))
    }

    /// Descriptors that may be needed at times.
    fn reserve(self) -> u64 {
        RESERVE.saturating_add(count(self.admin_clients))
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// The division of the descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FdBudget {
    /// The number of sessions that fit.
    pub sessions: usize,
    /// The number of descriptors left for pipes.
    pub pipes: usize,
    /// The number of descriptors that clients and servers have passed and sessions may hold.
    pub passed: usize,
    /// The limit on open files (`RLIMIT_NOFILE`) that is divided.
    pub limit: u64,
}

/// Raises the soft limit to what `sessions` sessions and the reservation need, as far as the hard limit allows. Returns
/// how many sessions and pipes fit. Sets the limit for the descriptors that sessions hold.
pub fn raise_fd_limit(sessions: u32, reservation: FdReservation) -> FdBudget {
    let others = reservation
        .permanent()
        .saturating_add(reservation.reserve())
        .saturating_add(MAX_FOR_PIPES + MAX_PASSED);
    let wanted = u64::from(sessions).saturating_mul(PER_SESSION);
    let budget = divide(fd_limit::raise(wanted.saturating_add(others)), sessions, reservation);
    set_passed_fds_limit(budget.passed);
    budget
}

/// The maximum number of descriptors for pipes.
const MAX_FOR_PIPES: u64 = Pipes::MAX_DESCRIPTORS as u64;

/// The maximum number of descriptors that sessions hold of those that their peers pass: four full messages.
const MAX_PASSED: u64 = 4 * 253;
/// Where nothing is left for them, some come out of the reserve.
const MIN_PASSED: u64 = 16;

fn divide(limit: u64, sessions: u32, reservation: FdReservation) -> FdBudget {
    let left = limit.saturating_sub(reservation.permanent());
    // Under a very low limit half of what is left is for sessions, so that a few are served all the same.
    let left = left - reservation.reserve().min(left / 2);
    let fits = (left / PER_SESSION).min(u64::from(sessions));
    let pipes = (left - fits * PER_SESSION).min(MAX_FOR_PIPES);
    let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let passed = (left - fits * PER_SESSION - pipes).clamp(MIN_PASSED, MAX_PASSED);
    FdBudget { sessions: count(fits), pipes: count(pipes), passed: count(passed), limit }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_session_limit_fits_in_1024_descriptors() {
        let budget = divide(1024, 256, FdReservation::default());
        assert_eq!((budget.sessions, budget.pipes), (256, 96));
        // Any message can be received: none has more than 253 descriptors.
        assert!(budget.passed >= 253, "{budget:?}");
    }

    #[test]
    fn a_low_limit_allows_fewer_sessions_and_is_never_exceeded() {
        for limit in 0..2000 {
            for sessions in [1, 10, 256, 5000] {
                let budget = divide(limit, sessions, FdReservation::default());
                assert!((budget.sessions * 2 + budget.pipes) as u64 <= limit, "{limit}: {budget:?}");
                let all = (budget.sessions * 2 + budget.pipes + budget.passed) as u64;
                assert!(all <= limit.max(RESERVE * 2) || budget.passed == 16, "{limit}: {budget:?}");
                assert!(limit < 8 || budget.sessions > 0, "{limit}: {budget:?}");
            }
        }
    }

    #[test]
    fn listeners_and_activators_reduce_the_sessions() {
        let reservation = FdReservation { listeners: 40, activators: 3, admin_clients: 28 };
        for limit in 0..2000 {
            let budget = divide(limit, 10_000, reservation);
            let standing = 40 * 2 + 3 * 4;
            assert!(
                budget.sessions == 0 || budget.sessions as u64 * 2 + standing <= limit,
                "{limit}: {budget:?}"
            );
        }
        // Half of what the listeners leave.
        assert_eq!(divide(160, 10_000, FdReservation { activators: 0, ..reservation }).sessions, 20);
    }
}
