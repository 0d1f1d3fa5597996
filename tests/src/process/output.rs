//! The output of a process.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

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
}

impl Output {
    /// Reads `from` to its end in a new thread.
    pub(super) fn collect(name: &'static str, mut from: impl Read + Send + 'static) -> Self {
        let output = Self { name, bytes: Arc::default(), lines: Arc::default() };
        let (bytes, lines) = (Arc::clone(&output.bytes), Arc::clone(&output.lines));
        thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            let mut room = STORED;
            while let Ok(length @ 1..) = from.read(&mut buffer) {
                let read = buffer.get(..length).unwrap_or_default();
                let new_lines = read.split(|byte| *byte == b'\n').count() - 1;
                lines.fetch_add(new_lines as u64, Ordering::Relaxed);
                let kept = read.get(..length.min(room)).unwrap_or_default();
                room -= kept.len();
                bytes.extend(kept.iter().copied());
            }
            bytes.close();
        });
        output
    }

    /// The text so far, at most the first MiB.
    pub fn text(&self) -> String {
        self.bytes.with(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    /// The number of lines so far, including those that are not stored.
    pub fn line_count(&self) -> u64 {
        self.lines.load(Ordering::Relaxed)
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
