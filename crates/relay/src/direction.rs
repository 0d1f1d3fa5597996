//! One direction of a session: from a source to a sink.

use std::cell::RefCell;
use std::sync::Arc;

use dormouse_sys::credentials::Credentials;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{Shutdown, shutdown};

use crate::fd_passing::Received;
use crate::message_credentials::MessageCredentials;
use crate::passed_fds::{self, PassedFds};
use crate::pipe_lease::PipeLease;
use crate::pipes::{PIPE_SIZE, Pipes};
use crate::report::SocketError;
use crate::stream::Stream;
use crate::transfer::{read, read_message, splice_in, splice_out, write, write_message};

/// The size of the thread's copy buffer, which holds bytes only between a read and the following write.
const BUFFER_SIZE: usize = 64 << 10;
/// The number of consecutive full buffers that turn a copied flow into a spliced one.
const FULL_READS: u8 = 2;
/// A splice of fewer bytes is small.
const SMALL_SPLICE: usize = 16 << 10;
/// The number of consecutive small splices that turn a spliced flow into a copied one.
const SMALL_SPLICES: u8 = 4;
/// The bytes that one direction may move before other sessions run.
const BUDGET: usize = PIPE_SIZE / 2;

thread_local! {
    static COPY_BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; BUFFER_SIZE].into_boxed_slice());
}

/// The state of the bytes from a source to a sink.
#[derive(Debug)]
pub(crate) struct Direction {
    /// The number of bytes that the sink has accepted.
    pub(crate) bytes_moved: u64,
    flow: Flow,
    /// Bytes that were read and not yet accepted by the sink.
    unsent: Option<Box<Unsent>>,
    stage: Stage,
    /// Both sockets are UNIX sockets, so descriptors may travel with the bytes.
    carries_fds: bool,
    /// Descriptors have come, so more may.
    has_carried_fds: bool,
}

/// How bytes move.
#[derive(Debug)]
enum Flow {
    /// Through the copy buffer, while they arrive in small pieces.
    Copy { full_reads: u8 },
    /// Through a pipe, which is leased only while there are bytes to move.
    Splice { small_splices: u8, lease: Option<PipeLease> },
    /// Through the copy buffer, because one of the two sockets cannot be spliced.
    CopyOnly,
}

/// The rest of a read.
#[derive(Debug)]
struct Unsent {
    bytes: Vec<u8>,
    start: usize,
    /// Descriptors that travel with the next byte.
    fds: PassedFds,
    /// The credentials of the sender, where they are passed.
    sender: Option<Credentials>,
}

impl Unsent {
    fn new(bytes: Vec<u8>, fds: PassedFds, sender: Option<Credentials>) -> Option<Box<Self>> {
        (!bytes.is_empty()).then(|| Box::new(Self { bytes, start: 0, fds, sender }))
    }
}

/// How far the stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    /// The source has ended its stream. Held bytes go to the sink first.
    Flushing,
    /// The end of stream was sent to the sink.
    FinSent,
    /// The close of the sink, which follows, sends the end of stream.
    Closing,
}

/// Why a direction has paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paused {
    /// The source has no bytes.
    SourceEmpty,
    /// The sink has no room for the held bytes.
    SinkFull,
    /// More bytes may be ready, but other sessions have to run.
    BudgetSpent,
    /// The source has ended its stream, and the sink has or gets the end of stream.
    Ended,
}

impl Direction {
    /// Returns a direction that sends `prefix` first.
    pub(crate) fn new(prefix: Vec<u8>, carries_fds: bool) -> Self {
        let unsent = Unsent::new(prefix, PassedFds::default(), None);
        Self {
            bytes_moved: 0,
            flow: Flow::Copy { full_reads: 0 },
            unsent,
            stage: Stage::Open,
            carries_fds,
            has_carried_fds: false,
        }
    }

    /// Returns whether nothing more moves.
    pub(crate) fn ended(&self) -> bool {
        matches!(self.stage, Stage::FinSent | Stage::Closing)
    }

    /// Returns whether the end of stream was sent to the sink.
    pub(crate) fn fin_sent(&self) -> bool {
        self.stage == Stage::FinSent
    }

