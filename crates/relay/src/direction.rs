//! One direction of a session: from a source to a sink.

use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::io::Errno;
use rustix::net::{Shutdown, shutdown};

use crate::descriptors::Gate;
use crate::pipes::{PIPE_SIZE, Pipe, Pipes};
use crate::stream::Stream;
use crate::transfer::{
    Broken, Taken, read, read_with_descriptors, splice_in, splice_out, write, write_with_descriptors,
};

/// The thread's copy buffer. Bytes stay in it only between a read and the write that follows.
const BUFFER: usize = 64 << 10;
/// So many full buffers in a row make a flow a bulk flow.
const FULL_READS: u8 = 2;
/// A splice below this is small; so many in a row end the bulk flow.
const SMALL_SPLICE: usize = 16 << 10;
const SMALL_SPLICES: u8 = 4;
/// What one direction may move before the other sessions have their turn.
const TURN: usize = PIPE_SIZE / 2;

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
    /// Both ends are UNIX sockets, between which descriptors can travel with the bytes.
    carries_descriptors: bool,
}

#[derive(Debug)]
enum Flow {
    Small {
        full_reads: u8,
    },
    /// The loan lasts only while there is something to move.
    Bulk {
        small_splices: u8,
        loan: Option<Loan>,
    },
    /// One of the two sockets cannot be spliced.
    NeverBulk,
}

#[derive(Debug)]
struct Loan {
    pipe: Pipe,
    /// Where descriptors travel: what may be spliced without losing one.
    gate: Option<Gate>,
}

#[derive(Debug)]
struct Rest {
    bytes: Vec<u8>,
    start: usize,
    /// They travel with the next byte.
    descriptors: Vec<OwnedFd>,
}

