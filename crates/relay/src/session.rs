//! Both directions of a session, and the clocks over them.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::io::Errno;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::direction::{Direction, Pause};
use crate::limits::{Limits, Stillness};
use crate::pipes::Pipes;
use crate::report::{Cut, End, Operation, Report, Side};
use crate::spares::Parting;
use crate::stream::{Kind, Stream, Wakes};
use crate::transfer::Broken;

/// Sockets of sessions that moved no more than this are as good as new: the kernel gives more room to those that need it
/// (tcp(7), `tcp_wmem`), and they would keep it.
const SHORT: u64 = 64 << 10;

/// A session: resolves to its report when it is over. One that is dropped before that is cut: both sides see a reset.
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
    limits: Arc<Limits>,
    clock: Option<Clock>,
    /// It is over then, whatever moves.
    last_moment: Option<Instant>,
    /// This side refused a write by a reset; it may have sent something before that.
    refused: Option<(Side, Errno)>,
    /// It has ended, and its sockets know how they are to be closed.
    over: bool,
}

/// The clock that runs while a session could end by itself.
#[derive(Debug)]
struct Clock {
    timer: Pin<Box<Sleep>>,
    last_moved: Instant,
    progress: u64,
}

impl Relay {
    /// Joins a client and a server. `first` is sent to the server before anything that the client says.
    pub fn new(
        downstream: Stream,
        upstream: Stream,
        first: Vec<u8>,
        limits: Arc<Limits>,
        pipes: Arc<Pipes>,
    ) -> Self {
        let carries_descriptors = downstream.kind == Kind::Unix && upstream.kind == Kind::Unix;
        Self {
            downstream,
            upstream,
            up: Direction::new(first, carries_descriptors),
            down: Direction::new(Vec::new(), carries_descriptors),
            pipes,
            limits,
            clock: None,
            last_moment: None,
            refused: None,
            over: false,
        }
    }

    /// Counts bytes that the server got before, from what the client said.
    pub fn after(mut self, sent: u64) -> Self {
        self.up.passed = sent;
        self
    }

    /// Counts the longest time that a session may last from then.
    pub fn since(mut self, began: Instant) -> Self {
        self.last_moment = self.limits.session.map(|longest| far(began, longest));
        self
    }

    /// What has been moved so far, for a session that ends like this.
    pub fn report(&self, end: End) -> Report {
        Report { upstream_bytes: self.up.passed, downstream_bytes: self.down.passed, end }
    }

    /// How many bytes were moved so far, both ways.
    pub fn moved(&self) -> u64 {
        self.up.passed + self.down.passed
    }

    /// Ends it now. Neither stream is whole, so both sides see a reset.
    pub fn cut(&mut self, why: Cut) -> Report {
        let end = End::Cut(why);
        self.close(end);
        self.report(end)
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            let wakes = match self.poll_events(cx) {
                Ok(wakes) => wakes,
                Err(end) => return Poll::Ready(end),
            };
            let up = self.up.pump(&mut self.downstream, &mut self.upstream, &self.pipes, self.down.ended());
            let up = match up.or_else(|broken| self.broken(Side::Downstream, broken)) {
                Ok(pause) => pause,
                Err(end) => return Poll::Ready(end),
            };
            let down = self.down.pump(&mut self.upstream, &mut self.downstream, &self.pipes, self.up.ended());
            let down = match down.or_else(|broken| self.broken(Side::Upstream, broken)) {
                Ok(pause) => pause,
                Err(end) => return Poll::Ready(end),
            };
            if let Some(end) = self.over() {
                return Poll::Ready(end);
            }
            if up == Pause::Turn || down == Pause::Turn {
                if let Some(end) = self.overdue() {
                    return Poll::Ready(end);
                }
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if self
                .sides()
                .into_iter()
                .zip(wakes)
                .all(|((_, side, watch), wakes)| side.sleeps_well(wakes, watch))
            {
                return self.poll_clock(cx, up, down);
            }
        }
    }

