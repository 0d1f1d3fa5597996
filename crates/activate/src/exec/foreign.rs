//! Messages on the notification socket that other processes send.

use std::time::{Duration, Instant};

/// The time between two lines about such messages.
const INTERVAL: Duration = Duration::from_secs(30);

/// Counts messages that other processes send.
#[derive(Debug, Default)]
pub(super) struct ForeignMessages {
    /// The messages since the last line.
    unreported: u64,
    reported: Option<Instant>,
}

impl ForeignMessages {
    /// Counts a message. Returns the text to log, at most once in an interval.
    pub(super) fn count(&mut self, uid: u32, pid: Option<u32>) -> Option<String> {
        self.unreported += 1;
        let now = Instant::now();
        if self.reported.is_some_and(|reported| now.duration_since(reported) < INTERVAL) {
            return None;
        }
        self.reported = Some(now);
        let sender = match pid {
            Some(pid) => format!("process {pid} of user {uid}"),
            None => format!("a process of user {uid}"),
        };
        let count = std::mem::take(&mut self.unreported);
        let messages = if count == 1 { "notification" } else { "notifications" };
        Some(format!("ignored {count} {messages}, the last from {sender}, which does not belong to it"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_reported_once() {
        let mut foreign = ForeignMessages::default();
        let text = foreign.count(1000, Some(7)).unwrap();
        assert_eq!(
            text,
            "ignored 1 notification, the last from process 7 of user 1000, which does not belong to it"
        );
        assert!((0..1000).all(|_| foreign.count(1000, None).is_none()));
        assert_eq!(foreign.unreported, 1000);
    }
}
