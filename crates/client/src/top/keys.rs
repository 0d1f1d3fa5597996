//! Decodes the bytes of a terminal into keys.

/// A key with an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Up,
    Down,
    /// Enter or tab.
    Switch,
    /// Ctrl-C.
    Interrupt,
    Letter(char),
}

/// The state of the decoder within a sequence of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Decoder {
    #[default]
    Plain,
    /// After an escape.
    Escaped,
    /// After an escape and `[` or `O`.
    Sequence,
}

impl Decoder {
    /// Takes a byte. Returns the key that it completes, if any.
    pub(super) fn take(&mut self, byte: u8) -> Option<Key> {
        let before = std::mem::take(self);
        match (before, byte) {
            (_, 0x1b) => *self = Self::Escaped,
            // Parameters precede the final byte of a sequence.
            (Self::Escaped, b'[' | b'O') | (Self::Sequence, b' '..=b'?') => *self = Self::Sequence,
            (Self::Sequence, b'A') => return Some(Key::Up),
            (Self::Sequence, b'B') => return Some(Key::Down),
            (Self::Sequence, _) => {}
            (_, b'\r' | b'\n' | b'\t') => return Some(Key::Switch),
            (_, 0x03) => return Some(Key::Interrupt),
            (_, b'j') => return Some(Key::Down),
            (_, b'k') => return Some(Key::Up),
            (_, byte) if byte.is_ascii_graphic() => return Some(Key::Letter(char::from(byte))),
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(bytes: &[u8]) -> Vec<Key> {
        let mut decoder = Decoder::default();
        bytes.iter().filter_map(|byte| decoder.take(*byte)).collect()
    }

    #[test]
    fn keys_are_decoded() {
        assert_eq!(keys(b"\x1b[A\x1bOBjk"), [Key::Up, Key::Down, Key::Down, Key::Up]);
        assert_eq!(keys(b"\r\tq\x03"), [Key::Switch, Key::Switch, Key::Letter('q'), Key::Interrupt]);
        // Unknown sequences are ignored as a whole.
        assert_eq!(keys(b"\x1b[15~\x1b[1;5C\x1b\x1b[Zx\xc3\xa9 "), [Key::Letter('x')]);
        assert_eq!(keys(b"\x1bq"), [Key::Letter('q')]);
    }
}