impl Rest {
    fn new(bytes: Vec<u8>, descriptors: Vec<OwnedFd>) -> Option<Box<Self>> {
        (!bytes.is_empty()).then(|| Box::new(Self { bytes, start: 0, descriptors }))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    /// The source ended; what is still held has to reach the sink first.
    Ending,
    /// The sink was told that the stream ended.
    Told,
    /// The close that follows tells the sink.
    Closing,
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

impl Direction {
    /// A direction in which these bytes go first.
    pub(crate) fn new(prefix: Vec<u8>, carries_descriptors: bool) -> Self {
        let rest = Rest::new(prefix, Vec::new());
        Self { passed: 0, flow: Flow::Small { full_reads: 0 }, rest, stage: Stage::Open, carries_descriptors }
    }

    pub(crate) fn ended(&self) -> bool {
        matches!(self.stage, Stage::Told | Stage::Closing)
    }

    /// Whether the sink was told that the stream ended.
    pub(crate) fn told(&self) -> bool {
        self.stage == Stage::Told
    }

    /// Whether bytes were taken from the source that the sink did not get.
    pub(crate) fn holds_bytes(&self) -> bool {
        self.rest.is_some() || matches!(&self.flow, Flow::Bulk { loan: Some(loan), .. } if loan.pipe.held > 0)
    }

    /// Gives up: the sink takes nothing any more. What is held is lost, and no more is read.
    pub(crate) fn cut(&mut self) {
        self.rest = None;
        self.flow = Flow::NeverBulk;
        self.stage = Stage::Closing;
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
                    self.stage = if last { Stage::Closing } else { end(sink) };
                    return Ok(Pause::Ended);
                }
                Stage::Told | Stage::Closing => return Ok(Pause::Ended),
            }
            if !source.readable {
                // An idle direction keeps no pipe.
                if let Flow::Bulk { loan, .. } = &mut self.flow {
                    *loan = None;
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
            let bytes = rest.bytes.get(rest.start..).unwrap_or_default();
            let sent = write_with_descriptors(sink, bytes, &mut rest.descriptors)?;
            self.passed += sent as u64;
            rest.start += sent;
            if rest.start >= rest.bytes.len() {
                self.rest = None;
            }
        }
        while let Flow::Bulk { loan: Some(Loan { pipe, .. }), .. } = &mut self.flow {
            if pipe.held == 0 {
                break;
            }
            if !sink.writable {
                return Ok(false);
            }
            match splice_out(pipe, sink) {
                Ok(sent) => self.passed += sent as u64,
                Err(broken) if broken.error == Errno::INVAL => {
                    self.rest = Rest::new(pipe.empty()?, Vec::new());
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
        if let Flow::Bulk { small_splices, loan } = &mut self.flow {
            if *small_splices >= SMALL_SPLICES || !borrow(loan, self.carries_descriptors, source, pipes) {
                self.flow = Flow::Small { full_reads: 0 };
            }
        }
        if let Flow::Bulk { loan: Some(loan), .. } = &mut self.flow {
            let limit = loan.gate.as_ref().map_or(Some(PIPE_SIZE), |gate| gate.open_for(source));
            // Where the gate is shut the next bytes are copied, with what travels with them.
            if let Some(limit) = limit.filter(|limit| *limit > 0) {
                return self.fill_pipe(source, limit.min(PIPE_SIZE));
            }
        }
        let (taken, full) = self.copy(source, sink)?;
        if let Flow::Small { full_reads } = &mut self.flow {
            *full_reads = if full { *full_reads + 1 } else { 0 };
            if *full_reads >= FULL_READS {
                self.flow = Flow::Bulk { small_splices: 0, loan: None };
            }
        }
        Ok(taken)
    }

    /// One read and one write through the thread's buffer; what the sink leaves over is kept on the heap.
    fn copy(&mut self, source: &mut Stream, sink: &mut Stream) -> Result<(usize, bool), Broken> {
        SCRATCH.with_borrow_mut(|buffer| {
            let mut descriptors = Vec::new();
            let read = if self.carries_descriptors {
                read_with_descriptors(source, buffer, &mut descriptors)?
            } else {
                read(source, buffer)?
            };
            let Some(Taken { bytes: taken, ends_early }) = read else { return Ok((0, false)) };
            if taken == 0 {
                self.stage = Stage::Ending;
                return Ok((0, false));
            }
            let full = taken == buffer.len();
            // A short read emptied the socket, and whatever comes next is a new event.
            source.readable = full || ends_early;
            let bytes = buffer.get(..taken).unwrap_or_default();
            let sent = match (sink.writable, descriptors.is_empty()) {
                (false, _) => 0,
                (true, true) => write(sink, bytes)?,
                (true, false) => write_with_descriptors(sink, bytes, &mut descriptors)?,
            };
            self.passed += sent as u64;
            if sent < taken {
                let left = bytes.get(sent..).unwrap_or_default();
                self.rest = Rest::new(left.to_vec(), descriptors);
            }
            Ok((taken, full))
        })
    }

    fn fill_pipe(&mut self, source: &mut Stream, limit: usize) -> Result<usize, Broken> {
        let Flow::Bulk { small_splices, loan: Some(Loan { pipe, .. }) } = &mut self.flow else {
            return Ok(0);
        };
        match splice_in(source, pipe, limit) {
            Ok(None) if !source.has_mark() => Ok(0),
            // A splice does not get past urgent data, and then looks as if there were nothing, or no more to come: a
            // read tells.
            Ok(None | Some(0)) => {
                self.flow = Flow::Small { full_reads: 0 };
                source.readable = true;
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

/// Makes sure that there is a pipe, and a gate where descriptors travel.
fn borrow(place: &mut Option<Loan>, carries_descriptors: bool, source: &Stream, pipes: &Arc<Pipes>) -> bool {
    if place.is_none() {
        let gate = if carries_descriptors { Gate::new(source).map(Some) } else { Some(None) };
        *place = gate.and_then(|gate| Some(Loan { pipe: pipes.lend()?, gate }));
    }
    place.is_some()
}

/// Tells the sink that the stream ended. A sink that is gone already shows it by itself.
fn end(sink: &Stream) -> Stage {
    if let Some(socket) = sink.socket() {
        let _ = shutdown(socket, Shutdown::Write);
    }
    Stage::Told
}
