//! Single reads, writes and splices, each of which updates the readiness flags of its stream.

use std::os::fd::BorrowedFd;

use dormouse_sys::credentials::Credentials;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use rustix::pipe::{SpliceFlags, splice};

use crate::fd_passing::{Received, receive_bytes, receive_message, send_message};
use crate::message_credentials::{MessageCredentials, NOBODY};
use crate::passed_fds::PassedFds;
use crate::pipes::Pipe;
use crate::report::{Operation, SocketError};
use crate::stream::{Stream, StreamKind};

/// Reads bytes once. Returns `None` if the socket is empty.
pub(crate) fn read(source: &mut Stream, buffer: &mut [u8]) -> Result<Option<Received>, SocketError> {
    match source.kind {
        StreamKind::Other => read_by(source, |socket| {
            let (bytes, _) = recv(socket, &mut *buffer, RecvFlags::empty())?;
            Ok(Received { bytes, ended_early: false, credentials: None })
        }),
        StreamKind::Unix => read_by(source, |socket| receive_bytes(socket, buffer)),
    }
}

/// Reads bytes once, with what travels with them. Returns `None` if the socket is empty.
pub(crate) fn read_message(
    source: &mut Stream,
    buffer: &mut [u8],
    fds: &mut PassedFds,
) -> Result<Option<Received>, SocketError> {
    read_by(source, |socket| receive_message(socket, buffer, fds))
}

fn read_by(
    source: &mut Stream,
    mut read_once: impl FnMut(BorrowedFd<'_>) -> Result<Received, Errno>,
) -> Result<Option<Received>, SocketError> {
    loop {
        match read_once(socket(source, Operation::Read)?) {
            Ok(received) => {
                if received.bytes == 0 {
                    source.set_input_ended();
                }
                let ended_early = received.ended_early || source.has_urgent_data();
                return Ok(Some(Received { ended_early, ..received }));
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
    match sink.message_credentials {
        MessageCredentials::Own => write_by(sink, |socket| send(socket, bytes, SendFlags::NOSIGNAL)),
        MessageCredentials::Withheld | MessageCredentials::Passed => {
            write_by(sink, |socket| send_message(socket, bytes, &[], Some(NOBODY)))
        }
    }
}

/// Writes once, with what travels with the first byte. The descriptors are let go as soon as a byte is written.
/// `sender`: the credentials for a sink that gets those of the sender.
pub(crate) fn write_message(
    sink: &mut Stream,
    bytes: &[u8],
    fds: &mut PassedFds,
    sender: Option<Credentials>,
) -> Result<usize, SocketError> {
    let credentials = match sink.message_credentials {
        MessageCredentials::Own => None,
        MessageCredentials::Withheld => Some(NOBODY),
        MessageCredentials::Passed => Some(sender.unwrap_or(NOBODY)),
    };
    if fds.is_empty() && credentials.is_none() {
        return write(sink, bytes);
    }
    let sent = write_by(sink, |socket| send_message(socket, bytes, fds.as_slice(), credentials))?;
    if sent > 0 {
        fds.set_delivered();
    }
    Ok(sent)
}

fn write_by(
    sink: &mut Stream,
    mut write_once: impl FnMut(BorrowedFd<'_>) -> Result<usize, Errno>,
) -> Result<usize, SocketError> {
    loop {
        match write_once(socket(sink, Operation::Write)?) {
            Ok(sent) => {
                sink.restore_prompt_acks();
                return Ok(sent);
            }
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                sink.writable = false;
                return Ok(0);
            }
            Err(error) => return Err(SocketError { operation: Operation::Write, error }),
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
