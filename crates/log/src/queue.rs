//! Lines on their way out: a bounded queue, and a thread that writes what is in it.
//!
//! The thread ends when nothing was said for a while, and the next line starts another: while a process has one thread
//! only, each system call costs it less, because the kernel need not count who uses its table of files (`fdget`).

use std::collections::VecDeque;
use std::fmt::{self, Debug, Formatter};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Lines that may wait.
const MAX_QUEUED: usize = 4096;
/// So many bytes of lines are written at once.
const BATCH: usize = 64 << 10;
/// After so long without a line the thread ends.
const IDLE: Duration = Duration::from_secs(1);

/// Where lines end up.
pub(super) trait Sink: Send {
    /// Writes these lines. Gives how many of them are not there as a whole.
    fn write(&mut self, lines: &str) -> u64;

    /// Whether it takes a line at once.
    fn is_writable(&self) -> bool;

    /// Whether it takes several lines at once.
    fn accepts_batches(&self) -> bool;

    /// The line that tells how many others are missing.
    fn lost_notice(&self, lines: u64) -> String;
}

/// Takes lines, and keeps nobody waiting for them to be written.
#[derive(Debug)]
pub(super) struct Writer(Arc<Queue>);

struct Queue {
    /// Whoever writes has it.
    sink: Mutex<Box<dyn Sink>>,
    state: Mutex<State>,
    more: Condvar,
    written: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<String>,
    /// Those, and the ones that are being written.
    unwritten: usize,
    lost: u64,
    writer: WriterState,
}

/// What the thread does.
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

    /// Takes a line; where too many wait it is lost and counted.
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

    /// Waits until all lines are written, but not for longer than this.
    pub(super) fn flush(&self, patience: Duration) {
        drop(self.0.written.wait_timeout_while(self.0.lock(), patience, |state| state.unwritten > 0));
    }

    fn start(&self) -> bool {
        let thread = thread::Builder::new().name("log".to_owned()).stack_size(64 << 10);
        let queue = Arc::clone(&self.0);
        thread.spawn(move || queue.write_all()).is_ok()
    }
}

impl Queue {
    /// Writes a line where no thread can be had for it, if that keeps nobody waiting.
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
                // Where nothing can be written nobody can be told, either.
                if unwritten == 0 { std::mem::take(&mut state.lost) } else { 0 }
            };
            if lost > 0 {
                let told = sink.lost_notice(lost);
                if sink.write(&told) > 0 {
                    self.lock().lost += lost;
                }
            }
            self.written.notify_all();
        }
    }

    /// The next lines, and how many they are. `None`: there were none for so long that whoever writes may go.
    fn next(&self, several: bool) -> Option<(String, usize)> {
        let mut state = self.lock();
        if state.lines.is_empty() {
            state.writer = WriterState::Waiting;
            let waited = self.more.wait_timeout_while(state, IDLE, |state| state.lines.is_empty());
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let Some(mut text) = state.lines.pop_front() else {
            state.writer = WriterState::Stopped;
            return None;
        };
        let mut taken = 1;
        while several && text.len() < BATCH {
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

    /// A sink whose reader takes each piece when it likes.
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
    fn nobody_waits_for_a_reader_and_what_is_lost_is_told() {
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
    fn the_thread_goes_when_there_is_nothing_to_write_and_another_comes() {
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
