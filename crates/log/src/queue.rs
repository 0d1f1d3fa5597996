//! A bounded queue of lines, and the thread that writes them.
//!
//! The thread ends after a second without lines, and the next line starts another. In a process with one thread each
//! system call is cheaper, because the kernel skips the reference count of the file table (`fdget`).

use std::collections::VecDeque;
use std::fmt::{self, Debug, Formatter};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// The maximum number of queued lines.
const MAX_QUEUED: usize = 4096;
/// The size in bytes from which a batch of lines is written.
const BATCH_SIZE: usize = 64 << 10;
/// The time without a line after which the thread ends.
const IDLE_TIMEOUT: Duration = Duration::from_secs(1);

/// The destination of lines.
pub(super) trait Sink: Send {
    /// Writes lines and returns the number of lines that were not written completely.
    fn write(&mut self, lines: &str) -> u64;

    /// Returns whether a write would not block.
    fn is_writable(&self) -> bool;

    /// Returns whether one write may contain several lines.
    fn accepts_batches(&self) -> bool;

    /// Returns the line that reports the number of lost lines.
    fn lost_notice(&self, lines: u64) -> String;
}

/// Queues lines without blocking the caller.
#[derive(Debug)]
pub(super) struct Writer(Arc<Queue>);

struct Queue {
    /// Locked by the thread that writes.
    sink: Mutex<Box<dyn Sink>>,
    state: Mutex<State>,
    more: Condvar,
    written: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<String>,
    /// The number of lines that are queued or being written.
    unwritten: usize,
    lost: u64,
    writer: WriterState,
}

/// The state of the writer thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum WriterState {
    #[default]
    Stopped,
    Writing,
    Waiting,
}

impl Writer {
    pub(super) fn new(sink: Box<dyn Sink>) -> Self {
        let (sink, state) = (Mutex::new(sink), Mutex::default());
        Self(Arc::new(Queue { sink, state, more: Condvar::new(), written: Condvar::new() }))
    }

    /// Queues a line. If the queue is full, the line is lost and counted.
    pub(super) fn write(&self, line: String) {
        let mut state = self.0.lock();
        if state.lines.len() >= MAX_QUEUED {
            state.lost += 1;
            return;
        }
        if state.writer == WriterState::Stopped && !self.start() {
            drop(state);
            return self.0.write_directly(&line);
        }
        state.lines.push_back(line);
        state.unwritten += 1;
        if state.writer == WriterState::Waiting {
            self.0.more.notify_one();
        }
        state.writer = WriterState::Writing;
    }

    /// Waits until all lines are written, or until the timeout.
    pub(super) fn flush(&self, limit: Duration) {
        drop(self.0.written.wait_timeout_while(self.0.lock(), limit, |state| state.unwritten > 0));
    }

    fn start(&self) -> bool {
        let thread = thread::Builder::new().name("log".to_owned()).stack_size(64 << 10);
        let queue = Arc::clone(&self.0);
        thread.spawn(move || queue.write_all()).is_ok()
    }
}

impl Queue {
    /// Writes a line in the calling thread, for when no writer thread can be started. The line is lost if the write would
    /// block.
    fn write_directly(&self, line: &str) {
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        let lost = if sink.is_writable() { sink.write(line) } else { 1 };
        drop(sink);
        self.lock().lost += lost;
    }

    fn write_all(&self) {
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((text, taken)) = self.next(sink.accepts_batches()) {
            let unwritten = sink.write(&text);
            let lost = {
                let mut state = self.lock();
                state.unwritten = state.unwritten.saturating_sub(taken);
                state.lost += unwritten;
                // If the sink fails, the notice would fail too.
                if unwritten == 0 { std::mem::take(&mut state.lost) } else { 0 }
            };
            if lost > 0 {
                let notice = sink.lost_notice(lost);
                if sink.write(&notice) > 0 {
                    self.lock().lost += lost;
                }
            }
            self.written.notify_all();
        }
    }

    /// Returns the next batch and its number of lines, or `None` if there were no lines for [`IDLE_TIMEOUT`].
    fn next(&self, several: bool) -> Option<(String, usize)> {
        let mut state = self.lock();
        if state.lines.is_empty() {
            state.writer = WriterState::Waiting;
            let waited = self.more.wait_timeout_while(state, IDLE_TIMEOUT, |state| state.lines.is_empty());
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let Some(mut text) = state.lines.pop_front() else {
            state.writer = WriterState::Stopped;
            return None;
        };
        let mut taken = 1;
        while several && text.len() < BATCH_SIZE {
            let Some(line) = state.lines.pop_front() else { break };
            text.push_str(&line);
            taken += 1;
        }
        state.writer = WriterState::Writing;
        Some((text, taken))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Debug for Queue {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("state", &self.state).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};

    /// A sink that the test lets continue after each write.
    struct Slow {
        out: Sender<String>,
        go: Receiver<()>,
    }

    impl Sink for Slow {
        fn write(&mut self, lines: &str) -> u64 {
            self.out.send(lines.to_owned()).unwrap();
            u64::from(self.go.recv().is_err())
        }

        fn is_writable(&self) -> bool {
            true
        }

        fn accepts_batches(&self) -> bool {
            true
        }

        fn lost_notice(&self, lines: u64) -> String {
            format!("{lines} lost\n")
        }
    }

    fn slow() -> (Writer, Receiver<String>, Sender<()>) {
        let ((out, written), (go_on, go)) = (channel(), channel());
        (Writer::new(Box::new(Slow { out, go })), written, go_on)
    }

    #[test]
    fn a_slow_reader_blocks_no_caller_and_lost_lines_are_reported() {
        let (writer, written, go_on) = slow();
        writer.write("first\n".to_owned());
        assert_eq!(written.recv().unwrap(), "first\n");
        for _ in 0..MAX_QUEUED + 3 {
            writer.write("more\n".to_owned());
        }
        go_on.send(()).unwrap();
        assert_eq!(written.recv().unwrap(), "3 lost\n");
        for _ in 0..2 {
            go_on.send(()).unwrap();
        }
        let more = written.recv().unwrap();
        assert_eq!(more.lines().count(), MAX_QUEUED);
        writer.flush(Duration::from_secs(10));
        assert_eq!(writer.0.lock().unwritten, 0);
    }

    #[test]
    fn the_thread_ends_when_idle_and_the_next_line_starts_another() {
        let (writer, written, go_on) = slow();
        for text in ["first\n", "second\n"] {
            writer.write(text.to_owned());
            assert_eq!(written.recv().unwrap(), text);
            go_on.send(()).unwrap();
            writer.flush(Duration::from_secs(10));
            while writer.0.lock().writer != WriterState::Stopped {
                thread::sleep(Duration::from_millis(10));
            }
        }
    }
}
