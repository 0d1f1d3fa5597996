//! A session: both directions between two sockets, and how the session ends.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use tokio::time::Instant;

use crate::close::CloseMode;
use crate::direction::{Direction, Paused};
use crate::limits::{Limits, WaitState};
use crate::passed_fds::are_scarce;
use crate::pipes::Pipes;
use crate::report::{AbortReason, End, Operation, Report, Side, SocketError};
use crate::stream::{Stream, StreamKind, Wakeups};
use crate::timer::SessionTimer;

/// The most bytes of a session whose socket may be reused. The kernel enlarges the buffers of a socket that moves more
/// (tcp(7), `tcp_wmem`), and the next session would inherit them.
const MAX_BYTES_FOR_REUSE: u64 = 64 << 10;

/// A session, as a future that resolves to its report. Dropping it earlier aborts the session: both sides see a reset.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Relay {
    downstream: Stream,
    upstream: Stream,
    /// From the client to the server.
    up: Direction,
    /// From the server to the client.
    down: Direction,
    pipes: Arc<Pipes>,
    timer: SessionTimer,
    /// This side refused a write. Bytes that it sent before are still delivered.
    write_refused: Option<(Side, Errno)>,
    /// The side that was the first to end its stream, or to refuse bytes. Of two that do so at once it is the client.
    ended_first: Option<Side>,
    /// The session has ended, and its sockets are prepared for their close.
    ended: bool,
}

impl Relay {
    /// Joins a client and a server. `prefix` is sent to the server before the client's bytes.
    pub fn new(
        mut downstream: Stream,
        mut upstream: Stream,
        prefix: Vec<u8>,
        limits: Arc<Limits>,
        pipes: Arc<Pipes>,
    ) -> Self {
        let carries_fds = downstream.kind == StreamKind::Unix && upstream.kind == StreamKind::Unix;
        if !carries_fds {
            downstream.refuse_fds();
            upstream.refuse_fds();
        }
        Self {
            downstream,
            upstream,
            up: Direction::new(prefix, carries_fds),
            down: Direction::new(Vec::new(), carries_fds),
            pipes,
            timer: SessionTimer::new(limits),
            write_refused: None,
            ended_first: None,
            ended: false,
        }
    }

    /// Adds the client's bytes that the server received before the relay to the report.
    pub fn with_bytes_sent(mut self, sent: u64) -> Self {
        self.up.bytes_moved = sent;
        self
    }

    /// Counts the longest time of the session from this instant.
    pub fn started_at(mut self, started: Instant) -> Self {
        self.timer.start(started);
        self
    }

    /// Returns a report with this end and the bytes that have been moved so far.
    pub fn report(&self, end: End) -> Report {
        Report { upstream_bytes: self.up.bytes_moved, downstream_bytes: self.down.bytes_moved, end }
    }

    /// Returns the number of bytes that have been moved so far in both directions.
    pub fn bytes_moved(&self) -> u64 {
        self.up.bytes_moved + self.down.bytes_moved
    }

    /// Returns the side that was the first to end its stream or to refuse bytes, if one has. Of two that do so at once it is
    /// the client.
    pub fn ended_first(&self) -> Option<Side> {
        self.ended_first
    }

