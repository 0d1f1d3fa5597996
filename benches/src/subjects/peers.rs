//! The programs that can be compared, and where they are installed.

use std::{
    env,
    path::{Path, PathBuf},
};

use super::{
    nginx,
    subject::{DIRECT, DORMOUSE, FLOOR, HAPROXY, HAPROXY_2, Kind, NGINX, SOCKET_PROXYD, Subject},
};
use crate::error::{Error, ErrorContext, Result};

/// A peer that `--peers` accepts.
struct KnownPeer {
    name: &'static str,
    kind: Kind,
    package: &'static str,
    /// The possible paths of the program.
    paths: &'static [&'static str],
}

const KNOWN_PEERS: &[KnownPeer] = &[
    KnownPeer {
        name: SOCKET_PROXYD,
        kind: Kind::SocketProxyd,
        package: "systemd",
        paths: &["/lib/systemd/systemd-socket-proxyd", "/usr/lib/systemd/systemd-socket-proxyd"],
    },
    KnownPeer {
        name: HAPROXY,
        kind: Kind::HaProxy { threads: 1 },
        package: "haproxy",
        paths: &["/usr/sbin/haproxy"],
    },
    KnownPeer {
        name: HAPROXY_2,
        kind: Kind::HaProxy { threads: 2 },
        package: "haproxy",
        paths: &["/usr/sbin/haproxy"],
    },
    KnownPeer { name: NGINX, kind: Kind::Nginx, package: "nginx", paths: &["/usr/sbin/nginx"] },
    KnownPeer { name: "socat", kind: Kind::Socat, package: "socat", paths: &["/usr/bin/socat"] },
    KnownPeer { name: "rinetd", kind: Kind::Rinetd, package: "rinetd", paths: &["/usr/sbin/rinetd"] },
    KnownPeer { name: FLOOR, kind: Kind::Floor, package: "dormouse-bench", paths: &["/proc/self/exe"] },
    KnownPeer { name: "podman", kind: Kind::Podman, package: "podman runc", paths: &["/usr/bin/podman"] },
];

/// Returns the names that `--peers` accepts.
pub(crate) fn peer_names() -> Vec<&'static str> {
    KNOWN_PEERS.iter().map(|known| known.name).collect()
}

/// Returns the default peers: all except rinetd, which truncates half-closed streams and so does less work.
pub(crate) fn default_peers() -> Vec<&'static str> {
    KNOWN_PEERS.iter().filter(|known| !matches!(known.kind, Kind::Rinetd)).map(|known| known.name).collect()
}

/// Returns the subject without a proxy.
pub(crate) fn direct() -> Subject {
    Subject { name: DIRECT.into(), kind: Kind::Direct, program: PathBuf::new() }
}

/// Returns dormouse: `$DORMOUSE_BIN`, or the program in the same folder as this one.
pub(crate) fn dormouse() -> Result<Subject> {
    let program = match env::var_os("DORMOUSE_BIN") {
        Some(path) => PathBuf::from(path),
        None => {
            env::current_exe().context(|| "find the path of this program".into())?.with_file_name("dormouse")
        }
    };
    other_dormouse(DORMOUSE, program)
}

/// Returns another build of dormouse under its own name.
pub(crate) fn other_dormouse(name: &str, program: PathBuf) -> Result<Subject> {
    if !program.is_file() {
        return Err(Error::Missing {
            program: "dormouse",
            remedy: format!(
                "{} is not a file; run `cargo build --release`, or set DORMOUSE_BIN",
                program.display()
            ),
        });
    }
    Ok(Subject { name: name.into(), kind: Kind::Dormouse, program })
}

/// Returns the peer with this name.
pub(crate) fn peer(name: &str) -> Result<Subject> {
    let known = KNOWN_PEERS.iter().find(|known| known.name == name).ok_or_else(|| {
        Error::Usage(format!("unknown peer: {name}; known peers: {}", peer_names().join(", ")))
    })?;
    let missing = |package: &str| Error::Missing {
        program: known.name,
        remedy: format!("run `apt install {package}`, or omit it with --peers"),
    };
    let program =
        known.paths.iter().map(Path::new).find(|path| path.exists()).ok_or_else(|| missing(known.package))?;
    if known.kind == Kind::Nginx && !Path::new(nginx::STREAM_MODULE).exists() {
        return Err(missing("libnginx-mod-stream"));
    }
    Ok(Subject { name: name.into(), kind: known.kind, program: program.into() })
}
