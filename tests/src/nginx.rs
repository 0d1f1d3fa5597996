//! The workload of the service manager tests: a real nginx in its own unit.

use std::{fmt::Write as _, path::Path};

use crate::Result;
use crate::machine::{Machine, write};

/// The address on which nginx listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upstream {
    /// On 127.0.0.1.
    Tcp,
    /// On a UNIX socket.
    Unix,
}

impl Upstream {
    /// The address as the proxy's target, with systemd's specifiers.
    pub fn target(self) -> &'static str {
        match self {
            Self::Tcp => "127.0.0.1:8081",
            Self::Unix => "%t/web/socket",
        }
    }

    /// The address as nginx's `listen`; `dir` holds the UNIX socket.
    fn listen(self, dir: &Path) -> String {
        match self {
            Self::Tcp => "127.0.0.1:8081".to_owned(),
            Self::Unix => format!("unix:{}/socket", dir.display()),
        }
    }
}

/// How fast nginx starts to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// As fast as possible.
    Quick,
    /// After some tenths of a second, which nginx needs to read a large configuration.
    Slow,
}

/// The number of map entries that delays nginx by a third of a second or more.
const SLOW_START_ENTRIES: u32 = 300_000;

/// The unit web.service. systemd stops it when the last unit that requires it stops. It does not report readiness
/// (`Type=exec`), so that the manager reports it as started before nginx answers.
///
/// The start limit is off because the tests start the unit more than 5 times in 10 s.
pub const WEB_SERVICE: &str = "\
[Unit]
StopWhenUnneeded=yes
StartLimitIntervalSec=0
[Service]
Type=exec
RuntimeDirectory=web
ExecStart=/usr/sbin/nginx -e stderr -c %t/nginx.conf
";

/// Writes the configuration that [`WEB_SERVICE`] names. The server answers with the query's `n`.
///
/// # Errors
/// When it cannot be written.
pub fn configure(machine: &Machine, upstream: Upstream, start: Start) -> Result<()> {
    let runtime = machine.runtime();
    let text = configuration(&runtime.join("web"), &upstream.listen(&runtime.join("web")), start);
    write(&runtime.join("nginx.conf"), &text)
}

/// Returns the configuration of a server on `listen` that keeps all its files in `dir`.
pub fn configuration(dir: &Path, listen: &str, start: Start) -> String {
    let dir = dir.display();
    let mut text = format!("daemon off;\npid {dir}/pid;\nerror_log stderr;\nworker_processes 1;\n");
    text.push_str("events { worker_connections 512; }\nhttp {\naccess_log off;\n");
    for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        let _ = writeln!(text, "{kind}_temp_path {dir}/{kind};");
    }
    if start == Start::Slow {
        text.push_str("map_hash_max_size 1000000;\nmap $arg_n $unused {\n");
        for entry in 0..SLOW_START_ENTRIES {
            let _ = writeln!(text, "k{entry} v{entry};");
        }
        text.push_str("}\n");
    }
    let _ = writeln!(text, "server {{ listen {listen}; location / {{ return 200 \"$arg_n\\n\"; }} }}\n}}");
    text
}
