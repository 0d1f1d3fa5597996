//! The first exchange with a server that has just been started, which can be replayed on another connection.
//!
//! Until its first byte, a connection may turn out to lead nowhere: a container engine's port forwarder accepts and
//! drops connections before the program behind it listens. The client's bytes are kept until the server's first byte,
//! so that they can be sent again over the next connection.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use dormouse_sys::send_queue::unacknowledged;
use rustix::io::Errno;
use rustix::net::{RecvFlags, Shutdown, recv, shutdown};
use tokio::time::sleep;

use crate::fd_passing::Received;
use crate::pipes::Pipes;
use crate::stream::Stream;
use crate::transfer::{read, write};

/// The most bytes of a client that are kept.
const MAX_BUFFER: usize = 64 << 10;
/// The time between two looks at whether the server has acknowledged the last bytes.
const ACK_INTERVAL: Duration = Duration::from_millis(2);

/// What the client has sent so far, after the PROXY header, and how much of it the current server has received.
#[derive(Debug, Default)]
pub struct ReplayBuffer {
    bytes: Vec<u8>,
    /// The number of bytes that were sent to this server.
    sent: usize,
    client_end: ClientEnd,
}

/// How far the client's end of stream has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum ClientEnd {
    #[default]
    Open,
    /// The client has ended its stream.
    Received,
    /// The end of stream was sent to this server.
    Sent,
}

/// How a replayable exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExchangeEnd {
    /// The server has answered. Its first byte waits in the socket.
    Answered,
    /// The connection ended before the first byte. The exchange may be replayed on another connection.
    Dropped(Errno),
    /// The client has sent more than the buffer keeps, so nothing can be replayed from now on.
    NotReplayable,
    /// Both sides ended their streams in good order, without an answer.
    Finished,
    /// The client has left.
    ClientLeft,
}

/// A first exchange between a client and a server. Dropping it before [`Self::finish`] aborts the session: both sides
/// see a reset, as with a [`crate::Relay`].
#[derive(Debug)]
pub struct Replay<'a> {
    buffer: &'a mut ReplayBuffer,
    client: &'a mut Stream,
    server: &'a mut Stream,
    pipes: &'a Pipes,
    finished: bool,
}

impl<'a> Replay<'a> {
    /// Joins a client and a server. `pipes` are those of the session.
    pub fn new(
        buffer: &'a mut ReplayBuffer,
        client: &'a mut Stream,
        server: &'a mut Stream,
        pipes: &'a Pipes,
    ) -> Self {
        Self { buffer, client, server, pipes, finished: false }
    }

    /// Relays the client's bytes until the server's first byte, or until the exchange ends in another way.
    pub async fn outcome(&mut self) -> ExchangeEnd {
        self.buffer.exchange(self.client, self.server).await
    }

    /// Releases both sockets without a reset. The caller decides what happens to them.
    pub fn finish(mut self) {
        self.finished = true;
    }
}

impl Drop for Replay<'_> {
    fn drop(&mut self) {
        if !self.finished && (self.buffer.has_unsent() || !self.pipes.process_exiting()) {
            self.client.reset_on_close();
            self.server.reset_on_close();
        }
    }
}

impl ReplayBuffer {
    /// Returns a buffer that sends `prefix` before the client's bytes.
    pub fn new(prefix: Vec<u8>) -> Self {
        Self { bytes: prefix, ..Self::default() }
    }

    /// Prepares the buffer for another server, which has received nothing yet.
    pub fn rewind(&mut self) {
        self.sent = 0;
        if self.client_end == ClientEnd::Sent {
            self.client_end = ClientEnd::Received;
        }
    }

    /// Returns the number of bytes that were sent to the server.
    pub fn sent(&self) -> usize {
        self.sent
    }

    fn has_unsent(&self) -> bool {
        self.sent < self.bytes.len()
    }

    /// Returns the bytes that were not yet sent to the server.
    pub fn into_unsent(mut self) -> Vec<u8> {
        self.bytes.split_off(self.sent.min(self.bytes.len()))
    }

