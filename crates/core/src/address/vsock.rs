//! The `CID:PORT` part of vsock addresses.

use super::AddressError;
use crate::number::parse_u32;

/// The context id and the port that mean "any".
const ANY: u32 = u32::MAX;

/// Splits the part after `vsock:`. The CID is `None` if it is empty; the caller decides whether that is an error.
pub(super) fn parse(text: &str) -> Result<(Option<u32>, u32), AddressError> {
    let (cid, port) =
        text.split_once(':').ok_or_else(|| AddressError::VsockWithoutCid { port: text.to_owned() })?;
    let cid = if cid.is_empty() {
        None
    } else {
        Some(number(cid).ok_or_else(|| AddressError::VsockCid(cid.to_owned()))?)
    };
    let port = number(port).ok_or_else(|| AddressError::VsockPort(port.to_owned()))?;
    Ok((cid, port))
}

/// Parses a number as [`parse_u32`], but without signs and white space.
fn number(text: &str) -> Option<u32> {
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    parse_u32(text).ok().filter(|number| plain && *number != ANY)
}