    /// Ends the session at once. Neither stream is complete, so both sides see a reset.
    pub fn abort(&mut self, reason: AbortReason) -> Report {
        let end = End::Aborted(reason);
        self.close(end);
        self.report(end)
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            let wakeups = match self.poll_events(cx) {
                Ok(wakeups) => wakeups,
                Err(end) => return Poll::Ready(end),
            };
            let up = self.up.pump(&mut self.downstream, &mut self.upstream, &self.pipes, self.down.ended());
            let up = match up.or_else(|error| self.handle_error(Side::Downstream, error)) {
                Ok(paused) => paused,
                Err(end) => return Poll::Ready(end),
            };
            let down = self.down.pump(&mut self.upstream, &mut self.downstream, &self.pipes, self.up.ended());
            let down = match down.or_else(|error| self.handle_error(Side::Upstream, error)) {
                Ok(paused) => paused,
                Err(end) => return Poll::Ready(end),
            };
            let refused_by = self.write_refused.map(|(side, _)| side);
            self.ended_first = self.ended_first.or(refused_by).or_else(|| self.half_closed_by());
            if let Some(end) = self.end() {
                return Poll::Ready(end);
            }
            if up == Paused::BudgetSpent || down == Paused::BudgetSpent {
                if let Some(end) = self.timer.session_timeout() {
                    return Poll::Ready(end);
                }
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if self
                .sides()
                .into_iter()
                .zip(wakeups)
                .all(|((_, stream, watch), wakeups)| stream.may_sleep(wakeups, watch))
            {
                return self.poll_timer(cx, up, down);
            }
        }
    }

    /// Returns both sides, and whether each is watched for a hang-up because nothing is read from it.
    fn sides(&mut self) -> [(Side, &mut Stream, bool); 2] {
        let unread = |direction: &Direction| direction.holds_bytes() || direction.source_ended();
        [
            (Side::Downstream, &mut self.downstream, unread(&self.up)),
            (Side::Upstream, &mut self.upstream, unread(&self.down)),
        ]
    }

    /// Collects new events. Returns the events that wake the task.
    fn poll_events(&mut self, cx: &mut Context<'_>) -> Result<[Wakeups; 2], End> {
        let mut wakeups = [Wakeups::default(); 2];
        for ((side, stream, watch), wakeups) in self.sides().into_iter().zip(&mut wakeups) {
            let hung_up = stream.hung_up;
            *wakeups = stream.poll_events(cx, watch).map_err(|error| End::Failed {
                side,
                operation: Operation::Watch,
                error: Errno::from_io_error(&error).unwrap_or(Errno::IO),
            })?;
            // No read reports the error now, so the socket is asked for it.
            if stream.hung_up && !hung_up {
                if let Some(error) = stream.take_error() {
                    return Err(failure(side, Operation::Read, error));
                }
            }
        }
        Ok(wakeups)
    }

    /// Returns how the session ended, if both directions are over.
    fn end(&self) -> Option<End> {
        match (self.up.ended(), self.down.ended(), self.write_refused) {
            (true, true, Some((side, Errno::PIPE))) => Some(End::Gone(side)),
            (true, true, Some((side, _))) => Some(End::Reset(side)),
            (true, true, None) => Some(End::Finished),
            (true, false, _) if self.downstream.hung_up => Some(hang_up(Side::Downstream, &self.down)),
            (false, true, _) if self.upstream.hung_up => Some(hang_up(Side::Upstream, &self.up)),
            _ => self.left_with_fds().map(End::Gone),
        }
    }

    /// Returns a side that has left while its descriptors are held and are scarce.
    fn left_with_fds(&self) -> Option<Side> {
        let left = |direction: &Direction, source: &Stream| direction.holds_fds() && source.hung_up;
        let sides =
            [(Side::Downstream, &self.up, &self.downstream), (Side::Upstream, &self.down, &self.upstream)];
        let (side, ..) = sides.into_iter().find(|(_, direction, source)| left(direction, source))?;
        are_scarce().then_some(side)
    }

    /// Handles an error in the direction from this source. A sink that refuses bytes may have sent bytes before that,
    /// so the direction from the sink goes on to its end.
    fn handle_error(&mut self, source: Side, error: SocketError) -> Result<Paused, End> {
        let SocketError { operation, error } = error;
        let sink = source.other();
        let (this, opposite) = match source {
            Side::Downstream => (&mut self.up, &self.down),
            Side::Upstream => (&mut self.down, &self.up),
        };
        match (operation, error) {
            (Operation::Write, Errno::PIPE | Errno::CONNRESET) if !opposite.ended() => {
                this.abandon();
                self.write_refused = Some((sink, error));
                Ok(Paused::Ended)
            }
            (Operation::Write, _) => Err(failure(sink, operation, error)),
            _ => Err(failure(source, operation, error)),
        }
    }

