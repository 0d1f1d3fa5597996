//! Pipes for bulk flows: made when needed, lent for as long as bytes are in flight, given back empty.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

use crate::report::Operation;
use crate::transfer::Broken;

/// How much one splice may move. Large enough that the cost of the call does not show.
pub(crate) const PIPE_SIZE: usize = 1 << 20;
/// A pipe that the kernel made smaller than this (pipe-user-pages-soft, pipe(7)) is slower than copying.
const WORTHWHILE: usize = 128 << 10;
/// Half of what pipe-user-pages-soft allows an unprivileged user by default.
const MAX_PIPES: usize = 32;
/// Its two ends, and the account of a socket that descriptors travel through.
const PER_PIPE: usize = 3;
/// Kept for the next bulk flow; more than that are closed when they come back.
const MAX_SPARE: usize = 8;

/// What the process's sessions share: pipes, bounded in number, and whether all end.
#[derive(Debug)]
pub struct Pipes {
    pool: Mutex<Pool>,
    limit: usize,
    process_ends: AtomicBool,
}

#[derive(Debug, Default)]
struct Pool {
    spare: Vec<Ends>,
    lent: usize,
    /// The kernel refused a pipe worth having: until one comes back, asking again is a waste.
    refused: bool,
}

#[derive(Debug)]
struct Ends {
    read: OwnedFd,
    write: OwnedFd,
}

/// A pipe on loan. Given back if it is empty, else closed.
#[derive(Debug)]
pub(crate) struct Pipe {
    ends: Option<Ends>,
    home: Arc<Pipes>,
    /// Bytes in it.
    pub(crate) held: usize,
}

impl Pipes {
    /// More descriptors are never open.
    pub const MAX_DESCRIPTORS: usize = MAX_PIPES * PER_PIPE;

    /// A pool that opens at most so many descriptors, three for each pipe in use, and never more than
    /// [`Self::MAX_DESCRIPTORS`]. Flows that find none are copied.
    pub fn new(max_descriptors: usize) -> Arc<Self> {
        let limit = (max_descriptors / PER_PIPE).min(MAX_PIPES);
        Arc::new(Self { pool: Mutex::default(), limit, process_ends: AtomicBool::new(false) })
    }

    /// Says that the process ends: sessions that are dropped from now on end as with a process that was killed.
    pub fn end_with_process(&self) {
        self.process_ends.store(true, Ordering::Relaxed);
    }

    pub(crate) fn process_ends(&self) -> bool {
        self.process_ends.load(Ordering::Relaxed)
    }

    /// An empty pipe, or none if there are enough already or the kernel refuses one that is worth having.
    pub(crate) fn lend(self: &Arc<Self>) -> Option<Pipe> {
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        if pool.lent >= self.limit || pool.refused {
            return None;
        }
        let Some(ends) = pool.spare.pop().or_else(open) else {
            pool.refused = pool.lent > 0;
            return None;
        };
        pool.lent += 1;
        Some(Pipe { ends: Some(ends), home: Arc::clone(self), held: 0 })
    }
}

fn open() -> Option<Ends> {
    let (read, write) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC).ok()?;
    let size = fcntl_setpipe_size(&write, PIPE_SIZE).unwrap_or(0);
    (size >= WORTHWHILE).then_some(Ends { read, write })
}

impl Pipe {
    /// Takes out what is held, for a sink that cannot be spliced to.
    pub(crate) fn empty(&mut self) -> Result<Vec<u8>, Broken> {
        let mut bytes = vec![0; self.held];
        let mut taken = 0;
        while let (Some(ends), Some(room @ [_, ..])) = (&self.ends, bytes.get_mut(taken..)) {
            let read = rustix::io::read(&ends.read, room);
            taken += read.map_err(|error| Broken { operation: Operation::Read, error })?;
        }
        self.held = 0;
        Ok(bytes)
    }

    pub(crate) fn ends(&self) -> Option<(&OwnedFd, &OwnedFd)> {
        self.ends.as_ref().map(|ends| (&ends.read, &ends.write))
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let mut pool = self.home.pool.lock().unwrap_or_else(PoisonError::into_inner);
        pool.lent -= 1;
        pool.refused = false;
        if self.held == 0 && pool.spare.len() < MAX_SPARE {
            pool.spare.extend(self.ends.take());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_pipe_comes_back_and_a_filled_one_does_not() {
        let pipes = Pipes::new(3);
        let mut first = pipes.lend().unwrap();
        assert!(pipes.lend().is_none(), "bounded");
        first.held = 1;
        drop(first);
        assert!(pipes.pool.lock().unwrap().spare.is_empty());
        drop(pipes.lend().unwrap());
        assert_eq!(pipes.pool.lock().unwrap().spare.len(), 1);
    }
}
