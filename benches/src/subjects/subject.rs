//! A program under test, and what it can do.

use std::{path::PathBuf, process::Command};

use crate::net::Family;

/// The names of subjects, which are also column titles.
pub(crate) const DIRECT: &str = "direct";
pub(crate) const DORMOUSE: &str = "dormouse";
pub(crate) const SOCKET_PROXYD: &str = "original";
pub(crate) const HAPROXY: &str = "haproxy";
pub(crate) const HAPROXY_2: &str = "haproxy2";
pub(crate) const NGINX: &str = "nginx";
pub(crate) const FLOOR: &str = "floor";

/// The kind of a program, which determines its configuration and how it gets its listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// No proxy: the client connects to the backend.
    Direct,
    Dormouse,
    /// systemd-socket-proxyd, called "original" on the command line.
    SocketProxyd,
    HaProxy {
        threads: u8,
    },
    Nginx,
    Socat,
    Rinetd,
    /// No proxy: measures the start of a container.
    Podman,
    /// No usable proxy: measures the minimum of system calls ([`crate::floor`]).
    Floor,
}

/// A program under test.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    /// The name, which is also the column title.
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(super) program: PathBuf,
}

impl Subject {
    /// Returns whether the program can listen on one family and connect to the other.
    pub(crate) fn supports(&self, client_side: Family, server_side: Family) -> bool {
        match self.kind {
            Kind::Rinetd => client_side == Family::Tcp && server_side == Family::Tcp,
            _ => true,
        }
    }

    /// Returns whether the subject carries sessions.
    pub(crate) fn relays(&self) -> bool {
        self.kind != Kind::Podman
    }

    /// Returns whether dormouse is compared with the program.
    pub(crate) fn is_peer(&self) -> bool {
        !matches!(self.kind, Kind::Direct | Kind::Dormouse | Kind::Floor)
    }

    /// Returns whether the program starts a process for each session.
    pub(crate) fn forks_per_session(&self) -> bool {
        self.kind == Kind::Socat
    }

    /// Returns whether the program accepts a listening socket as descriptor 3, so that clients can connect before it starts.
    pub(crate) fn accepts_listener(&self) -> bool {
        matches!(self.kind, Kind::Dormouse | Kind::SocketProxyd | Kind::HaProxy { .. })
    }

    /// Returns whether the send buffers towards clients can be limited.
    pub(crate) fn has_small_buffer_option(&self) -> bool {
        self.accepts_listener() || self.kind == Kind::Nginx
    }

    /// Returns the version line of the program.
    pub(crate) fn version(&self) -> String {
        let (flag, line) = match self.kind {
            Kind::Direct => return "no proxy".into(),
            Kind::Floor => return "the minimum of system calls of a relay".into(),
            Kind::HaProxy { .. } | Kind::Nginx | Kind::Rinetd => ("-v", 0),
            Kind::Socat => ("-V", 1),
            Kind::Dormouse | Kind::SocketProxyd | Kind::Podman => ("--version", 0),
        };
        let Ok(output) = Command::new(&self.program).arg(flag).output() else { return "?".into() };
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&text).lines().nth(line).unwrap_or("?").trim().to_owned()
    }
}
