//! Writing lines to a file or stream that may be full or blocked.

use std::io::{self, Write};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

/// The longest time that [`write_stderr`] waits.
const MAX_WAIT: Duration = Duration::from_millis(500);

/// A file or stream that lines are written to.
#[derive(Debug)]
pub(super) struct LineWriter<W> {
    to: W,
    /// The last write ended in the middle of a line.
    partial: bool,
}

impl<W: Write> LineWriter<W> {
    pub(super) fn new(to: W) -> Self {
        Self { to, partial: false }
    }

    /// Writes lines and returns the number of lines that were not written completely.
    pub(super) fn lines(&mut self, text: &str) -> u64 {
        // Ends the partial line first.
        if self.partial && !self.write(b"\n").is_empty() {
            return count(text.as_bytes());
        }
        count(self.write(text.as_bytes()))
    }

    /// Writes as many bytes as possible and returns the rest.
    fn write<'a>(&mut self, mut rest: &'a [u8]) -> &'a [u8] {
        while !rest.is_empty() {
            match self.to.write(rest) {
                Ok(0) => break,
                Ok(written) => {
                    let (done, left) = rest.split_at(written.min(rest.len()));
                    self.partial = !done.ends_with(b"\n");
                    rest = left;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        rest
    }
}

/// Writes a text to standard error. It neither blocks for long on a stuck reader nor panics when the write fails.
pub(super) fn write_stderr(text: String) {
    let (done, is_done) = channel();
    let direct = text.clone();
    let thread = thread::Builder::new().name("words".to_owned()).stack_size(64 << 10);
    let spawned = thread.spawn(move || {
        // There is no other place to report the failure.
        let _ = io::stderr().write_all(text.as_bytes());
        let _ = done.send(());
    });
    match spawned {
        // Written, or the reader is stuck.
        Ok(_) => drop(is_done.recv_timeout(MAX_WAIT)),
        Err(_) => drop(io::stderr().write_all(direct.as_bytes())),
    }
}

fn count(text: &[u8]) -> u64 {
    text.iter().fold(0, |lines, byte| lines + u64::from(*byte == b'\n'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk with `room` free bytes.
    struct Disk {
        room: usize,
        written: Vec<u8>,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let fits = bytes.len().min(self.room).min(3);
            if fits == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.room -= fits;
            self.written.extend(&bytes[..fits]);
            Ok(fits)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn counts_the_lines_that_a_full_disk_loses() {
        let mut lines = LineWriter::new(Disk { room: 12, written: Vec::new() });
        assert_eq!(lines.lines("first\nsecond\nthird\n"), 2);
        assert_eq!(lines.lines("fourth\nfifth\n"), 2);
        lines.to.room = 100;
        assert_eq!(lines.lines("sixth\n"), 0);
        assert_eq!(String::from_utf8_lossy(&lines.to.written), "first\nsecond\nsixth\n");
    }

    #[test]
    fn ends_a_partial_line_before_the_next() {
        let mut lines = LineWriter::new(Disk { room: 8, written: Vec::new() });
        assert_eq!(lines.lines("first\nsecond\n"), 1);
        lines.to.room = 1;
        assert_eq!(lines.lines("third\n"), 1);
        lines.to.room = 100;
        assert_eq!(lines.lines("fourth\n"), 0);
        assert_eq!(String::from_utf8_lossy(&lines.to.written), "first\nse\nfourth\n");
    }
}
