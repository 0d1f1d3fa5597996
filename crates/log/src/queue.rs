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
const QUEUE: usize = 4096;
/// So many bytes of lines are written at once.
const BATCH: usize = 64 << 10;
/// After so long without a line the thread ends.
const SILENCE: Duration = Duration::from_secs(1);

/// Where lines end up.
pub(super) trait Sheet: Send {
    /// Writes these lines. Gives how many of them are not there as a whole.
    fn put(&mut self, lines: &str) -> u64;

    /// Whether it takes a line at once.
    fn has_room(&self) -> bool;

    /// Whether it takes several lines at once.
    fn takes_several(&self) -> bool;

    /// The line that tells how many others are missing.
    fn lost(&self, lines: u64) -> String;
}

/// Takes lines, and keeps nobody waiting for them to be written.
#[derive(Debug)]
pub(super) struct Writer(Arc<Desk>);

struct Desk {
    /// Whoever writes has it.
    sheet: Mutex<Box<dyn Sheet>>,
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
    hand: Hand,
}

/// What the thread does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Hand {
    #[default]
    Gone,
    Busy,
    Waiting,
}

impl Writer {
    pub(super) fn new(sheet: Box<dyn Sheet>) -> Self {
        let (sheet, state) = (Mutex::new(sheet), Mutex::default());
        Self(Arc::new(Desk { sheet, state, more: Condvar::new(), written: Condvar::new() }))
    }

    /// Takes a line; where too many wait it is lost and counted.
    pub(super) fn write(&self, line: String) {
        let mut state = self.0.lock();
        if state.lines.len() >= QUEUE {
            state.lost += 1;
            return;
        }
        if state.hand == Hand::Gone && !self.start() {
            drop(state);
            return self.0.write_here(&line);
        }
        state.lines.push_back(line);
        state.unwritten += 1;
        if state.hand == Hand::Waiting {
            self.0.more.notify_one();
        }
        state.hand = Hand::Busy;
    }

    /// Waits until all lines are written, but not for longer than this.
    pub(super) fn flush(&self, patience: Duration) {
        drop(self.0.written.wait_timeout_while(self.0.lock(), patience, |state| state.unwritten > 0));
    }

    fn start(&self) -> bool {
        let thread = thread::Builder::new().name("log".to_owned()).stack_size(64 << 10);
        let desk = Arc::clone(&self.0);
        thread.spawn(move || desk.write_all()).is_ok()
    }
}

impl Desk {
    /// Writes a line where no thread can be had for it, if that keeps nobody waiting.
    fn write_here(&self, line: &str) {
        let mut sheet = self.sheet.lock().unwrap_or_else(PoisonError::into_inner);
        let lost = if sheet.has_room() { sheet.put(line) } else { 1 };
        drop(sheet);
        self.lock().lost += lost;
    }

    fn write_all(&self) {
        let mut sheet = self.sheet.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((text, taken)) = self.next(sheet.takes_several()) {
            let unwritten = sheet.put(&text);
            let lost = {
                let mut state = self.lock();
                state.unwritten = state.unwritten.saturating_sub(taken);
                state.lost += unwritten;
                // Where nothing can be written nobody can be told, either.
                if unwritten == 0 { std::mem::take(&mut state.lost) } else { 0 }
            };
            if lost > 0 {
                let told = sheet.lost(lost);
                if sheet.put(&told) > 0 {
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
            state.hand = Hand::Waiting;
            let waited = self.more.wait_timeout_while(state, SILENCE, |state| state.lines.is_empty());
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let Some(mut text) = state.lines.pop_front() else {
            state.hand = Hand::Gone;
            return None;
        };
        let mut taken = 1;
        while several && text.len() < BATCH {
            let Some(line) = state.lines.pop_front() else { break };
            text.push_str(&line);
            taken += 1;
        }
        state.hand = Hand::Busy;
        Some((text, taken))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Debug for Desk {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").field("state", &self.state).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};

    /// A sheet whose reader takes each piece when it likes.
    struct Slow {
        out: Sender<String>,
        go: Receiver<()>,
    }

    impl Sheet for Slow {
        fn put(&mut self, lines: &str) -> u64 {
            self.out.send(lines.to_owned()).unwrap();
            u64::from(self.go.recv().is_err())
        }

        fn has_room(&self) -> bool {
            true
        }

        fn takes_several(&self) -> bool {
            true
        }

        fn lost(&self, lines: u64) -> String {
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
        for _ in 0..QUEUE + 3 {
            writer.write("more\n".to_owned());
        }
        go_on.send(()).unwrap();
        assert_eq!(written.recv().unwrap(), "3 lost\n");
        for _ in 0..2 {
            go_on.send(()).unwrap();
        }
        let more = written.recv().unwrap();
        assert_eq!(more.lines().count(), QUEUE);
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
            while writer.0.lock().hand != Hand::Gone {
                thread::sleep(Duration::from_millis(10));
            }
        }
    }
}
