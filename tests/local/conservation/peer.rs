//! One peer of a session: performs its plan and checks the received bytes.

use std::{cell::Cell, io, time::Duration};

use dormouse_tests::{Failure, Result, rng::Rng};

use super::{
    connection::Connection,
    plan::{LONGEST_PAUSE, Pace, Role, When},
    registry::{Event, Session},
};

/// The end of a direction for this peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Orderly: the peer has read the other's end of stream, or has sent all bytes and the planned end of stream.
    Orderly,
    /// An error that a reset by the other peer causes.
    Broken(io::ErrorKind),
}

/// The observations of a peer at the end of a session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    /// `None` if this peer aborted the session before.
    pub(crate) reading: Option<End>,
    pub(crate) writing: Option<End>,
}

/// The reason to leave a direction before its end.
enum Stop {
    /// The plan says to abort the session now.
    Abort,
    Failed(Failure),
}

/// Performs `role` in `session`. Compares the received bytes at once and records the counts in the session.
///
/// # Errors
/// When a byte is wrong, or a call fails with an error that a peer cannot cause.
pub(crate) async fn take_part(session: &Session, role: Role, connection: Connection) -> Result<Seen> {
    let side = Peer {
        session,
        role,
        connection: &connection,
        reading: Cell::new(None),
        writing: Cell::new(None),
        end: Event::default(),
    };
    if session.peer_plan(role).narrow {
        connection.narrow()?;
    }
    let stopped = tokio::try_join!(side.write(), side.read());
    let seen = Seen { reading: side.reading.get(), writing: side.writing.get() };
    match stopped {
        Ok(_) => {}
        Err(Stop::Failed(failure)) => return Err(failure),
        Err(Stop::Abort) => abort(session, role, connection).await?,
    }
    Ok(seen)
}

async fn abort(session: &Session, role: Role, connection: Connection) -> Result<()> {
    if session.plan.reset.as_ref().is_some_and(|reset| reset.after_identified) {
        session.of(role.other()).has_begun().await;
    }
    connection.close_will_reset()?;
    session.of(role).aborted.set(Some(connection.unread()?));
    drop(connection);
    Ok(())
}

struct Peer<'a> {
    session: &'a Session,
    role: Role,
    connection: &'a Connection,
    reading: Cell<Option<End>>,
    writing: Cell<Option<End>>,
    /// The other peer's stream has ended in any way.
    end: Event,
}

