//! Single reads and writes, with what they say of a stream's readiness.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use rustix::pipe::{SpliceFlags, splice};

use crate::descriptors::{post, receive, receive_bytes};
use crate::pipes::Pipe;
use crate::report::Operation;
use crate::stream::{Kind, Stream};

/// A socket failed; the operation says which of the two.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Broken {
    pub(crate) operation: Operation,
    pub(crate) error: Errno,
}

/// What one read gave.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taken {
    /// How many bytes; zero at the end of the stream.
    pub(crate) bytes: usize,
    /// More may wait although there was room for it.
    pub(crate) ends_early: bool,
}

/// Reads bytes once: `None` when there is nothing.
pub(crate) fn read(source: &mut Stream, buffer: &mut [u8]) -> Result<Option<Taken>, Broken> {
    match source.kind {
        Kind::Plain => read_by(source, |socket| {
            let (bytes, _) = recv(socket, &mut *buffer, RecvFlags::empty())?;
            Ok(Taken { bytes, ends_early: false })
        }),
        Kind::Unix => read_by(source, |socket| receive_bytes(socket, buffer)),
    }
}

/// Reads once, and takes the descriptors that travel with the bytes.
pub(crate) fn read_with_descriptors(
    source: &mut Stream,
    buffer: &mut [u8],
    descriptors: &mut Vec<OwnedFd>,
) -> Result<Option<Taken>, Broken> {
    read_by(source, |socket| receive(socket, buffer, descriptors))
}

fn read_by(
    source: &mut Stream,
    mut once: impl FnMut(BorrowedFd<'_>) -> Result<Taken, Errno>,
) -> Result<Option<Taken>, Broken> {
    loop {
        match once(socket(source, Operation::Read)?) {
            Ok(Taken { bytes, ends_early }) => {
                return Ok(Some(Taken { bytes, ends_early: ends_early || source.has_mark() }));
            }
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                source.readable = false;
                return Ok(None);
            }
            Err(error) => return Err(Broken { operation: Operation::Read, error }),
        }
    }
}

/// Writes once; zero when there is no room.
pub(crate) fn write(sink: &mut Stream, bytes: &[u8]) -> Result<usize, Broken> {
    let failed = |error| Broken { operation: Operation::Write, error };
    loop {
        match send(socket(sink, Operation::Write)?, bytes, SendFlags::NOSIGNAL) {
            Ok(sent) => {
                sink.written();
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

/// Writes once, with these descriptors at the first byte; they are gone when a byte is.
pub(crate) fn write_with_descriptors(
    sink: &mut Stream,
    bytes: &[u8],
    descriptors: &mut Vec<OwnedFd>,
) -> Result<usize, Broken> {
    if descriptors.is_empty() {
        return write(sink, bytes);
    }
    let failed = |error| Broken { operation: Operation::Write, error };
    loop {
        match post(socket(sink, Operation::Write)?, bytes, descriptors) {
            Ok(sent) => {
                descriptors.clear();
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

const SPLICE: SpliceFlags = SpliceFlags::MOVE.union(SpliceFlags::NONBLOCK);

/// Fills an empty pipe: `None` when the source has nothing (the pipe being empty, EAGAIN can mean nothing else).
pub(crate) fn splice_in(source: &mut Stream, pipe: &mut Pipe, limit: usize) -> Result<Option<usize>, Broken> {
    let failed = |error| Broken { operation: Operation::Read, error };
    loop {
        let from = socket(source, Operation::Read)?;
        let Some((_, to)) = pipe.ends() else { return Err(failed(Errno::BADF)) };
        match splice(from, None, to, None, limit, SPLICE) {
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

pub(crate) fn splice_out(pipe: &mut Pipe, sink: &mut Stream) -> Result<usize, Broken> {
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
