//! Looks at what a peer has sent without consuming it: whether data waits, whether the peer has left, and a prefix such
//! as a PROXY header, of which exactly its own bytes are consumed.

use std::fmt;
use std::future::poll_fn;
use std::task::{Context, Poll};

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

use crate::stream::{Stream, StreamKind};

/// Why a stream has no such prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeekError {
    /// The peer ended its stream within the prefix.
    Ended {
        /// The number of bytes before the end of stream.
        after: usize,
    },
    /// The prefix is longer than the limit.
    TooLong,
    /// The socket failed.
    Failed(Errno),
}

impl fmt::Display for PeekError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended { after } => write!(f, "the stream ended after {after} bytes"),
            Self::TooLong => f.write_str("too long"),
            Self::Failed(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for PeekError {}

impl Stream {
    /// Waits for data to read. Returns false if the peer closes, resets or ends its stream without a byte.
    pub async fn wait_for_data(&mut self) -> bool {
        poll_fn(|cx| self.poll_data(cx)).await
    }

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        loop {
            if self.poll_events(cx, true).is_err() {
                return Poll::Ready(false);
            }
            let Some(socket) = self.socket() else { return Poll::Ready(false) };
            match recv(socket, &mut [0; 1], RecvFlags::PEEK) {
                Ok((waiting, _)) => return Poll::Ready(waiting > 0),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) if self.readable => self.readable = false,
                Err(Errno::AGAIN) => return Poll::Pending,
                Err(_) => return Poll::Ready(false),
            }
        }
    }

    /// Waits until the peer has left and nothing needs to be delivered: after a reset, after a UNIX socket's close,
    /// or for other families after an end of stream without a byte.
    ///
    /// A peer that sent bytes and half-closed waits for an answer. A peer that sent bytes and closed wants them
    /// delivered. Both look the same, so neither counts as left.
    pub async fn wait_for_departure(&mut self) {
        poll_fn(|cx| self.poll_departure(cx)).await;
    }

    fn poll_departure(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.poll_events(cx, true).is_err() {
                // The socket cannot be watched any more. The next operation reports the reason.
                return Poll::Ready(());
            }
            let Some(socket) = self.socket() else { return Poll::Ready(()) };
            match recv(socket, &mut [0; 1], RecvFlags::PEEK) {
                // A half-close, for example by a peer that only receives. A close would show as a hang-up.
                Ok((0, _)) if self.kind == StreamKind::Unix && !self.hung_up => return Poll::Pending,
                Ok((0, _)) => return Poll::Ready(()),
                // Bytes wait for delivery. A later reset shows as a hang-up with an error.
                Ok(_) if self.hung_up => return self.take_error().map_or(Poll::Pending, |_| Poll::Ready(())),
                Err(Errno::INTR) => {}
                // The next byte wakes the task only after the flag has been cleared and the events polled again.
                Err(Errno::AGAIN) if self.readable => self.readable = false,
                Ok(_) | Err(Errno::AGAIN) => return Poll::Pending,
                Err(_) => return Poll::Ready(()),
            }
        }
    }

    /// Consumes a prefix of the peer's stream, and not a byte more.
    ///
    /// `parse` receives everything that has arrived of the prefix, at most `limit` bytes. It returns the prefix's
    /// length and its meaning, or `None` if it needs more bytes; then all bytes that it has seen belong to the
    /// prefix. There is no timeout.
    ///
    /// # Errors
    /// When the peer ends its stream first, sends more than `limit` bytes, or the socket fails.
    pub async fn take_prefix<T>(
        &mut self,
        limit: usize,
        mut parse: impl FnMut(&[u8]) -> Option<(usize, T)>,
    ) -> Result<T, PeekError> {
        let mut prefix = Prefix { bytes: vec![0; limit], consumed: 0 };
        poll_fn(|cx| self.poll_prefix(cx, &mut prefix, &mut parse)).await
    }

    fn poll_prefix<T>(
        &mut self,
        cx: &mut Context<'_>,
        prefix: &mut Prefix,
        parse: &mut impl FnMut(&[u8]) -> Option<(usize, T)>,
    ) -> Poll<Result<T, PeekError>> {
        loop {
            if self.poll_events(cx, false).is_err() {
                return Poll::Ready(Err(PeekError::Failed(Errno::IO)));
            }
            if !self.readable {
                return Poll::Pending;
            }
            match prefix.peek(self) {
                Ok(0) => return Poll::Ready(Err(PeekError::Ended { after: prefix.consumed })),
                Ok(peeked) => {
                    let all = prefix.bytes.get(..prefix.consumed + peeked).unwrap_or(&prefix.bytes);
                    let parsed = parse(all);
                    let end = parsed.as_ref().map_or(all.len(), |(length, _)| *length);
                    if let Err(error) = prefix.consume(self, end) {
                        return Poll::Ready(Err(PeekError::Failed(error)));
                    }
                    match parsed {
                        Some((_, meaning)) => return Poll::Ready(Ok(meaning)),
                        None if prefix.consumed == prefix.bytes.len() => {
                            return Poll::Ready(Err(PeekError::TooLong));
                        }
                        None => {}
                    }
                }
                Err(Errno::AGAIN) => self.readable = false,
                Err(Errno::INTR) => {}
                Err(error) => return Poll::Ready(Err(PeekError::Failed(error))),
            }
        }
    }
}

