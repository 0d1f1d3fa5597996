//! The output of a process.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::ioctl_fionread;

use super::Collected;
use crate::Result;

/// The most text that is stored; output beyond it is only counted.
const STORED: usize = 1 << 20;

/// The text that a process has written to one of its streams.
#[derive(Debug)]
pub struct Output {
    name: &'static str,
    bytes: Arc<Collected<u8>>,
    lines: Arc<AtomicU64>,
    stream: Arc<Stream>,
}

/// The stream, and how much of it has been taken.
#[derive(Debug)]
struct Stream {
    file: File,
    /// The bytes taken so far. Who holds the lock sees either the bytes in the stream or those taken, never neither.
    taken: Mutex<u64>,
}

impl Output {
    /// Reads `from` to its end in a new thread.
    pub(super) fn collect(name: &'static str, from: impl Into<OwnedFd>) -> Self {
        let stream = Arc::new(Stream { file: File::from(from.into()), taken: Mutex::new(0) });
        let output = Self { name, bytes: Arc::default(), lines: Arc::default(), stream };
        let (bytes, lines, stream) =
            (Arc::clone(&output.bytes), Arc::clone(&output.lines), Arc::clone(&output.stream));
        thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            let mut room = STORED;
            loop {
                // The lock is not held while there is nothing to take. A failure shows itself in the read.
                let _ = poll(&mut [PollFd::new(&stream.file, PollFlags::IN)], None);
                let mut taken = stream.taken.lock().unwrap_or_else(PoisonError::into_inner);
                let Ok(length @ 1..) = (&stream.file).read(&mut buffer) else { break };
                let read = buffer.get(..length).unwrap_or_default();
                let new_lines = read.split(|byte| *byte == b'\n').count() - 1;
                lines.fetch_add(new_lines as u64, Ordering::Relaxed);
                let kept = read.get(..length.min(room)).unwrap_or_default();
                room -= kept.len();
                bytes.extend(kept.iter().copied());
                *taken += length as u64;
            }
            *stream.taken.lock().unwrap_or_else(PoisonError::into_inner) = u64::MAX;
            bytes.close();
        });
        output
    }

    /// The text so far, at most the first MiB.
    pub fn text(&self) -> String {
        self.take_what_is_there();
        self.bytes.with(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    /// The number of lines so far, including those that are not stored.
    pub fn line_count(&self) -> u64 {
        self.take_what_is_there();
        self.lines.load(Ordering::Relaxed)
    }

    /// Waits until all that the process has written before this call has been taken.
    fn take_what_is_there(&self) {
        let taken = || self.stream.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let target = {
            let taken = taken();
            taken.saturating_add(ioctl_fionread(&self.stream.file).unwrap_or(0))
        };
        // The thread takes what is there without waiting for anything else.
        while *taken() < target {
            thread::yield_now();
        }
    }

    /// Waits until the text contains `part`.
    ///
    /// # Errors
    /// When it does not within `limit`.
    pub fn wait_for(&self, part: &str, limit: Duration) -> Result<()> {
        self.bytes.wait_until(&format!("{part:?} on {}", self.name), limit, |bytes| {
            bytes.windows(part.len().max(1)).any(|window| window == part.as_bytes()).then_some(())
        })
    }

    /// Waits until the process, and every process that inherited the stream, has closed it.
    ///
    /// # Errors
    /// When it has not within `limit`.
    pub fn wait_for_end(&self, limit: Duration) -> Result<()> {
        self.bytes.wait_for_close(self.name, limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    use rustix::pipe::pipe;

    #[test]
    fn what_was_written_is_seen_at_once() {
        let (from, to) = pipe().unwrap();
        let mut to = File::from(to);
        let output = Output::collect("a pipe", from);
        for number in 1..2000_u64 {
            to.write_all(b"line\n").unwrap();
            assert_eq!(
                (output.line_count(), output.text()),
                (number, "line\n".repeat(usize::try_from(number).unwrap()))
            );
        }
    }
}
