//! Single reads, writes and splices, each of which updates the readiness flags of its stream.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use rustix::pipe::{SpliceFlags, splice};

use crate::fd_passing::{Received, receive, receive_with_fds, send_with_fds};
use crate::pipes::Pipe;
use crate::report::{Operation, SocketError};
use crate::stream::{Stream, StreamKind};

/// Reads bytes once. Returns `None` if the socket is empty.
pub(crate) fn read(source: &mut Stream, buffer: &mut [u8]) -> Result<Option<Received>, SocketError> {
    match source.kind {
        StreamKind::Other => read_by(source, |socket| {
            let (bytes, _) = recv(socket, &mut *buffer, RecvFlags::empty())?;
            Ok(Received { bytes, ended_early: false })
        }),
        StreamKind::Unix => read_by(source, |socket| receive(socket, buffer)),
    }
}

/// Reads bytes once, with the descriptors that travel with them. Returns `None` if the socket is empty.
pub(crate) fn read_with_fds(
    source: &mut Stream,
    buffer: &mut [u8],
    fds: &mut Vec<OwnedFd>,
) -> Result<Option<Received>, SocketError> {
    read_by(source, |socket| receive_with_fds(socket, buffer, fds))
}

fn read_by(
    source: &mut Stream,
    mut read_once: impl FnMut(BorrowedFd<'_>) -> Result<Received, Errno>,
) -> Result<Option<Received>, SocketError> {
    loop {
        match read_once(socket(source, Operation::Read)?) {
            Ok(Received { bytes, ended_early }) => {
                return Ok(Some(Received { bytes, ended_early: ended_early || source.has_urgent_data() }));
            }
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                source.readable = false;
                return Ok(None);
            }
            Err(error) => return Err(SocketError { operation: Operation::Read, error }),
        }
    }
}

/// Writes once. Returns zero if the socket has no room.
pub(crate) fn write(sink: &mut Stream, bytes: &[u8]) -> Result<usize, SocketError> {
    let failed = |error| SocketError { operation: Operation::Write, error };
    loop {
        match send(socket(sink, Operation::Write)?, bytes, SendFlags::NOSIGNAL) {
            Ok(sent) => {
                sink.restore_prompt_acks();
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

/// Writes once, with the descriptors attached to the first byte. The list is cleared as soon as a byte is written.
pub(crate) fn write_with_fds(
    sink: &mut Stream,
    bytes: &[u8],
    fds: &mut Vec<OwnedFd>,
) -> Result<usize, SocketError> {
    if fds.is_empty() {
        return write(sink, bytes);
    }
    let failed = |error| SocketError { operation: Operation::Write, error };
    loop {
        match send_with_fds(socket(sink, Operation::Write)?, bytes, fds) {
            Ok(sent) => {
                fds.clear();
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

/// Fills an empty pipe. Returns `None` if the source is empty: with an empty pipe, EAGAIN can mean nothing else.
pub(crate) fn splice_in(
    source: &mut Stream,
    pipe: &mut Pipe,
    limit: usize,
) -> Result<Option<usize>, SocketError> {
    let failed = |error| SocketError { operation: Operation::Read, error };
    loop {
        let from = socket(source, Operation::Read)?;
        let Some((_, to)) = pipe.ends() else { return Err(failed(Errno::BADF)) };
        match splice(from, None, to, None, limit, SPLICE) {
            Ok(received) => {
                pipe.buffered += received;
                return Ok(Some(received));
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

/// Empties a pipe into the sink. Returns zero if the socket has no room.
pub(crate) fn splice_out(pipe: &mut Pipe, sink: &mut Stream) -> Result<usize, SocketError> {
    let failed = |error| SocketError { operation: Operation::Write, error };
    loop {
        let to = socket(sink, Operation::Write)?;
        let Some((from, _)) = pipe.ends() else { return Err(failed(Errno::BADF)) };
        match splice(from, None, to, None, pipe.buffered, SPLICE) {
            Ok(sent) => {
                pipe.buffered = pipe.buffered.saturating_sub(sent);
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

fn socket(stream: &Stream, operation: Operation) -> Result<BorrowedFd<'_>, SocketError> {
    stream.socket().ok_or(SocketError { operation, error: Errno::BADF })
}
