//! One direction of a session: from a source to a sink.

use std::cell::RefCell;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};
use rustix::pipe::{SpliceFlags, splice};

use crate::pipes::{PIPE_SIZE, Pipe, Pipes};
use crate::report::Operation;
use crate::stream::Stream;

/// The thread's copy buffer. Bytes stay in it only between a read and the write that follows.
const BUFFER: usize = 64 << 10;
/// So many full buffers in a row make a flow a bulk flow.
const FULL_READS: u8 = 2;
/// A splice below this is small; so many in a row end the bulk flow.
const SMALL_SPLICE: usize = 16 << 10;
const SMALL_SPLICES: u8 = 4;
/// What one direction may move before the other sessions have their turn.
const TURN: usize = 2 * PIPE_SIZE;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; BUFFER].into_boxed_slice());
}

/// Bytes on their way from a source to a sink.
#[derive(Debug)]
pub(crate) struct Direction {
    /// Bytes passed on to the sink.
    pub(crate) passed: u64,
    flow: Flow,
    /// Read, but not yet accepted by the sink.
    rest: Option<Box<Rest>>,
    stage: Stage,
}

#[derive(Debug)]
enum Flow {
    Small {
        full_reads: u8,
    },
    /// The pipe is lent only while there is something to move.
    Bulk {
        small_splices: u8,
        pipe: Option<Pipe>,
    },
    /// One of the two sockets cannot be spliced.
    NeverBulk,
}

#[derive(Debug)]
struct Rest {
    bytes: Vec<u8>,
    start: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    /// The source ended; what is still held has to reach the sink first.
    Ending,
    /// The sink was told.
    Ended,
}

/// Why a direction stopped pumping for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pause {
    /// The source has nothing.
    Source,
    /// The sink takes nothing; bytes are held for it.
    Sink,
    /// There is more, but it is the others' turn.
    Turn,
    /// The source ended, and the sink knows.
    Ended,
}

/// A socket failed; the role says which.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Broken {
    pub(crate) operation: Operation,
    pub(crate) error: Errno,
}

impl Direction {
    /// A direction in which these bytes go first.
    pub(crate) fn new(prefix: Vec<u8>) -> Self {
        let rest = (!prefix.is_empty()).then(|| Box::new(Rest { bytes: prefix, start: 0 }));
        Self { passed: 0, flow: Flow::Small { full_reads: 0 }, rest, stage: Stage::Open }
    }

    pub(crate) fn ended(&self) -> bool {
        self.stage == Stage::Ended
    }

    /// Whether bytes were taken from the source that the sink did not get.
    pub(crate) fn holds_bytes(&self) -> bool {
        self.rest.is_some() || matches!(&self.flow, Flow::Bulk { pipe: Some(pipe), .. } if pipe.held > 0)
    }

    /// Gives up: the sink takes nothing any more. What is held is lost, and no more is read.
    pub(crate) fn cut(&mut self) {
        self.rest = None;
        self.flow = Flow::NeverBulk;
        self.stage = Stage::Ended;
    }

    /// Whether the source's end of stream was seen.
    pub(crate) fn source_ended(&self) -> bool {
        self.stage != Stage::Open
    }

    /// Moves what can be moved without waiting.
    ///
    /// `last`: the opposite direction has ended. Closing the sink, which follows, then tells it the end as well.
    pub(crate) fn pump(
        &mut self,
        source: &mut Stream,
        sink: &mut Stream,
        pipes: &Arc<Pipes>,
        last: bool,
    ) -> Result<Pause, Broken> {
        let mut turn = TURN;
        loop {
            if !self.flush(sink)? {
                return Ok(Pause::Sink);
            }
            match self.stage {
                Stage::Open => {}
                Stage::Ending => {
                    self.flow = Flow::Small { full_reads: 0 };
                    if !last {
                        end(sink);
                    }
                    self.stage = Stage::Ended;
                    return Ok(Pause::Ended);
                }
                Stage::Ended => return Ok(Pause::Ended),
            }
            if !source.readable {
                // An idle direction keeps no pipe.
                if let Flow::Bulk { pipe, .. } = &mut self.flow {
                    *pipe = None;
                }
                return Ok(Pause::Source);
            }
            if turn == 0 {
                return Ok(Pause::Turn);
            }
            let moved = self.fill(source, sink, pipes)?;
            turn = turn.saturating_sub(moved);
        }
    }

    /// Writes what is held; true when nothing is held any more.
    fn flush(&mut self, sink: &mut Stream) -> Result<bool, Broken> {
        while let Some(rest) = &mut self.rest {
            if !sink.writable {
                return Ok(false);
            }
            let sent = write(sink, rest.bytes.get(rest.start..).unwrap_or_default())?;
            self.passed += sent as u64;
            rest.start += sent;
            if rest.start >= rest.bytes.len() {
                self.rest = None;
            }
        }
        while let Flow::Bulk { pipe: Some(pipe), .. } = &mut self.flow {
            if pipe.held == 0 {
                break;
            }
            if !sink.writable {
                return Ok(false);
            }
            match splice_out(pipe, sink) {
                Ok(sent) => self.passed += sent as u64,
                Err(broken) if broken.error == Errno::INVAL => {
                    self.rest = Some(Box::new(Rest { bytes: pipe.empty()?, start: 0 }));
                    self.flow = Flow::NeverBulk;
                    return self.flush(sink);
                }
                Err(broken) => return Err(broken),
            }
        }
        Ok(true)
    }