    /// Both sides, and whether their disappearance has to be looked for because nobody reads from them.
    fn sides(&mut self) -> [(Side, &mut Stream, bool); 2] {
        let unread = |direction: &Direction| direction.holds_bytes() || direction.source_ended();
        [
            (Side::Downstream, &mut self.downstream, unread(&self.up)),
            (Side::Upstream, &mut self.upstream, unread(&self.down)),
        ]
    }

    /// Takes up new events, and tells which will wake the task.
    fn poll_events(&mut self, cx: &mut Context<'_>) -> Result<[Wakes; 2], End> {
        let mut wakes = [Wakes::default(); 2];
        for ((side, stream, watch), wakes) in self.sides().into_iter().zip(&mut wakes) {
            let hung_up = stream.hung_up;
            *wakes = stream.poll_events(cx, watch).map_err(|error| End::Failed {
                side,
                operation: Operation::Watch,
                error: Errno::from_io_error(&error).unwrap_or(Errno::IO),
            })?;
            // Nobody reads from it now, so the error has to be asked for.
            if stream.hung_up && !hung_up {
                if let Some(error) = stream.take_error() {
                    return Err(ended_by(side, Operation::Read, error));
                }
            }
        }
        Ok(wakes)
    }

    /// How the session ended, if it did.
    fn over(&self) -> Option<End> {
        match (self.up.ended(), self.down.ended(), self.refused) {
            (true, true, Some((side, Errno::PIPE))) => Some(End::Gone(side)),
            (true, true, Some((side, _))) => Some(End::Reset(side)),
            (true, true, None) => Some(End::Finished),
            (true, false, _) if self.downstream.hung_up => Some(gone(Side::Downstream, &self.down)),
            (false, true, _) if self.upstream.hung_up => Some(gone(Side::Upstream, &self.up)),
            _ => None,
        }
    }

    /// A socket failed while bytes came from this source. A sink that refuses bytes may have said something before
    /// it went away, so its own direction goes on to its end.
    fn broken(&mut self, source: Side, broken: Broken) -> Result<Pause, End> {
        let Broken { operation, error } = broken;
        let sink = source.other();
        let (this, opposite) = match source {
            Side::Downstream => (&mut self.up, &self.down),
            Side::Upstream => (&mut self.down, &self.up),
        };
        match (operation, error) {
            (Operation::Write, Errno::PIPE | Errno::CONNRESET) if !opposite.ended() => {
                this.cut();
                self.refused = Some((sink, error));
                Ok(Pause::Ended)
            }
            (Operation::Write, _) => Err(ended_by(sink, operation, error)),
            _ => Err(ended_by(source, operation, error)),
        }
    }

    /// Ends a session in which nothing moved for too long, or that has lasted too long. Called when there is nothing
    /// else to do.
    fn poll_clock(&mut self, cx: &mut Context<'_>, up: Pause, down: Pause) -> Poll<End> {
        let half_closed_by = match (self.up.source_ended(), self.down.source_ended()) {
            (true, _) => Some(Side::Downstream),
            (_, true) => Some(Side::Upstream),
            _ => None,
        };
        let silence = self.limits.of_silence(Stillness {
            half_closed_by,
            awaits_client: up == Pause::Source || down == Pause::Sink,
            awaits_server: down == Pause::Source || up == Pause::Sink,
        });
        let last_moment = self.last_moment.zip(self.limits.session);
        if silence.is_none() && last_moment.is_none() {
            return Poll::Pending;
        }
        // An end of stream is news as bytes are: the silence begins anew.
        let ends = u64::from(self.up.source_ended()) + u64::from(self.down.source_ended());
        let progress = self.moved() + ends;
        let due = |last_moved| {
            let silence = silence.map(|(limit, end)| (far(last_moved, limit), end));
            let longest = last_moment.map(|(last, longest)| (last, End::SessionTimeout(longest)));
            silence.into_iter().chain(longest).min_by_key(|(deadline, _)| *deadline)
        };
        let clock = self.clock.get_or_insert_with(|| {
            let now = Instant::now();
            let deadline = due(now).map_or(now, |(deadline, _)| deadline);
            Clock { timer: Box::pin(sleep_until(deadline)), last_moved: now, progress }
        });
        if clock.progress != progress {
            clock.progress = progress;
            clock.last_moved = Instant::now();
        }
        let Some((deadline, end)) = due(clock.last_moved) else { return Poll::Pending };
        loop {
            // Bytes only move the deadline back: the timer is set anew when it fires, not at each of them.
            if clock.timer.deadline() > deadline {
                clock.timer.as_mut().reset(deadline);
            }
            ready!(clock.timer.as_mut().poll(cx));
            if Instant::now() >= deadline {
                return Poll::Ready(end);
            }
            clock.timer.as_mut().reset(deadline);
        }
    }

