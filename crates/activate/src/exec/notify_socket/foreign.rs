//! How often each user may have a message judged that the program did not send.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

/// The time after which a user may have one more foreign message judged.
const INTERVAL: Duration = Duration::from_millis(50);
/// The foreign messages of a user that are judged at once, in units of the interval.
const BURST: Duration = INTERVAL.saturating_mul(4);
/// The largest number of users with a limit of their own. Further users share one.
const MAX_USERS: usize = 256;
/// The place of further users. It is no user's ID.
const OTHERS: u32 = u32::MAX;

/// Limits the messages of users who have sent foreign ones. To judge a sender takes time, and any user may send as often as
/// it likes; a user who floods the socket loses only its own messages.
#[derive(Debug, Default)]
pub(super) struct ForeignSenders {
    /// For each user the time at which its last foreign message would have been judged at the even rate.
    due: HashMap<u32, Instant>,
}

impl ForeignSenders {
    /// Returns whether a message of this user is judged now.
    pub(super) fn may_be_judged(&self, uid: u32, now: Instant) -> bool {
        let due = self.due.get(&self.place(uid)).copied().unwrap_or(now);
        due.saturating_duration_since(now) < BURST
    }

    /// A message of this user was foreign.
    pub(super) fn count(&mut self, uid: u32, now: Instant) {
        if self.due.len() >= MAX_USERS {
            self.due.retain(|_, due| *due > now);
        }
        let due = self.due.entry(self.place(uid)).or_insert(now);
        *due = (*due).max(now) + INTERVAL;
    }

    fn place(&self, uid: u32) -> u32 {
        if self.due.len() >= MAX_USERS && !self.due.contains_key(&uid) { OTHERS } else { uid }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_that_floods_loses_only_its_own_messages() {
        let (mut senders, now) = (ForeignSenders::default(), Instant::now());
        let judged = (0..1000).filter(|_| {
            let judged = senders.may_be_judged(1, now);
            if judged {
                senders.count(1, now);
            }
            judged
        });
        assert_eq!(judged.count(), 4);
        assert!(senders.may_be_judged(2, now) && senders.may_be_judged(1, now + INTERVAL));
    }

    #[test]
    fn the_number_of_users_is_limited() {
        let (mut senders, now) = (ForeignSenders::default(), Instant::now());
        for uid in 0..100_000 {
            senders.count(uid, now);
        }
        assert_eq!(senders.due.len(), MAX_USERS + 1);
        assert!(!senders.may_be_judged(100_000, now));
        senders.count(7, now + Duration::from_secs(100_000));
        assert_eq!(senders.due.len(), 1);
    }
}
