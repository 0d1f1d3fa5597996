//! The content that peers send: endless, computable at every position, and not stored.

use std::sync::LazyLock;

use dormouse_tests::rng::Rng;

/// A prime, so that a loss or duplication of a power of two bytes (the size of a buffer or a pipe) changes the
/// content.
const LENGTH: u64 = 1_048_573;

static TABLE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut rng = Rng::new(0x00d0_2200);
    (0..LENGTH).map(|_| u8::try_from(rng.below(256)).unwrap_or(0)).collect()
});

/// One direction of one session: an optional header, and then the table from an offset on.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    header: Option<[u8; HEADER]>,
    offset: u64,
}

/// The length of the header, which contains the number of the session.
pub(crate) const HEADER: usize = 8;

impl Content {
    /// The content that begins with the optional `header`.
    pub(crate) fn new(header: Option<u64>, offset: u64) -> Self {
        Self { header: header.map(u64::to_be_bytes), offset: offset % LENGTH }
    }

    /// Returns bytes from `position` on, at least one and at most `limit` (which is not 0).
    pub(crate) fn at(&self, position: u64, limit: usize) -> &[u8] {
        let header = self.header.as_ref().map_or(&[][..], <[u8; HEADER]>::as_slice);
        let past = position.saturating_sub(header.len() as u64);
        let rest = match usize::try_from(position).ok().and_then(|position| header.get(position..)) {
            Some(rest) if !rest.is_empty() => rest,
            _ => {
                let place = usize::try_from((self.offset + past) % LENGTH).unwrap_or(0);
                TABLE.get(place..).unwrap_or_default()
            }
        };
        rest.get(..limit).unwrap_or(rest)
    }

    /// Compares `bytes`, received from `position` on, with this content and returns the position of the first wrong
    /// byte.
    pub(crate) fn first_difference(&self, mut position: u64, mut bytes: &[u8]) -> Option<u64> {
        while !bytes.is_empty() {
            let right = self.at(position, bytes.len());
            let (now, later) = bytes.split_at(right.len());
            if now != right {
                let same = now.iter().zip(right).take_while(|(is, should)| is == should).count();
                return Some(position + same as u64);
            }
            position += now.len() as u64;
            bytes = later;
        }
        None
    }
}

#[test]
fn a_lost_duplicated_or_exchanged_byte_is_detected() {
    let content = Content::new(Some(77), 1_048_570);
    let mut bytes = Vec::new();
    while bytes.len() < 3_000_000 {
        let more = content.at(bytes.len() as u64, 70_000).to_vec();
        bytes.extend(more);
    }
    assert_eq!(content.first_difference(0, &bytes), None);
    assert_eq!(content.first_difference(9, &bytes[9..]), None);
    let mut lost = bytes.clone();
    lost.drain(100_000..100_000 + 65_536);
    assert!(content.first_difference(0, &lost).is_some_and(|at| (100_000..100_010).contains(&at)));
    bytes[2_000_000] ^= 1;
    assert_eq!(content.first_difference(0, &bytes), Some(2_000_000));
}
