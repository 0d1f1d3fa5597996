//! The checksum of a version 2 header: CRC-32C of the whole header, in which the checksum itself counts as zeros.

use super::{DecodeError, Tlv};

/// `PP2_TYPE_CRC32C`: a value of four bytes.
pub(super) const KIND: u8 = 0x03;

/// A TLV's kind and length.
const TLV_HEAD: usize = 3;

/// Compares the checksum among `tlvs`, with which `header` ends, with what the header's bytes give. Without one there is
/// nothing to compare; a second one would say nothing more, and may not be there: whoever takes headers from everybody
/// would count over and over.
///
/// # Errors
/// [`DecodeError::Checksum`] if it is another, has not four bytes, or is not the only one.
pub(super) fn verify(header: &[u8], tlvs: &[Tlv]) -> Result<(), DecodeError> {
    let mut after = tlvs.iter().skip_while(|tlv| tlv.kind != KIND);
    let Some(told) = after.next() else { return Ok(()) };
    let mut end = header.len();
    for tlv in after {
        if tlv.kind == KIND {
            return Err(DecodeError::Checksum);
        }
        end = end.saturating_sub(TLV_HEAD + tlv.value.len());
    }
    let place = end.saturating_sub(told.value.len());
    if agrees(header, place, &told.value) { Ok(()) } else { Err(DecodeError::Checksum) }
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
