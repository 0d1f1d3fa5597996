//! The checksum of a version 2 header: CRC-32C of the whole header, in which the checksum itself counts as zeros.

use super::{DecodeError, Tlv};

/// `PP2_TYPE_CRC32C`: a value of four bytes.
pub(super) const KIND: u8 = 0x03;

/// A TLV's kind and length.
const TLV_HEAD: usize = 3;

/// Compares each checksum among `tlvs`, with which `header` ends, with what the header's bytes give.
///
/// # Errors
/// [`DecodeError::Checksum`] if one is another, or has not four bytes.
pub(super) fn verify(header: &[u8], tlvs: &[Tlv]) -> Result<(), DecodeError> {
    let mut rest = header;
    for Tlv { kind, value } in tlvs.iter().rev() {
        let (before, _) = rest.split_at(rest.len().saturating_sub(value.len()));
        if *kind == KIND && !agrees(header, before.len(), value) {
            return Err(DecodeError::Checksum);
        }
        (rest, _) = before.split_at(before.len().saturating_sub(TLV_HEAD));
    }
    Ok(())
}

/// Whether `header` has the checksum `told`, which stands at its byte `place`.
fn agrees(header: &[u8], place: usize, told: &[u8]) -> bool {
    let zeros = place..place + told.len();
    let counted = header.iter().enumerate().map(|(at, byte)| if zeros.contains(&at) { 0 } else { *byte });
    told.try_into().is_ok_and(|told| crc32c(counted) == u32::from_be_bytes(told))
}

/// Bit by bit (RFC 9260, appendix A): headers are short, and few have one.
fn crc32c(bytes: impl Iterator<Item = u8>) -> u32 {
    const REVERSED_POLYNOMIAL: u32 = 0x82f6_3b78;
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            let carry = crc & 1;
            crc = (crc >> 1) ^ (REVERSED_POLYNOMIAL * carry);
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Those of RFC 3720, B.4, and the one that catalogues of checksums give.
    #[test]
    fn known_values() {
        let ascending: Vec<u8> = (0..32).collect();
        for (bytes, expected) in [
            (&b""[..], 0),
            (b"123456789", 0xe306_9283),
            (&[0; 32], 0x8a91_36aa),
            (&[0xff; 32], 0x62a8_ab43),
            (&ascending, 0x46dd_794e),
        ] {
            assert_eq!(crc32c(bytes.iter().copied()), expected, "{bytes:?}");
        }
    }
}
