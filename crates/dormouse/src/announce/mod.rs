//! PROXY headers of sessions: the one with which a trusted proxy says who its client is, and the one with which we say
//! it to the server.

mod accept;
mod send;

pub use accept::{AcceptProxy, HeaderFault, Sources};
pub(crate) use send::header;
pub use send::{Additions, SendProxy};

use crate::connect::Peer;

/// Gives a client's session the name that it has for the server, if it is to have one.
pub(crate) fn name(peer: &mut Peer, send: Option<SendProxy>) {
    if let Some(SendProxy::V2(additions)) = send {
        send::give_name(additions, peer);
    }
}
