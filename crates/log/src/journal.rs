//! The journal's own protocol (systemd's "Native Journal Protocol"): an entry is a datagram of fields, so that readers
//! can filter by field.

use std::fmt::{Display, Write as _};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::Level;
use crate::escape::{Escaped, EscapedLine};

/// The path of the journal's socket.
const SOCKET: &str = "/run/systemd/journal/socket";
/// How long an entry waits for a journal that does not read.
const SEND_TIMEOUT: Duration = Duration::from_secs(1);

/// A connection to the journal.
#[derive(Debug)]
pub(super) struct Journal {
    /// Not connected: the journal's socket may be replaced while dormouse runs.
    socket: UnixDatagram,
    at: PathBuf,
}

impl Journal {
    /// Returns `None` where the journal cannot be reached, for example in a chroot.
    pub(super) fn connect() -> Option<Self> {
        Self::at(Path::new(SOCKET))
    }

    /// Returns a journal that loses every entry.
    #[cfg(test)]
    pub(super) fn unconnected() -> Self {
        Self { socket: UnixDatagram::unbound().unwrap(), at: PathBuf::new() }
    }

    fn at(path: &Path) -> Option<Self> {
        let socket = UnixDatagram::unbound().ok()?;
        // A second socket checks once that the journal listens.
        UnixDatagram::unbound().ok()?.connect(path).ok()?;
        socket.set_write_timeout(Some(SEND_TIMEOUT)).ok()?;
        Some(Self { socket, at: path.to_owned() })
    }

    /// Sends an entry and returns the number of entries lost: 0 or 1.
    pub(super) fn send(&self, entry: &str) -> u64 {
        u64::from(self.socket.send_to(entry.as_bytes(), &self.at).is_err())
    }
}

/// Returns an entry with a message without special characters, and with fields that [`field`] wrote.
pub(super) fn entry(level: Level, message: &str, fields: &str) -> String {
    let mut entry = String::with_capacity(256);
    field(&mut entry, "PRIORITY", level as u8);
    field(&mut entry, "SYSLOG_IDENTIFIER", "dormouse");
    // Writing to a String cannot fail. The escapes of the message stay.
    let _ = writeln!(entry, "MESSAGE={}", EscapedLine(message));
    entry.push_str(fields);
    entry
}

/// Adds a field. The value is escaped, so that it cannot forge another field.
pub fn field(entry: &mut String, name: &str, value: impl Display) {
    // Writing to a String cannot fail.
    let _ = writeln!(entry, "{name}={}", Escaped(value));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sends_to_a_journal_socket_that_was_replaced() {
        let path = std::env::temp_dir().join(format!("dormouse-journal-{}", std::process::id()));
        // An earlier process with the same number may have left the file.
        let _ = std::fs::remove_file(&path);
        assert!(Journal::at(&path).is_none());
        let received = |socket: &UnixDatagram| {
            let mut entry = [0; 16];
            socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            let length = socket.recv(&mut entry).unwrap();
            String::from_utf8_lossy(&entry[..length]).into_owned()
        };
        let first = UnixDatagram::bind(&path).unwrap();
        let journal = Journal::at(&path).unwrap();
        assert_eq!((journal.send("one"), received(&first)), (0, "one".to_owned()));
        drop(first);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(journal.send("lost"), 1);
        let second = UnixDatagram::bind(&path).unwrap();
        assert_eq!((journal.send("two"), received(&second)), (0, "two".to_owned()));
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_value_cannot_forge_a_field() {
        let mut fields = String::new();
        field(&mut fields, "DORMOUSE_SERVER", "a\nPRIORITY=0\n");
        let entry = entry(Level::Info, "said\nand done", &fields);
        assert_eq!(
            entry,
            "PRIORITY=6\nSYSLOG_IDENTIFIER=dormouse\nMESSAGE=said\\u{a}and done\nDORMOUSE_SERVER=a\\u{a}PRIORITY=0\\u{a}\n"
        );
    }
}
