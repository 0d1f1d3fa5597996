//! The checksum of a version 2 header: CRC-32C of the whole header, with zeros in place of the checksum.

use super::Tlv;
use super::error::DecodeError;
use super::tlv::CRC32C as KIND;

/// The type and length fields of a TLV, in bytes.
const TLV_HEAD: usize = 3;

/// Verifies the checksum in `tlvs`, which are the end of `header`. A header without a checksum is valid. A second
/// checksum is an error, because a client could use many of them to waste CPU time.
///
/// # Errors
/// [`DecodeError::Checksum`] if the checksum is wrong, does not have four bytes, or occurs twice.
pub(super) fn verify(header: &[u8], tlvs: &[Tlv]) -> Result<(), DecodeError> {
    let mut after = tlvs.iter().skip_while(|tlv| tlv.kind != KIND);
    let Some(stored) = after.next() else { return Ok(()) };
    let mut end = header.len();
    for tlv in after {
        if tlv.kind == KIND {
            return Err(DecodeError::Checksum);
        }
        end = end.saturating_sub(TLV_HEAD + tlv.value.len());
    }
    let place = end.saturating_sub(stored.value.len());
    if matches(header, place, &stored.value) { Ok(()) } else { Err(DecodeError::Checksum) }
}

/// Whether `header` has the checksum `stored`, which begins at byte `place`.
fn matches(header: &[u8], place: usize, stored: &[u8]) -> bool {
    let zeros = place..place + stored.len();
    let counted = header.iter().enumerate().map(|(at, byte)| if zeros.contains(&at) { 0 } else { *byte });
    stored.try_into().is_ok_and(|stored| crc32c(counted) == u32::from_be_bytes(stored))
}

/// Bit by bit (RFC 9260, appendix A), because headers are short and rarely have a checksum.
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

    /// The test vectors of RFC 3720, B.4, and the usual check value for `123456789`.
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