impl Peer<'_> {
    async fn write(&self) -> std::result::Result<(), Stop> {
        let peer_plan = self.session.peer_plan(self.role);
        let content = self.session.content(self.role);
        let peer = self.session.of(self.role);
        let mut rhythm = Rhythm::new(&peer_plan.writing);
        let header = self.session.header_length(self.role);
        rhythm.begin().await;
        self.stop_if_due()?;
        while peer.sent.get() < peer_plan.bytes {
            let position = peer.sent.get();
            if peer_plan.replies_to_end && position >= header {
                self.end.happened().await;
            }
            let wanted = limit(peer_plan.bytes, self.bound(position, true), position, rhythm.chunk());
            let wanted = if position < header { wanted.min(limit_of(header - position)) } else { wanted };
            match self.connection.write(content.at(position, wanted)).await {
                Ok(written) => peer.sent.set(position + written as u64),
                Err(error) => return broken(&self.writing, error, "write"),
            }
            self.stop_if_due()?;
            rhythm.pause().await;
        }
        if self.session.plan.reset.as_ref().is_some_and(|r| r.by == self.role && !r.finishes_first) {
            return Ok(());
        }
        if peer_plan.finishes_last {
            self.end.happened().await;
        }
        // Set before the shutdown, because the other peer may receive the end at once.
        peer.finished.set(true);
        match self.connection.finish() {
            Ok(()) => self.writing.set(Some(End::Orderly)),
            Err(error) => {
                peer.finished.set(false);
                return broken(&self.writing, error, "shut down");
            }
        }
        Ok(())
    }

    async fn read(&self) -> std::result::Result<(), Stop> {
        let content = self.session.content(self.role.other());
        let peer = self.session.of(self.role);
        let pace = &self.session.peer_plan(self.role).reading;
        let mut rhythm = Rhythm::new(pace);
        let mut buffer = vec![0; pace.chunk];
        rhythm.begin().await;
        self.stop_if_due()?;
        loop {
            let position = peer.received.get();
            let wanted = limit(u64::MAX, self.bound(position, false), position, rhythm.chunk());
            let room = buffer.get_mut(..wanted).unwrap_or_default();
            let read = match self.connection.read(room).await {
                Ok(0) => {
                    self.reading.set(Some(End::Orderly));
                    self.end.happen();
                    return Ok(());
                }
                Ok(read) => read,
                Err(error) => {
                    self.end.happen();
                    return broken(&self.reading, error, "read");
                }
            };
            if let Some(wrong) = content.first_difference(position, room.get(..read).unwrap_or_default()) {
                return Err(Stop::Failed(Failure::Unexpected(format!("byte {wrong} is wrong"))));
            }
            peer.received.set(position + read as u64);
            self.stop_if_due()?;
            rhythm.pause().await;
        }
    }

    /// Leaves both directions when the abort is due.
    fn stop_if_due(&self) -> std::result::Result<(), Stop> {
        let peer = self.session.of(self.role);
        let due = match &self.session.plan.reset {
            Some(reset) if reset.by == self.role => match reset.when {
                When::Sent(bytes) => peer.sent.get() >= bytes,
                When::Received(bytes) => peer.received.get() >= bytes,
            },
            _ => false,
        };
        if due { Err(Stop::Abort) } else { Ok(()) }
    }

    /// Returns the position at which this direction stops for the abort.
    fn bound(&self, position: u64, sending: bool) -> u64 {
        match &self.session.plan.reset {
            Some(reset) if reset.by == self.role => match reset.when {
                When::Sent(bytes) if sending => bytes.max(position + 1),
                When::Received(bytes) if !sending => bytes.max(position + 1),
                _ => u64::MAX,
            },
            _ => u64::MAX,
        }
    }
}

/// Records that a direction has ended by an error that a peer can cause.
fn broken(direction: &Cell<Option<End>>, error: io::Error, call: &str) -> std::result::Result<(), Stop> {
    match error.kind() {
        kind @ (io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::NotConnected) => {
            direction.set(Some(End::Broken(kind)));
            Ok(())
        }
        _ => Err(Stop::Failed(Failure::io(call, error))),
    }
}

/// Returns the smaller of the remaining bytes and the chunk, at least 1.
fn limit(bytes: u64, bound: u64, position: u64, chunk: usize) -> usize {
    limit_of(bytes.min(bound).saturating_sub(position)).min(chunk).max(1)
}

fn limit_of(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// The largest tiny chunk.
const TINY: usize = 16;

/// Random chunks and pauses according to a [`Pace`].
struct Rhythm<'a> {
    pace: &'a Pace,
    rng: Rng,
    pauses_left: u32,
}

impl<'a> Rhythm<'a> {
    fn new(pace: &'a Pace) -> Self {
        Self { pace, rng: Rng::new(pace.seed), pauses_left: pace.pauses }
    }

    async fn begin(&self) {
        if self.pace.delay > Duration::ZERO {
            tokio::time::sleep(self.pace.delay).await;
        }
    }

    fn chunk(&mut self) -> usize {
        let tiny = self.rng.chance(self.pace.tiny_chance);
        let largest = if tiny { TINY.min(self.pace.chunk) } else { self.pace.chunk };
        1 + usize::try_from(self.rng.below(largest as u64)).unwrap_or(0)
    }

    async fn pause(&mut self) {
        if self.pauses_left > 0 && self.rng.chance(self.pace.pause_chance) {
            self.pauses_left -= 1;
            tokio::time::sleep(self.rng.duration(LONGEST_PAUSE)).await;
        }
    }
}