    /// Returns whether bytes were read from the source and not yet accepted by the sink.
    pub(crate) fn holds_bytes(&self) -> bool {
        self.unsent.is_some()
            || matches!(&self.flow, Flow::Splice { lease: Some(lease), .. } if lease.pipe.buffered > 0)
    }

    /// Returns whether descriptors were received from the source and not yet accepted by the sink.
    pub(crate) fn holds_fds(&self) -> bool {
        self.unsent.as_ref().is_some_and(|unsent| !unsent.fds.is_empty())
    }

    /// Ends the direction after the sink has refused bytes. Held bytes are lost, and nothing more is read.
    pub(crate) fn abandon(&mut self) {
        self.unsent = None;
        self.flow = Flow::CopyOnly;
        self.stage = Stage::Closing;
    }

    /// Returns whether the source has ended its stream.
    pub(crate) fn source_ended(&self) -> bool {
        self.stage != Stage::Open
    }

    /// Moves what can be moved without waiting.
    ///
    /// `opposite_ended`: the opposite direction has ended, so the close that follows sends the end of stream.
    pub(crate) fn pump(
        &mut self,
        source: &mut Stream,
        sink: &mut Stream,
        pipes: &Arc<Pipes>,
        opposite_ended: bool,
    ) -> Result<Paused, SocketError> {
        let mut budget = BUDGET;
        loop {
            if !self.flush(sink)? {
                return Ok(Paused::SinkFull);
            }
            match self.stage {
                Stage::Open => {}
                Stage::Flushing => {
                    self.flow = Flow::Copy { full_reads: 0 };
                    self.stage = if opposite_ended { Stage::Closing } else { send_fin(sink) };
                    return Ok(Paused::Ended);
                }
                Stage::FinSent | Stage::Closing => return Ok(Paused::Ended),
            }
            if !source.readable {
                // A paused flow returns its pipe.
                if let Flow::Splice { lease, .. } = &mut self.flow {
                    *lease = None;
                }
                return Ok(Paused::SourceEmpty);
            }
            if budget == 0 {
                return Ok(Paused::BudgetSpent);
            }
            if !self.may_receive(sink) {
                sink.writable = false;
                return Ok(Paused::SinkFull);
            }
            let received = self.fill(source, sink, pipes)?;
            budget = budget.saturating_sub(received);
        }
    }