/// The consumed part of a prefix, with room for the rest.
struct Prefix {
    bytes: Vec<u8>,
    consumed: usize,
}

impl Prefix {
    /// Copies the bytes that wait in the socket, without consuming them.
    fn peek(&mut self, stream: &Stream) -> Result<usize, Errno> {
        let room = self.bytes.get_mut(self.consumed..).unwrap_or_default();
        let (peeked, _) = recv(stream.socket().ok_or(Errno::BADF)?, room, RecvFlags::PEEK)?;
        Ok(peeked)
    }

    /// Consumes bytes that were peeked at, up to this offset.
    fn consume(&mut self, stream: &Stream, end: usize) -> Result<(), Errno> {
        while self.consumed < end {
            let room = self.bytes.get_mut(self.consumed..end).unwrap_or_default();
            match stream.receive(room) {
                // The bytes were in the socket when they were peeked at.
                Ok(0) => return Err(Errno::CONNRESET),
                Ok(consumed) => self.consumed += consumed,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::Shutdown;
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    /// Returns a connection: the peer's end, and the stream.
    fn pair() -> (UnixStream, Stream) {
        let (far, near) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        (far, Stream::new(near.into(), StreamKind::Unix, false).unwrap())
    }

    /// Parses everything up to the first full stop.
    fn sentence(bytes: &[u8]) -> Option<(usize, String)> {
        let end = bytes.iter().position(|byte| *byte == b'.')? + 1;
        Some((end, String::from_utf8_lossy(&bytes[..end]).into_owned()))
    }

    #[tokio::test]
    async fn take_prefix_leaves_the_bytes_after_the_prefix() {
        let (mut far, mut near) = pair();
        far.write_all(b"One two. Three").unwrap();
        assert_eq!(near.take_prefix(64, sentence).await.unwrap(), "One two.");
        let mut rest = [0; 16];
        let (length, _) = recv(near.socket().unwrap(), &mut rest, RecvFlags::empty()).unwrap();
        assert_eq!(&rest[..length], b" Three");
    }

    #[tokio::test]
    async fn a_prefix_may_arrive_byte_by_byte() {
        let (mut far, mut near) = pair();
        let sending = async {
            for byte in b"Byte by byte.rest" {
                far.write_all(&[*byte]).unwrap();
                tokio::task::yield_now().await;
            }
        };
        let (prefix, ()) = tokio::join!(near.take_prefix(64, sentence), sending);
        assert_eq!(prefix.unwrap(), "Byte by byte.");
    }

    #[tokio::test]
    async fn an_end_of_stream_before_the_prefix_is_an_error() {
        for text in ["", "half a"] {
            let (mut far, mut near) = pair();
            far.write_all(text.as_bytes()).unwrap();
            far.shutdown(Shutdown::Write).unwrap();
            let error = near.take_prefix(64, sentence).await.unwrap_err();
            assert_eq!(error, PeekError::Ended { after: text.len() });
            drop(near);
            far.read_exact(&mut [0]).unwrap_err();
        }
    }

    #[tokio::test]
    async fn a_prefix_longer_than_the_limit_is_an_error() {
        let (mut far, mut near) = pair();
        far.write_all(&[b'x'; 100]).unwrap();
        assert_eq!(near.take_prefix(64, sentence).await.unwrap_err(), PeekError::TooLong);
    }

    #[tokio::test]
    async fn waiting_for_data_consumes_nothing_and_ends_with_the_stream() {
        let (mut far, mut near) = pair();
        far.write_all(b"x").unwrap();
        assert!(near.wait_for_data().await);
        assert!(near.wait_for_data().await, "the byte was consumed");
        let (far, mut near) = pair();
        drop(far);
        assert!(!near.wait_for_data().await);
    }

    #[tokio::test]
    async fn a_peer_that_closed_has_left_and_one_that_half_closed_has_not() {
        let (far, mut near) = pair();
        far.shutdown(Shutdown::Write).unwrap();
        assert!(timeout(Duration::from_millis(20), near.wait_for_departure()).await.is_err());
        drop(far);
        timeout(Duration::from_secs(10), near.wait_for_departure()).await.unwrap();
    }
}
