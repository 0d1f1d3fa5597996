//! The stream of a client of the control socket, in which descriptors that the client passes delay nothing.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use dormouse_sys::closer;
use dormouse_sys::message::receive;
use dormouse_sys::socket_fd::{CloseBy, SocketFd};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::UnixStream;

/// A connected UNIX socket. Descriptors that come with the bytes are given up, and the close waits for none.
#[derive(Debug)]
pub(super) struct LocalStream(
    /// `None` only during drop.
    Option<UnixStream>,
);

impl LocalStream {
    pub(super) fn new(stream: UnixStream) -> Self {
        Self(Some(stream))
    }

    fn stream(&mut self) -> io::Result<Pin<&mut UnixStream>> {
        self.0.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl Drop for LocalStream {
    fn drop(&mut self) {
        if let Some(Ok(stream)) = self.0.take().map(UnixStream::into_std) {
            drop(SocketFd::new(OwnedFd::from(stream), CloseBy::Unread));
        }
    }
}

impl AsyncRead for LocalStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let stream = self.stream()?;
        loop {
            ready!(stream.poll_read_ready(cx))?;
            let mut fds = Vec::new();
            let room = buffer.initialize_unfilled();
            let read =
                stream.try_io(Interest::READABLE, || Ok(receive(stream.as_fd(), room, &mut fds)?.bytes));
            closer::discard(fds);
            match read {
                Ok(count) => {
                    buffer.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for LocalStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Read as _;

    use dormouse_sys::message::send;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[tokio::test]
    async fn bytes_pass_and_descriptors_are_given_up() {
        let (far, near) = std::os::unix::net::UnixStream::pair().unwrap();
        let (mut kept, passed) = std::os::unix::net::UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        let mut near = LocalStream::new(UnixStream::from_std(near).unwrap());
        let file = OwnedFd::from(File::open("/dev/null").unwrap());
        assert_eq!(send(far.as_fd(), b"help", &[passed.into(), file], None), Ok(4));
        let mut received = [0; 4];
        near.read_exact(&mut received).await.unwrap();
        assert_eq!(&received, b"help");
        // The end of stream shows that no descriptor of the other end is left.
        assert_eq!(kept.read(&mut [0]).unwrap(), 0);
        near.write_all(b"ok").await.unwrap();
        drop(near);
        let mut answer = String::new();
        (&far).read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "ok");
    }
}