    async fn exchange(&mut self, client: &mut Stream, server: &mut Stream) -> ExchangeEnd {
        let outcome = poll_fn(|cx| self.poll(cx, client, server)).await;
        if outcome == ExchangeEnd::Finished { confirm_delivery(server).await } else { outcome }
    }

    fn poll(&mut self, cx: &mut Context<'_>, client: &mut Stream, server: &mut Stream) -> Poll<ExchangeEnd> {
        loop {
            if let Some(outcome) = self.step(client, server) {
                return Poll::Ready(outcome);
            }
            let flags = |stream: &Stream| (stream.readable, stream.writable, stream.hung_up);
            let before = (flags(client), flags(server));
            // Both are watched for a hang-up, because for now nothing may read from them.
            if client.poll_events(cx, true).is_err() || server.poll_events(cx, true).is_err() {
                return Poll::Ready(ExchangeEnd::NotReplayable);
            }
            if (flags(client), flags(server)) == before {
                return Poll::Pending;
            }
        }
    }

    /// Moves what can be moved without waiting. Returns the outcome, if there is one.
    fn step(&mut self, client: &mut Stream, server: &mut Stream) -> Option<ExchangeEnd> {
        if let Some(outcome) = self.peek_at_server(server) {
            return Some(outcome);
        }
        loop {
            while server.writable && self.has_unsent() {
                match write(server, self.bytes.get(self.sent..).unwrap_or_default()) {
                    Ok(sent) => self.sent += sent,
                    Err(failed) => return Some(ExchangeEnd::Dropped(failed.error)),
                }
            }
            if self.client_end == ClientEnd::Received && self.sent == self.bytes.len() {
                self.client_end = ClientEnd::Sent;
                if let Some(socket) = server.socket() {
                    // If the server has closed, the next look at it shows that.
                    let _ = shutdown(socket, Shutdown::Write);
                }
            }
            if self.client_end != ClientEnd::Open || !client.readable {
                return None;
            }
            if self.bytes.len() >= MAX_BUFFER {
                return Some(ExchangeEnd::NotReplayable);
            }
            let mut piece = [0; 4096];
            match read(client, &mut piece) {
                Ok(Some(Received { bytes: 0, .. })) => self.client_end = ClientEnd::Received,
                Ok(Some(Received { bytes, .. })) => {
                    self.bytes.extend_from_slice(piece.get(..bytes).unwrap_or_default());
                }
                Ok(None) => return None,
                Err(_) => return Some(ExchangeEnd::ClientLeft),
            }
        }
    }

    /// Looks for the server's first byte or its end, without consuming anything.
    fn peek_at_server(&self, server: &mut Stream) -> Option<ExchangeEnd> {
        while server.readable {
            let Some(socket) = server.socket() else { return Some(ExchangeEnd::Dropped(Errno::BADF)) };
            match recv(socket, &mut [0; 1], RecvFlags::PEEK) {
                Ok((0, _)) if self.client_end == ClientEnd::Sent => return Some(ExchangeEnd::Finished),
                Ok((0, _)) => return Some(ExchangeEnd::Dropped(Errno::PIPE)),
                Ok(_) => return Some(ExchangeEnd::Answered),
                Err(Errno::AGAIN) => server.readable = false,
                Err(Errno::INTR) => {}
                Err(error) => return Some(ExchangeEnd::Dropped(error)),
            }
        }
        if server.hung_up { server.take_error().map(ExchangeEnd::Dropped) } else { None }
    }
}

/// Waits until a server that has ended its stream without an answer has acknowledged all bytes.
///
/// A server that had closed before does not acknowledge them but answers with a reset, which may still be on its way.
/// No event shows the reset, because the stream has ended already, so the socket is polled.
async fn confirm_delivery(server: &Stream) -> ExchangeEnd {
    loop {
        // In this order: bytes that were acknowledged are not answered by a reset afterwards.
        let is_acknowledged = server.socket().is_none_or(|socket| unacknowledged(socket).unwrap_or(0) == 0);
        if let Some(error) = server.take_error() {
            return ExchangeEnd::Dropped(error);
        }
        if is_acknowledged {
            return ExchangeEnd::Finished;
        }
        sleep(ACK_INTERVAL).await;
    }
}

#[cfg(test)]
mod tests;
