//! Splits a byte stream into lines of bounded length.

/// The longest line with its end, in bytes: the default of `HAProxy` (tune.bufsize).
pub const MAX_LINE: usize = 16_384;

/// A line of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// A line without its end.
    Complete(Vec<u8>),
    /// A line longer than [`MAX_LINE`]. The buffer ignores everything after it.
    TooLong,
}

/// Collects the pieces of a stream until they are lines.
#[derive(Debug, Default)]
pub struct LineBuffer {
    pending: Vec<u8>,
    broken: bool,
}

impl LineBuffer {
    /// The largest number of bytes to pass to [`Self::push`], so that the buffer never holds more than a line.
    pub fn capacity(&self) -> usize {
        MAX_LINE.saturating_sub(self.pending.len()).max(1)
    }

    /// Takes a piece up to the end of its first line. Returns the line, if it is complete, and the rest of the piece.
    pub fn push<'a>(&mut self, piece: &'a [u8]) -> (Option<Line>, &'a [u8]) {
        if self.broken {
            return (None, &[]);
        }
        let end = piece.iter().position(|byte| *byte == b'\n');
        let (line, rest) = match end {
            Some(end) => (piece.get(..end).unwrap_or_default(), piece.get(end + 1..).unwrap_or_default()),
            None => (piece, Default::default()),
        };
        if self.pending.len() + line.len() >= MAX_LINE {
            self.broken = true;
            self.pending = Vec::new();
            return (Some(Line::TooLong), &[]);
        }
        self.pending.extend_from_slice(line);
        (end.map(|_| self.take_line()), rest)
    }

    /// Returns the last line at the end of the stream, if the line has no end of its own.
    pub fn finish(&mut self) -> Option<Line> {
        (!self.broken && !self.pending.is_empty()).then(|| self.take_line())
    }

    fn take_line(&mut self) -> Line {
        let mut line = std::mem::take(&mut self.pending);
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Line::Complete(line)
    }
}
