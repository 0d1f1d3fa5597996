//! A pipe for the bytes in flight of one flow, and how many bytes may go through it.

use std::sync::Arc;

use crate::fd_passing::SpliceGuard;
use crate::pipes::{PIPE_SIZE, Pipe, Pipes};
use crate::stream::{IncomingFds, Stream};

/// A pipe for the bytes in flight.
#[derive(Debug)]
pub(crate) struct PipeLease {
    pub(crate) pipe: Pipe,
    /// Present where descriptors may come, so that a splice loses none, and does not wait for the close of one.
    guard: Option<SpliceGuard>,
}

impl PipeLease {
    /// Returns `None` if there is no pipe, or if it is not known whether descriptors come.
    pub(crate) fn new(source: &mut Stream, pipes: &Arc<Pipes>) -> Option<Self> {
        let mut guard = None;
        if source.incoming_fds != IncomingFds::None {
            let queue = SpliceGuard::new(source.socket()?)?;
            if source.incoming_fds == IncomingFds::Refused && queue.is_empty() {
                source.incoming_fds = IncomingFds::None;
            } else {
                guard = Some(queue);
            }
        }
        Some(Self { pipe: pipes.lease()?, guard })
    }

    /// Returns how many bytes may be spliced; `None` if some of them may carry descriptors.
    pub(crate) fn spliceable_bytes(&self, source: &Stream) -> Option<usize> {
        match &self.guard {
            None => Some(PIPE_SIZE),
            Some(guard) => guard.spliceable_bytes(source.socket()?).map(|bytes| bytes.min(PIPE_SIZE)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use dormouse_sys::message::send;

    use super::*;
    use crate::stream::StreamKind;

    #[tokio::test]
    async fn bytes_with_descriptors_are_never_spliced() {
        let pipes = Pipes::new(64);
        let (mut far, near) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        let mut source = Stream::new(near.into(), StreamKind::Unix, false).unwrap();
        let spliceable =
            |source: &mut Stream| PipeLease::new(source, &pipes).unwrap().spliceable_bytes(source);
        far.write_all(b"bytes").unwrap();
        assert_eq!(spliceable(&mut source), Some(5));
        let file = File::open("/dev/null").unwrap().into();
        assert_eq!(send(far.as_fd(), b"x", &[file], None), Ok(1));
        assert_eq!(spliceable(&mut source), None);
        // The kernel refuses further ones, but one waits.
        source.incoming_fds = IncomingFds::Refused;
        assert_eq!(spliceable(&mut source), None);
        while source.receive(&mut [0; 64]).is_ok() {}
        assert_eq!(spliceable(&mut source), Some(PIPE_SIZE));
        assert_eq!(source.incoming_fds, IncomingFds::None);
    }
}