    /// How it ends if its time is over while bytes still move.
    fn overdue(&self) -> Option<End> {
        let (last, longest) = self.last_moment.zip(self.limits.session)?;
        (Instant::now() >= last).then_some(End::SessionTimeout(longest))
    }

    /// Whether bytes were taken from one side that the other did not get.
    fn holds_bytes(&self) -> bool {
        self.up.holds_bytes() || self.down.holds_bytes()
    }

    fn reset_on_close(&self) {
        self.downstream.reset_on_close();
        self.upstream.reset_on_close();
    }

    /// The kernel has no more room for its bytes than for those of others.
    fn is_short(&self) -> bool {
        self.moved() <= SHORT
    }

    /// Closes both sockets so that each peer sees how it ended.
    fn close(&mut self, end: End) {
        self.over = true;
        match end {
            End::Finished if self.up.told() && self.down.source_ended() && self.is_short() => {
                self.upstream.part(Parting::Orderly);
            }
            End::Finished | End::Gone(_) => {}
            End::Reset(Side::Downstream) if self.is_short() => self.upstream.part(Parting::Reset),
            End::Reset(side) => match side.other() {
                Side::Downstream => self.downstream.reset_on_close(),
                Side::Upstream => self.upstream.reset_on_close(),
            },
            // A stream that is cut in its middle must not look as if it were whole.
            End::Failed { .. } | End::Cut(_) | End::SessionTimeout(_) => self.reset_on_close(),
            // Bytes that were taken and never delivered must not look like an orderly end.
            End::HalfCloseTimeout(..) | End::IdleTimeout(_) | End::SideTimeout(..) => {
                if self.holds_bytes() {
                    self.reset_on_close();
                }
            }
        }
    }
}

impl Drop for Relay {
    /// Somebody ends it in its middle. Where the whole process ends it is as if that had been killed: what the sockets
    /// have still goes out, and only what is held here is lost, which must not look whole.
    fn drop(&mut self) {
        if !self.over && (self.holds_bytes() || !self.pipes.process_ends()) {
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

/// How it ends when a side is gone that had ended its own stream. A UNIX socket's close shows at once, as that; over TCP
/// the same is an end of stream first.
fn gone(side: Side, towards: &Direction) -> End {
    if towards.holds_bytes() { End::Gone(side) } else { End::Finished }
}

fn ended_by(side: Side, operation: Operation, error: Errno) -> End {
    match error {
        Errno::CONNRESET | Errno::PIPE => End::Reset(side),
        error => End::Failed { side, operation, error },
    }
}

/// A point so far from another; spans that the clock cannot hold are as good as for ever.
fn far(from: Instant, span: Duration) -> Instant {
    const FOREVER: Duration = Duration::from_secs(30 * 365 * 24 * 3600);
    from.checked_add(span.min(FOREVER)).unwrap_or(from + Duration::from_secs(3600))
}
