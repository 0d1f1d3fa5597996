//! PROXY headers of sessions: the one with which a trusted proxy says who its client is, and the one with which we say
//! it to the server.

mod receive;
mod send;

use dormouse_config::proxy_protocol::SendProxy;

use crate::client::Peer;
pub use receive::{AcceptProxy, HeaderError, ReadHeaderError};
pub use send::encode_header;

/// Gives a client's session the name that it has for the server, if it is to have one.
pub fn assign_unique_id(peer: &mut Peer, send: Option<SendProxy>) {
    if let Some(SendProxy::V2(additions)) = send {
        send::assign_unique_id(additions, peer);
    }
}