    /// Ends an inactive or overlong session. Called when neither direction can move anything.
    fn poll_timer(&mut self, cx: &mut Context<'_>, up: Paused, down: Paused) -> Poll<End> {
        let wait = WaitState {
            half_closed_by: self.half_closed_by(),
            awaits_client: up == Paused::SourceEmpty || down == Paused::SinkFull,
            awaits_server: down == Paused::SourceEmpty || up == Paused::SinkFull,
        };
        let ends = u64::from(self.up.source_ended()) + u64::from(self.down.source_ended());
        let progress = self.bytes_moved() + ends;
        self.timer.poll(cx, wait, progress)
    }

    /// Returns the side whose stream is over.
    fn half_closed_by(&self) -> Option<Side> {
        match (self.up.source_ended(), self.down.source_ended()) {
            (true, _) => Some(Side::Downstream),
            (_, true) => Some(Side::Upstream),
            _ => None,
        }
    }

    /// Returns whether bytes were read from one side and not yet delivered to the other.
    fn holds_bytes(&self) -> bool {
        self.up.holds_bytes() || self.down.holds_bytes()
    }

    fn reset_on_close(&self) {
        self.downstream.reset_on_close();
        self.upstream.reset_on_close();
    }

    fn may_reuse_socket(&self) -> bool {
        self.bytes_moved() <= MAX_BYTES_FOR_REUSE
    }

    /// Prepares both sockets for their close, so that each peer sees how the session ended.
    fn close(&mut self, end: End) {
        self.ended = true;
        match end {
            End::Finished if self.up.fin_sent() && self.down.source_ended() && self.may_reuse_socket() => {
                self.upstream.close(CloseMode::Orderly);
            }
            End::Finished | End::Gone(_) => {}
            End::Reset(Side::Downstream) if self.may_reuse_socket() => self.upstream.close(CloseMode::Reset),
            End::Reset(side) => match side.other() {
                Side::Downstream => self.downstream.reset_on_close(),
                Side::Upstream => self.upstream.reset_on_close(),
            },
            // An incomplete stream must not look complete.
            End::Failed { .. } | End::Aborted(_) | End::SessionTimeout(_) => self.reset_on_close(),
            // Bytes that were read and not delivered must not be followed by an orderly end.
            End::HalfCloseTimeout(..) | End::IdleTimeout(_) | End::SideTimeout(..) => {
                if self.holds_bytes() {
                    self.reset_on_close();
                }
            }
        }
    }
}

impl Drop for Relay {
    /// Aborts a session that has not ended. When the process exits, the session ends as if the process had been killed:
    /// the kernel delivers what the sockets hold. Only if bytes are held here does the session end by a reset, because
    /// they are lost.
    fn drop(&mut self) {
        if !self.ended && (self.holds_bytes() || !self.pipes.process_exiting()) {
            self.reset_on_close();
        }
    }
}

impl Future for Relay {
    type Output = Report;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Report> {
        let end = ready!(self.poll_end(cx));
        self.close(end);
        Poll::Ready(self.report(end))
    }
}

/// Returns how a session ends when a side that had ended its own stream hangs up. The close of a UNIX socket shows at
/// once. The close of a TCP socket first looks like an end of stream.
fn hang_up(side: Side, towards: &Direction) -> End {
    if towards.holds_bytes() { End::Gone(side) } else { End::Finished }
}

fn failure(side: Side, operation: Operation, error: Errno) -> End {
    match error {
        Errno::CONNRESET | Errno::PIPE => End::Reset(side),
        error => End::Failed { side, operation, error },
    }
}
