//! One peer of one session: does what the plan says and watches what comes.

use std::{cell::Cell, io, time::Duration};

use dormouse_tests::{Failure, Result, rng::Rng};

use super::{
    link::Link,
    plan::{LONGEST_PAUSE, Pace, Role, When},
    registry::{Event, Session},
};

/// How a direction ended for this peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// In order: the other's end was read; all was sent, and the end after it if there was to be one.
    Orderly,
    /// By an error that a peer's reset causes.
    Broken(io::ErrorKind),
}

/// What a peer has seen when it is through.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    /// `None` where it broke the session off itself before.
    pub(crate) reading: Option<End>,
    pub(crate) writing: Option<End>,
}

/// Why a direction is left before its end.
enum Stop {
    /// This peer is to break the session off now.
    BreakOff,
    Failed(Failure),
}

/// Takes part in `session` as `role`. The bytes are compared as they come; counts go into the session.
///
/// # Errors
/// When a byte is wrong, or a call fails in a way in which peers do not end.
pub(crate) async fn take_part(session: &Session, role: Role, link: Link) -> Result<Seen> {
    let side = Side {
        session,
        role,
        link: &link,
        reading: Cell::new(None),
        writing: Cell::new(None),
        end: Event::default(),
    };
    if session.habits(role).narrow {
        link.narrow()?;
    }
    let stopped = tokio::try_join!(side.write(), side.read());
    let seen = Seen { reading: side.reading.get(), writing: side.writing.get() };
    match stopped {
        Ok(_) => {}
        Err(Stop::Failed(failure)) => return Err(failure),
        Err(Stop::BreakOff) => break_off(session, role, link).await?,
    }
    Ok(seen)
}

async fn break_off(session: &Session, role: Role, link: Link) -> Result<()> {
    if session.plan.reset.as_ref().is_some_and(|reset| reset.once_known) {
        session.of(role.other()).has_begun().await;
    }
    link.close_will_reset()?;
    session.of(role).broke_off.set(Some(link.unread()?));
    drop(link);
    Ok(())
}

struct Side<'a> {
    session: &'a Session,
    role: Role,
    link: &'a Link,
    reading: Cell<Option<End>>,
    writing: Cell<Option<End>>,
    /// The other's stream has ended, in whatever way.
    end: Event,
}

impl Side<'_> {
    async fn write(&self) -> std::result::Result<(), Stop> {
        let habits = self.session.habits(self.role);
        let content = self.session.content(self.role);
        let peer = self.session.of(self.role);
        let mut rhythm = Rhythm::new(&habits.writing);
        let header = self.session.header_length(self.role);
        rhythm.begin().await;
        self.stop_if_due()?;
        while peer.sent.get() < habits.bytes {
            let position = peer.sent.get();
            if habits.replies_to_end && position >= header {
                self.end.happened().await;
            }
            let wanted = limit(habits.bytes, self.bound(position, true), position, rhythm.chunk());
            let wanted = if position < header { wanted.min(limit_of(header - position)) } else { wanted };
            match self.link.write(content.at(position, wanted)).await {
                Ok(written) => peer.sent.set(position + written as u64),
                Err(error) => return broken(&self.writing, error, "write"),
            }
            self.stop_if_due()?;
            rhythm.pause().await;
        }
        if self.session.plan.reset.as_ref().is_some_and(|r| r.by == self.role && !r.finishes_first) {
            return Ok(());
        }
        if habits.finishes_last {
            self.end.happened().await;
        }
        // Said before it is done: the other side may hear of it at once.
        peer.finished.set(true);
        match self.link.finish() {
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
        let pace = &self.session.habits(self.role).reading;
        let mut rhythm = Rhythm::new(pace);
        let mut buffer = vec![0; pace.chunk];
        rhythm.begin().await;
        self.stop_if_due()?;
        loop {
            let position = peer.received.get();
            let wanted = limit(u64::MAX, self.bound(position, false), position, rhythm.chunk());
            let room = buffer.get_mut(..wanted).unwrap_or_default();
            let read = match self.link.read(room).await {
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

    /// Leaves both directions when the moment has come to break off.
    fn stop_if_due(&self) -> std::result::Result<(), Stop> {
        let peer = self.session.of(self.role);
        let due = match &self.session.plan.reset {
            Some(reset) if reset.by == self.role => match reset.when {
                When::Sent(bytes) => peer.sent.get() >= bytes,
                When::Received(bytes) => peer.received.get() >= bytes,
            },
            _ => false,
        };
        if due { Err(Stop::BreakOff) } else { Ok(()) }
    }

    /// How far this direction goes before the peer breaks off.
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

/// Notes that a direction has ended by an error of the kind that a peer causes.
fn broken(direction: &Cell<Option<End>>, error: io::Error, call: &str) -> std::result::Result<(), Stop> {
    match error.kind() {
        kind @ (io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::NotConnected) => {
            direction.set(Some(End::Broken(kind)));
            Ok(())
        }
        _ => Err(Stop::Failed(Failure::io(call, error))),
    }
}

/// The smaller of what is left and the chunk, at least 1.
fn limit(bytes: u64, bound: u64, position: u64, chunk: usize) -> usize {
    limit_of(bytes.min(bound).saturating_sub(position)).min(chunk).max(1)
}

fn limit_of(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// So many bytes are tiny.
const TINY: usize = 16;

/// Chunks and pauses, in the way a [`Pace`] says.
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