    /// Reads once, when nothing is held; returns how much was read.
    fn fill(&mut self, source: &mut Stream, sink: &mut Stream, pipes: &Arc<Pipes>) -> Result<usize, Broken> {
        if let Flow::Bulk { small_splices, pipe } = &mut self.flow {
            if *small_splices < SMALL_SPLICES && (pipe.is_some() || lend(pipe, pipes)) {
                return self.fill_pipe(source);
            }
            self.flow = Flow::Small { full_reads: 0 };
        }
        let (taken, full) = self.copy(source, sink)?;
        if let Flow::Small { full_reads } = &mut self.flow {
            *full_reads = if full { *full_reads + 1 } else { 0 };
            if *full_reads >= FULL_READS {
                self.flow = Flow::Bulk { small_splices: 0, pipe: None };
            }
        }
        Ok(taken)
    }

    /// One read and one write through the thread's buffer; what the sink leaves over is kept on the heap.
    fn copy(&mut self, source: &mut Stream, sink: &mut Stream) -> Result<(usize, bool), Broken> {
        SCRATCH.with_borrow_mut(|buffer| {
            let Some(taken) = read(source, buffer)? else { return Ok((0, false)) };
            if taken == 0 {
                self.stage = Stage::Ending;
                return Ok((0, false));
            }
            let full = taken == buffer.len();
            // A short read emptied the socket: whatever comes next is a new event.
            source.readable = full;
            let bytes = buffer.get(..taken).unwrap_or_default();
            let sent = if sink.writable { write(sink, bytes)? } else { 0 };
            self.passed += sent as u64;
            if let Some(left @ [_, ..]) = bytes.get(sent..) {
                self.rest = Some(Box::new(Rest { bytes: left.to_vec(), start: 0 }));
            }
            Ok((taken, full))
        })
    }

    fn fill_pipe(&mut self, source: &mut Stream) -> Result<usize, Broken> {
        let Flow::Bulk { small_splices, pipe: Some(pipe) } = &mut self.flow else { return Ok(0) };
        match splice_in(source, pipe) {
            Ok(None) => Ok(0),
            Ok(Some(0)) => {
                self.stage = Stage::Ending;
                Ok(0)
            }
            Ok(Some(taken)) => {
                *small_splices = if taken < SMALL_SPLICE { *small_splices + 1 } else { 0 };
                Ok(taken)
            }
            Err(broken) if broken.error == Errno::INVAL => {
                self.flow = Flow::NeverBulk;
                Ok(0)
            }
            Err(broken) => Err(broken),
        }
    }
}

fn lend(place: &mut Option<Pipe>, pipes: &Arc<Pipes>) -> bool {
    *place = pipes.lend();
    place.is_some()
}

/// Reads once: `None` when there is nothing, zero at the end of the stream.
fn read(source: &mut Stream, buffer: &mut [u8]) -> Result<Option<usize>, Broken> {
    let failed = |error| Broken { operation: Operation::Read, error };
    loop {
        match recv(socket(source, Operation::Read)?, &mut *buffer, RecvFlags::empty()) {
            Ok((taken, _)) => return Ok(Some(taken)),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                source.readable = false;
                return Ok(None);
            }
            Err(error) => return Err(failed(error)),
        }
    }
}

/// Writes once; zero when there is no room.
fn write(sink: &mut Stream, bytes: &[u8]) -> Result<usize, Broken> {
    let failed = |error| Broken { operation: Operation::Write, error };
    loop {
        match send(socket(sink, Operation::Write)?, bytes, SendFlags::NOSIGNAL) {
            Ok(sent) => return Ok(sent),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                sink.writable = false;
                return Ok(0);
            }
            Err(error) => return Err(failed(error)),
        }
    }
}

const SPLICE: SpliceFlags = SpliceFlags::MOVE.union(SpliceFlags::NONBLOCK);

/// Fills an empty pipe: `None` when the source has nothing (the pipe being empty, EAGAIN can mean nothing else).
fn splice_in(source: &mut Stream, pipe: &mut Pipe) -> Result<Option<usize>, Broken> {
    let failed = |error| Broken { operation: Operation::Read, error };
    loop {
        let from = socket(source, Operation::Read)?;
        let Some((_, to)) = pipe.ends() else { return Err(failed(Errno::BADF)) };
        match splice(from, None, to, None, PIPE_SIZE, SPLICE) {
            Ok(taken) => {
                pipe.held += taken;
                return Ok(Some(taken));
            }
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                source.readable = false;
                return Ok(None);
            }
            Err(error) => return Err(failed(error)),
        }
    }
}

fn splice_out(pipe: &mut Pipe, sink: &mut Stream) -> Result<usize, Broken> {
    let failed = |error| Broken { operation: Operation::Write, error };
    loop {
        let to = socket(sink, Operation::Write)?;
        let Some((from, _)) = pipe.ends() else { return Err(failed(Errno::BADF)) };
        match splice(from, None, to, None, pipe.held, SPLICE) {
            Ok(sent) => {
                pipe.held = pipe.held.saturating_sub(sent);
                return Ok(sent);
            }
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                sink.writable = false;
                return Ok(0);
            }
            Err(error) => return Err(failed(error)),
        }
    }
}

fn socket(stream: &Stream, operation: Operation) -> Result<BorrowedFd<'_>, Broken> {
    stream.socket().ok_or(Broken { operation, error: Errno::BADF })
}

/// Tells the sink that the stream ended. A sink that is gone already shows it by itself.
fn end(sink: &Stream) {
    if let Some(socket) = sink.socket() {
        let _ = shutdown(socket, Shutdown::Write);
    }
}
