//! The journal's own protocol (systemd's "Native Journal Protocol"): an entry is a datagram of fields, so that whoever
//! reads can select by them.

use std::fmt::{Display, Write as _};
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use super::log::Level;

/// Where it listens.
const SOCKET: &str = "/run/systemd/journal/socket";
/// So long an entry may wait for a journal that does not read.
const PATIENCE: Duration = Duration::from_secs(1);

/// The journal's ear.
#[derive(Debug)]
pub(super) struct Journal(UnixDatagram);

impl Journal {
    /// `None` where it cannot be reached, as in a root directory of one's own.
    pub(super) fn connect() -> Option<Self> {
        let socket = UnixDatagram::unbound().ok()?;
        socket.connect(SOCKET).ok()?;
        socket.set_write_timeout(Some(PATIENCE)).ok()?;
        Some(Self(socket))
    }

    /// Gives how many entries were not taken: it, or none.
    pub(super) fn send(&self, entry: &str) -> u64 {
        u64::from(self.0.send(entry.as_bytes()).is_err())
    }
}

/// An entry with this message and these fields, as [`field`] writes them.
pub(super) fn entry(level: Level, message: impl Display, fields: &str) -> String {
    let mut entry = String::with_capacity(256);
    field(&mut entry, "PRIORITY", level as u8);
    field(&mut entry, "SYSLOG_IDENTIFIER", "dormouse");
    field(&mut entry, "MESSAGE", message);
    entry.push_str(fields);
    entry
}

/// Adds a field. A value is one line, so that none can pretend to be another field.
pub(super) fn field(entry: &mut String, name: &str, value: impl Display) {
    entry.push_str(name);
    entry.push('=');
    let begin = entry.len();
    // A String takes whatever is written to it.
    let _ = write!(entry, "{value}");
    if entry.get(begin..).is_some_and(|value| value.contains('\n')) {
        let value = entry.split_off(begin).replace('\n', " ");
        entry.push_str(&value);
    }
    entry.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_becomes_a_field() {
        let mut fields = String::new();
        field(&mut fields, "DORMOUSE_SERVER", "a\nPRIORITY=0\n");
        let entry = entry(Level::Info, "said\nand done", &fields);
        assert_eq!(
            entry,
            "PRIORITY=6\nSYSLOG_IDENTIFIER=dormouse\nMESSAGE=said and done\nDORMOUSE_SERVER=a PRIORITY=0 \n"
        );
    }
}
