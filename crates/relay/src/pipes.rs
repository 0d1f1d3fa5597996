//! A pool of pipes for bulk flows. A flow leases a pipe while bytes are in flight, and returns it empty.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

use crate::report::{Operation, SocketError};

/// The most bytes that one splice moves. At this size the cost of the system call is negligible.
pub(crate) const PIPE_SIZE: usize = 1 << 20;
/// A smaller pipe (pipe-user-pages-soft, pipe(7)) is slower than copying.
const MIN_PIPE_SIZE: usize = 128 << 10;
/// Half of what pipe-user-pages-soft allows an unprivileged user by default.
const MAX_PIPES: usize = 32;
/// The two ends of a pipe, and the fdinfo of a socket that carries descriptors.
const FDS_PER_PIPE: usize = 3;
/// The most pipes that are kept for the next bulk flows. Further pipes are closed when they are returned.
const MAX_IDLE: usize = 8;

/// What all sessions of the process share: a bounded pool of pipes, and whether the process is exiting.
#[derive(Debug)]
pub struct Pipes {
    pool: Mutex<Pool>,
    limit: usize,
    process_exiting: AtomicBool,
}

#[derive(Debug, Default)]
struct Pool {
    idle: Vec<PipeEnds>,
    leased: usize,
    /// The kernel refused a pipe of a useful size. The pool asks again after a leased pipe has been returned.
    exhausted: bool,
}

#[derive(Debug)]
struct PipeEnds {
    read: OwnedFd,
    write: OwnedFd,
}

/// A leased pipe. Dropping it returns an empty pipe to the pool and closes any other.
#[derive(Debug)]
pub(crate) struct Pipe {
    ends: Option<PipeEnds>,
    pipes: Arc<Pipes>,
    /// The number of bytes in the pipe.
    pub(crate) buffered: usize,
}

impl Pipes {
    /// The most descriptors that a pool opens.
    pub const MAX_DESCRIPTORS: usize = MAX_PIPES * FDS_PER_PIPE;

    /// Returns a pool that opens at most `max_descriptors` descriptors, three for each pipe in use, and never more than
    /// [`Self::MAX_DESCRIPTORS`]. A flow that gets no pipe is copied.
    pub fn new(max_descriptors: usize) -> Arc<Self> {
        let limit = (max_descriptors / FDS_PER_PIPE).min(MAX_PIPES);
        Arc::new(Self { pool: Mutex::default(), limit, process_exiting: AtomicBool::new(false) })
    }

    /// Marks the process as exiting: sessions that are dropped from now on end as if the process had been killed.
    pub fn set_process_exiting(&self) {
        self.process_exiting.store(true, Ordering::Relaxed);
    }

    pub(crate) fn process_exiting(&self) -> bool {
        self.process_exiting.load(Ordering::Relaxed)
    }

    /// Returns an empty pipe, or `None` if the limit is reached or the kernel refuses a pipe of a useful size.
    pub(crate) fn lease(self: &Arc<Self>) -> Option<Pipe> {
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        if pool.leased >= self.limit || pool.exhausted {
            return None;
        }
        let Some(ends) = pool.idle.pop().or_else(open) else {
            pool.exhausted = pool.leased > 0;
            return None;
        };
        pool.leased += 1;
        Some(Pipe { ends: Some(ends), pipes: Arc::clone(self), buffered: 0 })
    }
}

fn open() -> Option<PipeEnds> {
    let (read, write) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC).ok()?;
    let size = fcntl_setpipe_size(&write, PIPE_SIZE).unwrap_or(0);
    (size >= MIN_PIPE_SIZE).then_some(PipeEnds { read, write })
}

impl Pipe {
    /// Reads all buffered bytes, for a sink that cannot be spliced to.
    pub(crate) fn read_all(&mut self) -> Result<Vec<u8>, SocketError> {
        let mut bytes = vec![0; self.buffered];
        let mut taken = 0;
        while let (Some(ends), Some(room @ [_, ..])) = (&self.ends, bytes.get_mut(taken..)) {
            let read = rustix::io::read(&ends.read, room);
            taken += read.map_err(|error| SocketError { operation: Operation::Read, error })?;
        }
        self.buffered = 0;
        Ok(bytes)
    }

    /// Returns the read end and the write end.
    pub(crate) fn ends(&self) -> Option<(&OwnedFd, &OwnedFd)> {
        self.ends.as_ref().map(|ends| (&ends.read, &ends.write))
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let mut pool = self.pipes.pool.lock().unwrap_or_else(PoisonError::into_inner);
        pool.leased -= 1;
        pool.exhausted = false;
        if self.buffered == 0 && pool.idle.len() < MAX_IDLE {
            pool.idle.extend(self.ends.take());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_pipe_returns_to_the_pool_and_a_filled_one_is_closed() {
        let pipes = Pipes::new(3);
        let mut first = pipes.lease().unwrap();
        assert!(pipes.lease().is_none(), "the pool exceeds its limit");
        first.buffered = 1;
        drop(first);
        assert!(pipes.pool.lock().unwrap().idle.is_empty());
        drop(pipes.lease().unwrap());
        assert_eq!(pipes.pool.lock().unwrap().idle.len(), 1);
    }
}
