//! How long a session may be inactive, and how long it may last.

use std::time::Duration;

use tokio::time::sleep;

use crate::report::{End, Side};

/// How long a session may be inactive, and how long it may last. `None` means no limit.
///
/// A session is inactive while no byte moves and no side ends its stream. `client`, `server`, `tunnel` and the two
/// `_fin` limits have the meaning of the `HAProxy` timeouts of the same names, for TCP.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// After one side ended its stream, the longest time without a byte from the other side.
    pub half_close: Option<Duration>,
    /// The longest time without a byte in either direction.
    pub idle: Option<Duration>,
    /// The longest inactivity while the session waits for the client to send, or to receive what the server sent.
    pub client: Option<Duration>,
    /// The longest inactivity while the session waits for the server to send, or to receive what the client sent.
    pub server: Option<Duration>,
    /// Replaces all other limits except `idle` while only the client's stream is open.
    pub client_fin: Option<Duration>,
    /// Replaces all other limits except `idle` while only the server's stream is open.
    pub server_fin: Option<Duration>,
    /// Replaces `client` and `server`: the longest time without a byte in either direction.
    pub tunnel: Option<Duration>,
    /// The longest time from the session's start, active or not.
    pub session: Option<Duration>,
}

/// What an inactive session waits for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WaitState {
    /// The side that has ended its stream.
    pub(crate) half_closed_by: Option<Side>,
    /// The session waits for the client to send or to receive.
    pub(crate) awaits_client: bool,
    /// The session waits for the server to send or to receive.
    pub(crate) awaits_server: bool,
}

impl Limits {
    /// Keeps a timer set that is due before any of these limits. Never returns.
    ///
    /// The runtime interrupts its wait for each new timer that is due before all others. Without this timer, the limits
    /// of every session would cause such an interruption.
    pub async fn keep_timer_ahead(self) {
        let Some(shortest) = self.shortest() else { return std::future::pending().await };
        loop {
            sleep((shortest / 2).max(Duration::from_secs(1))).await;
        }
    }

    fn shortest(&self) -> Option<Duration> {
        let Self { half_close, idle, client, server, client_fin, server_fin, tunnel, session } = *self;
        let all = [half_close, idle, client, server, client_fin, server_fin, tunnel, session];
        all.into_iter().flatten().min()
    }

    /// Returns how long an inactive session may stay in this state, and how the session ends after that.
    pub(crate) fn inactivity(&self, wait: WaitState) -> Option<(Duration, End)> {
        let idle = self.idle.map(|limit| (limit, End::IdleTimeout(limit)));
        let ended = |side| move |limit| (limit, End::HalfCloseTimeout(side, limit));
        let half_closed = match wait.half_closed_by {
            None => None,
            Some(side) => match self.fin_limit(side, wait) {
                Some(limit) => return shorter(Some(ended(side)(limit)), idle),
                None => self.half_close.map(ended(side)),
            },
        };
        let open = match self.tunnel {
            Some(limit) => Some((limit, End::IdleTimeout(limit))),
            None => shorter(
                self.client.filter(|_| wait.awaits_client).map(|limit| side_timeout(Side::Downstream, limit)),
                self.server.filter(|_| wait.awaits_server).map(|limit| side_timeout(Side::Upstream, limit)),
            ),
        };
        shorter(half_closed, shorter(open, idle))
    }

    /// Returns the `_fin` limit of the side whose stream is still open, if the session waits for that side.
    fn fin_limit(&self, half_closed_by: Side, wait: WaitState) -> Option<Duration> {
        match half_closed_by {
            Side::Downstream => self.server_fin.filter(|_| wait.awaits_server),
            Side::Upstream => self.client_fin.filter(|_| wait.awaits_client),
        }
    }
}

fn side_timeout(side: Side, limit: Duration) -> (Duration, End) {
    (limit, End::SideTimeout(side, limit))
}

/// Returns the shorter limit; the first one if both are equal.
fn shorter(first: Option<(Duration, End)>, second: Option<(Duration, End)>) -> Option<(Duration, End)> {
    first.into_iter().chain(second).min_by_key(|(limit, _)| *limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: WaitState = WaitState { half_closed_by: None, awaits_client: true, awaits_server: true };

    fn seconds(number: u64) -> Duration {
        Duration::from_secs(number)
    }

    #[test]
    fn the_side_that_the_session_waits_for_has_the_limit() {
        let limits = Limits { client: Some(seconds(5)), server: Some(seconds(3)), ..Limits::default() };
        let end = |wait| limits.inactivity(wait).map(|(_, end)| end);
        assert_eq!(end(OPEN), Some(End::SideTimeout(Side::Upstream, Duration::from_secs(3))));
        let only_client = WaitState { awaits_server: false, ..OPEN };
        assert_eq!(end(only_client), Some(End::SideTimeout(Side::Downstream, Duration::from_secs(5))));
    }

    #[test]
    fn tunnel_replaces_the_side_limits_and_fin_replaces_tunnel() {
        let limits = Limits {
            client: Some(seconds(1)),
            server: Some(seconds(1)),
            tunnel: Some(seconds(60)),
            server_fin: Some(seconds(90)),
            half_close: Some(seconds(10)),
            ..Limits::default()
        };
        assert_eq!(limits.inactivity(OPEN), Some((seconds(60), End::IdleTimeout(seconds(60)))));
        let by = |side| limits.inactivity(WaitState { half_closed_by: Some(side), ..OPEN });
        let ended = |side, after| Some((after, End::HalfCloseTimeout(side, after)));
        assert_eq!(by(Side::Downstream), ended(Side::Downstream, Duration::from_secs(90)));
        assert_eq!(by(Side::Upstream), ended(Side::Upstream, Duration::from_secs(10)));
    }

    #[test]
    fn idle_applies_beside_all_other_limits() {
        let limits = Limits {
            tunnel: Some(seconds(60)),
            client_fin: Some(seconds(50)),
            idle: Some(seconds(2)),
            ..Limits::default()
        };
        for half_closed_by in [None, Some(Side::Upstream)] {
            let (limit, end) = limits.inactivity(WaitState { half_closed_by, ..OPEN }).unwrap();
            assert_eq!((limit, end), (seconds(2), End::IdleTimeout(limit)));
        }
    }

    #[test]
    fn without_limits_a_session_may_stay_inactive() {
        for half_closed_by in [None, Some(Side::Upstream), Some(Side::Downstream)] {
            assert_eq!(Limits::default().inactivity(WaitState { half_closed_by, ..OPEN }), None);
        }
        let session = Limits { session: Some(seconds(1)), ..Limits::default() };
        assert_eq!(session.inactivity(OPEN), None);
        assert_eq!(session.shortest(), Some(seconds(1)));
    }
}
