//! PROXY headers: reading those of trusted proxies, and writing the one for the server.

mod receive;
mod send;

use dormouse_config::proxy_protocol::SendProxy;

use crate::client::Peer;
pub use receive::{AcceptProxy, HeaderError, ReadHeaderError};
pub use send::encode_header;

/// Sets the unique ID of a session, if the PROXY header to the server contains one.
pub fn assign_unique_id(peer: &mut Peer, send: Option<SendProxy>) {
    if let Some(SendProxy::V2(additions)) = send {
        send::assign_unique_id(additions, peer);
    }
}
