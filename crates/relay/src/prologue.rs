//! The beginning of what a peer says, taken before anything is relayed: exactly so much of it, and not a byte more.

use std::fmt;
use std::future::poll_fn;
use std::task::{Context, Poll};

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

use crate::stream::Stream;

/// Why there is no such beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrologueError {
    /// The peer ended its stream after so many bytes of it.
    Ended {
        /// How many there were.
        after: usize,
    },
    /// It is longer than it may be.
    TooLong,
    /// The socket failed.
    Failed(Errno),
}

impl fmt::Display for PrologueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended { after } => write!(f, "the stream ended after {after} bytes"),
            Self::TooLong => f.write_str("too long"),
            Self::Failed(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for PrologueError {}

impl Stream {
    /// Takes the beginning of what the peer says. `judge` sees all that has come of it, at most `most` bytes, and says
    /// how many of them it is and what they mean, or `None` if it needs more; then those that it has seen are a part of
    /// it. It waits for as long as the peer is silent.
    ///
    /// # Errors
    /// When the peer ends before, or says more than `most` bytes, or its socket fails.
    pub async fn take_prologue<T>(
        &mut self,
        most: usize,
        mut judge: impl FnMut(&[u8]) -> Option<(usize, T)>,
    ) -> Result<T, PrologueError> {
        let mut heard = Heard { bytes: vec![0; most], taken: 0 };
        poll_fn(|cx| self.poll_prologue(cx, &mut heard, &mut judge)).await
    }

    fn poll_prologue<T>(
        &mut self,
        cx: &mut Context<'_>,
        heard: &mut Heard,
        judge: &mut impl FnMut(&[u8]) -> Option<(usize, T)>,
    ) -> Poll<Result<T, PrologueError>> {
        loop {
            if self.poll_events(cx, false).is_err() {
                return Poll::Ready(Err(PrologueError::Failed(Errno::IO)));
            }
            if !self.readable {
                return Poll::Pending;
            }
            match heard.look(self) {
                Ok(0) => return Poll::Ready(Err(PrologueError::Ended { after: heard.taken })),
                Ok(seen) => {
                    let all = heard.bytes.get(..heard.taken + seen).unwrap_or(&heard.bytes);
                    let judged = judge(all);
                    let until = judged.as_ref().map_or(all.len(), |(length, _)| *length);
                    if let Err(error) = heard.take(self, until) {
                        return Poll::Ready(Err(PrologueError::Failed(error)));
                    }
                    match judged {
                        Some((_, meaning)) => return Poll::Ready(Ok(meaning)),
                        None if heard.taken == heard.bytes.len() => {
                            return Poll::Ready(Err(PrologueError::TooLong));
                        }
                        None => {}
                    }
                }
                Err(Errno::AGAIN) => self.readable = false,
                Err(Errno::INTR) => {}
                Err(error) => return Poll::Ready(Err(PrologueError::Failed(error))),
            }
        }
    }
}

/// What was taken so far, with room for the rest.
struct Heard {
    bytes: Vec<u8>,
    taken: usize,
}

impl Heard {
    /// Looks at what waits in the socket, and leaves it there.
    fn look(&mut self, stream: &Stream) -> Result<usize, Errno> {
        let room = self.bytes.get_mut(self.taken..).unwrap_or_default();
        let (seen, _) = recv(stream.socket().ok_or(Errno::BADF)?, room, RecvFlags::PEEK)?;
        Ok(seen)
    }

    /// Takes what was looked at out of the socket, up to here.
    fn take(&mut self, stream: &Stream, until: usize) -> Result<(), Errno> {
        while self.taken < until {
            let room = self.bytes.get_mut(self.taken..until).unwrap_or_default();
            match recv(stream.socket().ok_or(Errno::BADF)?, room, RecvFlags::empty()) {
                // It was there a moment ago.
                Ok((0, _)) => return Err(Errno::CONNRESET),
                Ok((taken, _)) => self.taken += taken,
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

    use super::*;
    use crate::stream::Kind;

    fn pair() -> (UnixStream, Stream) {
        let (far, near) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        (far, Stream::new(near.into(), Kind::Unix, false).unwrap())
    }

    /// All up to the first full stop.
    fn sentence(bytes: &[u8]) -> Option<(usize, String)> {
        let end = bytes.iter().position(|byte| *byte == b'.')? + 1;
        Some((end, String::from_utf8_lossy(&bytes[..end]).into_owned()))
    }

    #[tokio::test]
    async fn it_is_taken_and_what_follows_stays() {
        let (mut far, mut near) = pair();
        far.write_all(b"One two. Three").unwrap();
        assert_eq!(near.take_prologue(64, sentence).await.unwrap(), "One two.");
        let mut rest = [0; 16];
        let (length, _) = recv(near.socket().unwrap(), &mut rest, RecvFlags::empty()).unwrap();
        assert_eq!(&rest[..length], b" Three");
    }

    #[tokio::test]
    async fn it_may_come_byte_by_byte() {
        let (mut far, mut near) = pair();
        let speaking = async {
            for byte in b"Byte by byte.rest" {
                far.write_all(&[*byte]).unwrap();
                tokio::task::yield_now().await;
            }
        };
        let (said, ()) = tokio::join!(near.take_prologue(64, sentence), speaking);
        assert_eq!(said.unwrap(), "Byte by byte.");
    }

    #[tokio::test]
    async fn an_end_before_it_is_noticed_with_and_without_a_byte() {
        for words in ["", "half a"] {
            let (mut far, mut near) = pair();
            far.write_all(words.as_bytes()).unwrap();
            far.shutdown(Shutdown::Write).unwrap();
            let cut = near.take_prologue(64, sentence).await.unwrap_err();
            assert_eq!(cut, PrologueError::Ended { after: words.len() });
            drop(near);
            far.read_exact(&mut [0]).unwrap_err();
        }
    }

    #[tokio::test]
    async fn it_does_not_grow_for_ever() {
        let (mut far, mut near) = pair();
        far.write_all(&[b'x'; 100]).unwrap();
        assert_eq!(near.take_prologue(64, sentence).await.unwrap_err(), PrologueError::TooLong);
    }
}
