//! As much of D-Bus as it takes to talk to a service manager, over its private socket or a bus.
//!
//! On its private socket systemd gives its well-known name as the sender, which general libraries do not expect.

mod auth;
mod connection;
mod decode;
mod encode;

pub(super) use self::connection::{Connection, Failure, Watcher};
pub(super) use self::decode::{Broken, Message, Reader, Value};
pub(super) use self::encode::Arg;
