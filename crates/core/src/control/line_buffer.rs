//! LineBuffer out of pieces, however they were cut, and never more than one line in memory.

/// The longest line, with its end: what `HAProxy` takes by default (tune.bufsize).
pub const MAX_LINE: usize = 16_384;

/// What came of a piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// A line, without its end.
    Complete(Vec<u8>),
    /// A line that is longer than [`MAX_LINE`]. Nothing follows.
    TooLong,
}

/// Collects pieces until they are lines.
#[derive(Debug, Default)]
pub struct LineBuffer {
    pending: Vec<u8>,
    broken: bool,
}

impl LineBuffer {
    /// How many bytes may be given at once, so that no more than a line is ever kept.
    pub fn capacity(&self) -> usize {
        MAX_LINE.saturating_sub(self.pending.len()).max(1)
    }

    /// Takes a piece up to the end of its first line; gives the line, if there is one now, and what is left.
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

    /// The line that nothing ended, when there will be no more.
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
