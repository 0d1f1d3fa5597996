//! Output split into lines of bounded length.

/// The longest line, in bytes. A longer line is split.
pub(super) const MAX_LINE: usize = 4096;

/// What was read and is not logged yet.
#[derive(Debug, Default)]
pub(super) struct Lines {
    buffer: Vec<u8>,
    /// The number of bytes of the buffer that were returned already.
    consumed: usize,
    /// The rest of a line that was discarded in part is discarded, too.
    skipping: bool,
    ended: bool,
}

impl Lines {
    /// Returns the buffer to read into. It has room for all that may be read: a read takes no more than there is room for.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        self.buffer.reserve(MAX_LINE.saturating_sub(self.buffer.len()));
        &mut self.buffer
    }

    /// Returns how many bytes may be read now, which is at least one after all lines were taken.
    pub(super) fn space(&self) -> u64 {
        MAX_LINE.saturating_sub(self.buffer.len()) as u64
    }

    /// Notes that nothing follows, so that the rest is a line.
    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    /// Forgets the rest of a line whose continuation was discarded.
    pub(super) fn skip(&mut self, discarded: &[u8]) {
        self.buffer.clear();
        self.consumed = 0;
        self.skipping = discarded.last() != Some(&b'\n');
    }

    /// Returns the next line, without its line feed.
    pub(super) fn next(&mut self) -> Option<String> {
        let line = self.take();
        if line.is_none() {
            self.buffer.drain(..self.consumed);
            self.consumed = 0;
        }
        line
    }

    fn take(&mut self) -> Option<String> {
        loop {
            let rest = self.buffer.get(self.consumed..).unwrap_or_default();
            let (line, used, complete) = match rest.iter().position(|byte| *byte == b'\n') {
                Some(end) => (rest.get(..end).unwrap_or_default(), end + 1, true),
                None if rest.is_empty() => return None,
                None if self.ended || rest.len() >= MAX_LINE => (rest, rest.len(), false),
                None => return None,
            };
            self.consumed += used;
            if self.skipping {
                self.skipping = !complete;
                continue;
            }
            return Some(String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(lines: &mut Lines, text: &[u8]) -> Vec<String> {
        let mut found = Vec::new();
        let mut text = text;
        while !text.is_empty() {
            let (now, later) = text.split_at(text.len().min(usize::try_from(lines.space()).unwrap()));
            assert!(!now.is_empty());
            lines.buffer().extend(now);
            text = later;
            found.extend(std::iter::from_fn(|| lines.next()));
        }
        found
    }

    #[test]
    fn lines_are_bounded_and_lossy() {
        let long = "x".repeat(MAX_LINE + 10);
        let text = [format!("one\r\n\ntwo\n{long}\n").as_bytes(), b"\xff\nrest"].concat();
        let mut lines = Lines::default();
        let mut found = all(&mut lines, &text);
        lines.end();
        found.extend(lines.next());
        assert_eq!(found, ["one", "", "two", &long[..MAX_LINE], "xxxxxxxxxx", "\u{fffd}", "rest"]);
    }

    #[test]
    fn the_rest_of_a_discarded_line_is_discarded() {
        let mut lines = Lines::default();
        assert_eq!(all(&mut lines, b"one\nbegin"), ["one"]);
        lines.skip(b"ning of a line\nand of anoth");
        assert_eq!(all(&mut lines, b"er line\ntwo\n"), ["two"]);
        lines.skip(b"a whole line\n");
        assert_eq!(all(&mut lines, b"three\n"), ["three"]);
    }
}
