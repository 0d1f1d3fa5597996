//! How long a session may be silent, and how long it may last at all.

use std::time::Duration;

use tokio::time::sleep;

use crate::report::{End, Side};

/// How long a session may be silent, and how long it may last at all. `None`: for ever.
///
/// Silence is that no byte moves and no side ends its stream. What `client`, `server`, `tunnel` and the two `_fin` mean is
/// what the timeouts of these names mean to `HAProxy` for TCP.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// After one side ended its stream, without a byte from the other.
    pub half_close: Option<Duration>,
    /// Without a byte either way.
    pub idle: Option<Duration>,
    /// While the client is expected to say something, or to take what the server said.
    pub client: Option<Duration>,
    /// The same for the server.
    pub server: Option<Duration>,
    /// In the place of all these but `idle`, while only the client's stream is still open.
    pub client_fin: Option<Duration>,
    /// The same while only the server's stream is still open.
    pub server_fin: Option<Duration>,
    /// In the place of `client` and `server`: without a byte either way.
    pub tunnel: Option<Duration>,
    /// From the session's beginning, whatever moves.
    pub session: Option<Duration>,
}

/// What a session in which nothing moves is waiting for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stillness {
    /// Has ended its stream.
    pub(crate) half_closed_by: Option<Side>,
    /// The client is to say or to take something.
    pub(crate) awaits_client: bool,
    /// The server is.
    pub(crate) awaits_server: bool,
}

impl Limits {
    /// Keeps one timer set that is due before any of these. A runtime interrupts its wait for each timer that is due
    /// before all others, which would happen at the end of every session; so it does not. Never ends.
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

    /// How long such a silence may last, and how the session then ends.
    pub(crate) fn of_silence(&self, still: Stillness) -> Option<(Duration, End)> {
        let idle = self.idle.map(|limit| (limit, End::IdleTimeout(limit)));
        let ended = |side| move |limit| (limit, End::HalfCloseTimeout(side, limit));
        let half_closed = match still.half_closed_by {
            None => None,
            Some(side) => match self.after_end_of(side, still) {
                Some(limit) => return shorter(Some(ended(side)(limit)), idle),
                None => self.half_close.map(ended(side)),
            },
        };
        let open = match self.tunnel {
            Some(limit) => Some((limit, End::IdleTimeout(limit))),
            None => shorter(
                self.client.filter(|_| still.awaits_client).map(|limit| silent(Side::Downstream, limit)),
                self.server.filter(|_| still.awaits_server).map(|limit| silent(Side::Upstream, limit)),
            ),
        };
        shorter(half_closed, shorter(open, idle))
    }

    /// The limit of the side that is still open, where it has one of its own.
    fn after_end_of(&self, side: Side, still: Stillness) -> Option<Duration> {
        match side {
            Side::Downstream => self.server_fin.filter(|_| still.awaits_server),
            Side::Upstream => self.client_fin.filter(|_| still.awaits_client),
        }
    }
}

fn silent(side: Side, limit: Duration) -> (Duration, End) {
    (limit, End::SideTimeout(side, limit))
}

/// The first of two that are the same.
fn shorter(one: Option<(Duration, End)>, other: Option<(Duration, End)>) -> Option<(Duration, End)> {
    one.into_iter().chain(other).min_by_key(|(limit, _)| *limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: Stillness = Stillness { half_closed_by: None, awaits_client: true, awaits_server: true };

    fn seconds(number: u64) -> Duration {
        Duration::from_secs(number)
    }

    #[test]
    fn whoever_is_waited_for_is_judged() {
        let limits = Limits { client: Some(seconds(5)), server: Some(seconds(3)), ..Limits::default() };
        let end = |still| limits.of_silence(still).map(|(_, end)| end);
        assert_eq!(end(OPEN), Some(End::SideTimeout(Side::Upstream, Duration::from_secs(3))));
        let client_reads_nothing = Stillness { awaits_server: false, ..OPEN };
        assert_eq!(
            end(client_reads_nothing),
            Some(End::SideTimeout(Side::Downstream, Duration::from_secs(5)))
        );
    }

    #[test]
    fn a_tunnel_supersedes_both_sides_and_an_end_of_stream_supersedes_the_tunnel() {
        let limits = Limits {
            client: Some(seconds(1)),
            server: Some(seconds(1)),
            tunnel: Some(seconds(60)),
            server_fin: Some(seconds(90)),
            half_close: Some(seconds(10)),
            ..Limits::default()
        };
        assert_eq!(limits.of_silence(OPEN), Some((seconds(60), End::IdleTimeout(seconds(60)))));
        let by = |side| limits.of_silence(Stillness { half_closed_by: Some(side), ..OPEN });
        let ended = |side, after| Some((after, End::HalfCloseTimeout(side, after)));
        assert_eq!(by(Side::Downstream), ended(Side::Downstream, Duration::from_secs(90)));
        assert_eq!(by(Side::Upstream), ended(Side::Upstream, Duration::from_secs(10)));
    }

    #[test]
    fn idle_counts_beside_all_others() {
        let limits = Limits {
            tunnel: Some(seconds(60)),
            client_fin: Some(seconds(50)),
            idle: Some(seconds(2)),
            ..Limits::default()
        };
        for half_closed_by in [None, Some(Side::Upstream)] {
            let (limit, end) = limits.of_silence(Stillness { half_closed_by, ..OPEN }).unwrap();
            assert_eq!((limit, end), (seconds(2), End::IdleTimeout(limit)));
        }
    }

    #[test]
    fn without_limits_there_is_none() {
        for half_closed_by in [None, Some(Side::Upstream), Some(Side::Downstream)] {
            assert_eq!(Limits::default().of_silence(Stillness { half_closed_by, ..OPEN }), None);
        }
        let session = Limits { session: Some(seconds(1)), ..Limits::default() };
        assert_eq!(session.of_silence(OPEN), None);
        assert_eq!(session.shortest(), Some(seconds(1)));
    }
}
