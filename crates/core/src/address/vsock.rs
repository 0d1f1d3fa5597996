//! `CID:PORT` of vsock addresses.

use super::AddressError;
use crate::number::parse_u32;

/// The context id and port number that stand for "any".
const ANY: u32 = u32::MAX;

/// Splits what stands behind `vsock:`. The CID is `None` if it is empty; its absence is the caller's to judge.
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

/// Numbers as on the rest of the command line, but without signs and white space.
fn number(text: &str) -> Option<u32> {
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    parse_u32(text).ok().filter(|number| plain && *number != ANY)
}
