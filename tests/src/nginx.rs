//! The web server behind the program: a real nginx, under a unit of its own.

use std::{fmt::Write as _, path::Path};

use crate::Result;
use crate::machine::{Machine, write};

/// Where nginx listens, under a manager whose `%t` is `runtime`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upstream {
    /// On 127.0.0.1.
    Tcp,
    /// On a UNIX socket.
    Unix,
}

impl Upstream {
    /// As the program's target, with systemd's specifiers.
    pub fn target(self) -> &'static str {
        match self {
            Self::Tcp => "127.0.0.1:8081",
            Self::Unix => "%t/web/socket",
        }
    }

    /// As nginx's `listen`, with its directory.
    fn listen(self, dir: &Path) -> String {
        match self {
            Self::Tcp => "127.0.0.1:8081".to_owned(),
            Self::Unix => format!("unix:{}/socket", dir.display()),
        }
    }
}

/// How long nginx takes from its start to its listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// As short as it can be.
    Quick,
    /// Some tenths of a second, which it spends on reading a large configuration.
    Slow,
}

/// So many entries take nginx a third of a second or more.
const SLOW_ENTRIES: u32 = 300_000;

/// What web.service is: stopped when the last unit that requires it stops, and without a word to the manager about when
/// it listens (`Type=exec`), so that it is "started" long before it answers.
///
/// The start limit is off, since the tests start it more often than 5 times in 10 s.
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

/// A configuration for a server at `listen` that keeps all its files in `dir`.
pub fn configuration(dir: &Path, listen: &str, start: Start) -> String {
    let dir = dir.display();
    let mut text = format!("daemon off;\npid {dir}/pid;\nerror_log stderr;\nworker_processes 1;\n");
    text.push_str("events { worker_connections 512; }\nhttp {\naccess_log off;\n");
    for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        let _ = writeln!(text, "{kind}_temp_path {dir}/{kind};");
    }
    if start == Start::Slow {
        text.push_str("map_hash_max_size 1000000;\nmap $arg_n $unused {\n");
        for entry in 0..SLOW_ENTRIES {
            let _ = writeln!(text, "k{entry} v{entry};");
        }
        text.push_str("}\n");
    }
    let _ = writeln!(text, "server {{ listen {listen}; location / {{ return 200 \"$arg_n\\n\"; }} }}\n}}");
    text
}
