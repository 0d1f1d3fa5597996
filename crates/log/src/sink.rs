//! What lines are written on. It may take nothing for a while: a full disk, a reader that has gone.

use std::io::{self, Write};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

/// So long last words may take.
const LAST: Duration = Duration::from_millis(500);

/// A file or stream that lines are written to.
#[derive(Debug)]
pub(super) struct LineWriter<W> {
    to: W,
    /// What stands there does not end with a whole line.
    partial: bool,
}

impl<W: Write> LineWriter<W> {
    pub(super) fn new(to: W) -> Self {
        Self { to, partial: false }
    }

    /// Writes these lines. Gives how many of them are not there as a whole.
    pub(super) fn lines(&mut self, text: &str) -> u64 {
        // What follows is to be a line of its own.
        if self.partial && !self.write(b"\n").is_empty() {
            return count(text.as_bytes());
        }
        count(self.write(text.as_bytes()))
    }

    /// Writes what can be written, and gives the rest.
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

/// Says this on standard error if that takes it soon. Unlike `eprintln!` it neither waits for a reader that is stuck nor
/// panics where nothing can be written.
pub fn write_stderr(text: String) {
    let (done, is_done) = channel();
    let direct = text.clone();
    let thread = thread::Builder::new().name("words".to_owned()).stack_size(64 << 10);
    let spawned = thread.spawn(move || {
        // Nobody can be told that nobody can be told.
        let _ = io::stderr().write_all(text.as_bytes());
        let _ = done.send(());
    });
    match spawned {
        // It is said, or it would take too long.
        Ok(_) => drop(is_done.recv_timeout(LAST)),
        Err(_) => drop(io::stderr().write_all(direct.as_bytes())),
    }
}

fn count(text: &[u8]) -> u64 {
    text.iter().fold(0, |lines, byte| lines + u64::from(*byte == b'\n'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk with room for so many bytes.
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
    fn what_a_full_disk_does_not_take_is_counted() {
        let mut lines = LineWriter::new(Disk { room: 12, written: Vec::new() });
        assert_eq!(lines.lines("first\nsecond\nthird\n"), 2);
        assert_eq!(lines.lines("fourth\nfifth\n"), 2);
        lines.to.room = 100;
        assert_eq!(lines.lines("sixth\n"), 0);
        assert_eq!(String::from_utf8_lossy(&lines.to.written), "first\nsecond\nsixth\n");
    }

    #[test]
    fn a_torn_line_ends_before_the_next() {
        let mut lines = LineWriter::new(Disk { room: 8, written: Vec::new() });
        assert_eq!(lines.lines("first\nsecond\n"), 1);
        lines.to.room = 1;
        assert_eq!(lines.lines("third\n"), 1);
        lines.to.room = 100;
        assert_eq!(lines.lines("fourth\n"), 0);
        assert_eq!(String::from_utf8_lossy(&lines.to.written), "first\nse\nfourth\n");
    }
}
