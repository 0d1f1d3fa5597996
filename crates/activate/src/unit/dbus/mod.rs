//! The part of D-Bus that a client of a service manager needs, over its private socket or a bus.
//!
//! On its private socket systemd sends its well-known name as the sender, which general libraries do not expect.

mod auth;
mod connection;
mod decode;
mod encode;

pub(super) use self::connection::{CallError, Connection, SignalHandler};
pub(super) use self::decode::{Malformed, Message, Reader, Value};
pub(super) use self::encode::Arg;