    /// Writes the held bytes. Returns whether all are written.
    fn flush(&mut self, sink: &mut Stream) -> Result<bool, SocketError> {
        while let Some(unsent) = &mut self.unsent {
            if !sink.writable {
                return Ok(false);
            }
            let bytes = unsent.bytes.get(unsent.start..).unwrap_or_default();
            let sent = write_message(sink, bytes, &mut unsent.fds, unsent.sender)?;
            self.bytes_moved += sent as u64;
            unsent.start += sent;
            if unsent.start >= unsent.bytes.len() {
                self.unsent = None;
            }
        }
        while let Flow::Splice { lease: Some(PipeLease { pipe, .. }), .. } = &mut self.flow {
            if pipe.buffered == 0 {
                break;
            }
            if !sink.writable {
                return Ok(false);
            }
            match splice_out(pipe, sink) {
                Ok(sent) => self.bytes_moved += sent as u64,
                Err(SocketError { error: Errno::INVAL, .. }) => {
                    self.unsent = Unsent::new(pipe.read_all()?, PassedFds::default(), None);
                    self.flow = Flow::CopyOnly;
                    return self.flush(sink);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Returns whether descriptors that come now would not have to be held. The system call for this is made only where they
    /// have come before, or where all sessions together hold many.
    fn may_receive(&self, sink: &Stream) -> bool {
        let looks = self.carries_fds && (self.has_carried_fds || passed_fds::are_scarce());
        !looks || has_room(sink)
    }

    /// Reads once; nothing is held. Returns the number of bytes read.
    fn fill(
        &mut self,
        source: &mut Stream,
        sink: &mut Stream,
        pipes: &Arc<Pipes>,
    ) -> Result<usize, SocketError> {
        if sink.message_credentials != MessageCredentials::Own {
            // The kernel would add the credentials of this process to spliced bytes.
            self.flow = Flow::CopyOnly;
        }
        if let Flow::Splice { small_splices, lease } = &mut self.flow {
            if *small_splices >= SMALL_SPLICES || !ensure_lease(lease, source, pipes) {
                self.flow = Flow::Copy { full_reads: 0 };
            }
        }
        if let Flow::Splice { lease: Some(lease), .. } = &mut self.flow {
            // Bytes that may carry descriptors are copied together with them.
            if let Some(limit) = lease.spliceable_bytes(source).filter(|limit| *limit > 0) {
                return self.fill_pipe(source, limit);
            }
        }
        let (received, full) = self.copy(source, sink)?;
        if let Flow::Copy { full_reads } = &mut self.flow {
            *full_reads = if full { *full_reads + 1 } else { 0 };
            if *full_reads >= FULL_READS {
                self.flow = Flow::Splice { small_splices: 0, lease: None };
            }
        }
        Ok(received)
    }

    /// Reads and writes once through the copy buffer. Bytes that the sink does not accept move to the heap. Returns the
    /// number of bytes read, and whether they filled the buffer.
    fn copy(&mut self, source: &mut Stream, sink: &mut Stream) -> Result<(usize, bool), SocketError> {
        COPY_BUFFER.with_borrow_mut(|buffer| {
            let mut fds = PassedFds::default();
            let read = if self.carries_fds {
                read_message(source, buffer, &mut fds)?
            } else {
                read(source, buffer)?
            };
            let Some(Received { bytes: received, ended_early, credentials }) = read else {
                return Ok((0, false));
            };
            if received == 0 {
                self.stage = Stage::Flushing;
                return Ok((0, false));
            }
            self.has_carried_fds |= !fds.is_empty();
            let full = received == buffer.len();
            // A short read has emptied the socket, so later bytes cause a new event.
            source.readable = full || ended_early;
            let bytes = buffer.get(..received).unwrap_or_default();
            let passed = sink.message_credentials == MessageCredentials::Passed;
            let sender = if passed { source.sender(credentials) } else { None };
            let sent = match (sink.writable, fds.is_empty() && !passed) {
                (false, _) => 0,
                (true, true) => write(sink, bytes)?,
                (true, false) => write_message(sink, bytes, &mut fds, sender)?,
            };
            self.bytes_moved += sent as u64;
            if sent < received {
                let rest = bytes.get(sent..).unwrap_or_default();
                self.unsent = Unsent::new(rest.to_vec(), fds, sender);
            }
            Ok((received, full))
        })
    }

    fn fill_pipe(&mut self, source: &mut Stream, limit: usize) -> Result<usize, SocketError> {
        let Flow::Splice { small_splices, lease: Some(PipeLease { pipe, .. }) } = &mut self.flow else {
            return Ok(0);
        };
        match splice_in(source, pipe, limit) {
            Ok(None) if !source.has_urgent_data() => Ok(0),
            // A splice stops at urgent data as at an empty socket or an end of stream. Only a read shows which it is.
            Ok(None | Some(0)) => {
                self.flow = Flow::Copy { full_reads: 0 };
                source.readable = true;
                Ok(0)
            }
            Ok(Some(received)) => {
                *small_splices = if received < SMALL_SPLICE { *small_splices + 1 } else { 0 };
                Ok(received)
            }
            Err(SocketError { error: Errno::INVAL, .. }) => {
                self.flow = Flow::CopyOnly;
                Ok(0)
            }
            Err(error) => Err(error),
        }
    }
}

/// Leases a pipe if there is none. Returns whether there is one now.
fn ensure_lease(lease: &mut Option<PipeLease>, source: &mut Stream, pipes: &Arc<Pipes>) -> bool {
    if lease.is_none() {
        *lease = PipeLease::new(source, pipes);
    }
    lease.is_some()
}

/// Returns whether the sink takes at least one more byte, or shows why it never will.
fn has_room(sink: &Stream) -> bool {
    let Some(socket) = sink.socket() else { return true };
    let mut polled = [PollFd::from_borrowed_fd(socket, PollFlags::OUT)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut polled, Some(&at_once)) != Ok(0)
}

/// Sends the end of stream to the sink. If the sink has closed, the next event on it shows that.
fn send_fin(sink: &Stream) -> Stage {
    if let Some(socket) = sink.socket() {
        let _ = shutdown(socket, Shutdown::Write);
    }
    Stage::FinSent
}
