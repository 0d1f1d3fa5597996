//! The programs under measurement: how each is found and started.

mod haproxy;
mod nginx;
mod podman;
mod waking;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{ChildStdout, Command},
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::net::sockopt;

use crate::{
    error::{Doing, Error, Result},
    net::{Endpoint, Family},
    process::{Running, Start, start},
};

pub(crate) use waking::{Asleep, Woken};

/// More sessions than any load opens, and what fits a hard limit of 20 000 descriptors at two each.
const CONNECTIONS: &str = "8000";

/// The columns' titles that others refer to.
pub(crate) const DIRECT: &str = "direct";
pub(crate) const DORMOUSE: &str = "dormouse";
pub(crate) const ORIGINAL: &str = "original";
pub(crate) const HAPROXY: &str = "haproxy";
pub(crate) const HAPROXY_2: &str = "haproxy2";
pub(crate) const NGINX: &str = "nginx";
pub(crate) const FLOOR: &str = "floor";

/// How a program is configured and handed its listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// No proxy: the client speaks to the backend.
    Direct,
    Dormouse,
    Original,
    HaProxy {
        threads: u8,
    },
    Nginx,
    Socat,
    Rinetd,
    /// No proxy: what a start takes by itself.
    Podman,
    /// No proxy either: what the kernel takes by itself ([`crate::floor`]).
    Floor,
}

/// A program under measurement.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    /// The column's title.
    pub(crate) name: String,
    pub(crate) kind: Kind,
    program: PathBuf,
}

/// A kind of peer that can be chosen by `--peers`.
struct Known {
    name: &'static str,
    kind: Kind,
    package: &'static str,
    /// Where it is installed.
    paths: &'static [&'static str],
}

const KNOWN: &[Known] = &[
    Known {
        name: ORIGINAL,
        kind: Kind::Original,
        package: "systemd",
        paths: &["/lib/systemd/systemd-socket-proxyd", "/usr/lib/systemd/systemd-socket-proxyd"],
    },
    Known {
        name: HAPROXY,
        kind: Kind::HaProxy { threads: 1 },
        package: "haproxy",
        paths: &["/usr/sbin/haproxy"],
    },
    Known {
        name: HAPROXY_2,
        kind: Kind::HaProxy { threads: 2 },
        package: "haproxy",
        paths: &["/usr/sbin/haproxy"],
    },
    Known { name: NGINX, kind: Kind::Nginx, package: "nginx", paths: &["/usr/sbin/nginx"] },
    Known { name: "socat", kind: Kind::Socat, package: "socat", paths: &["/usr/bin/socat"] },
    Known { name: "rinetd", kind: Kind::Rinetd, package: "rinetd", paths: &["/usr/sbin/rinetd"] },
    Known { name: FLOOR, kind: Kind::Floor, package: "dormouse-bench", paths: &["/proc/self/exe"] },
    Known { name: "podman", kind: Kind::Podman, package: "podman runc", paths: &["/usr/bin/podman"] },
];

/// The names that `--peers` takes.
pub(crate) fn peer_names() -> Vec<&'static str> {
    KNOWN.iter().map(|known| known.name).collect()
}

/// The peers that are taken without being named: those that do the same work. rinetd cuts half-closed streams.
pub(crate) fn default_peers() -> Vec<&'static str> {
    KNOWN.iter().filter(|known| !matches!(known.kind, Kind::Rinetd)).map(|known| known.name).collect()
}

/// No proxy at all.
pub(crate) fn direct() -> Subject {
    Subject { name: DIRECT.into(), kind: Kind::Direct, program: PathBuf::new() }
}

/// Ours: `$DORMOUSE_BIN`, or the program built beside this one.
pub(crate) fn dormouse() -> Result<Subject> {
    let program = match env::var_os("DORMOUSE_BIN") {
        Some(path) => PathBuf::from(path),
        None => {
            env::current_exe().doing(|| "find the bench's own program".into())?.with_file_name("dormouse")
        }
    };
    other_dormouse(DORMOUSE, program)
}

/// Another build of ours under a name of its own.
pub(crate) fn other_dormouse(name: &str, program: PathBuf) -> Result<Subject> {
    if !program.is_file() {
        return Err(Error::Missing {
            program: "dormouse",
            remedy: format!("{} is no file: `cargo build --release`, or set DORMOUSE_BIN", program.display()),
        });
    }
    Ok(Subject { name: name.into(), kind: Kind::Dormouse, program })
}

/// A peer by its name.
pub(crate) fn peer(name: &str) -> Result<Subject> {
    let known = KNOWN.iter().find(|known| known.name == name).ok_or_else(|| {
        Error::Usage(format!("no peer is called {name}; known: {}", peer_names().join(", ")))
    })?;
    let missing = |package: &str| Error::Missing {
        program: known.name,
        remedy: format!("`apt install {package}`, or leave it out with --peers"),
    };
    let program =
        known.paths.iter().map(Path::new).find(|path| path.exists()).ok_or_else(|| missing(known.package))?;
    if known.kind == Kind::Nginx && !Path::new(nginx::STREAM_MODULE).exists() {
        return Err(missing("libnginx-mod-stream"));
    }
    Ok(Subject { name: name.into(), kind: known.kind, program: program.into() })
}

/// A started proxy, or none for the direct way.
pub(crate) struct Proxy {
    /// Where clients connect.
    pub(crate) front: Endpoint,
    pub(crate) running: Option<Running>,
    /// Brings the moment before the exec, if that was asked for.
    pub(crate) stamps: Option<ChildStdout>,
}

/// What a start needs beyond the program.
pub(crate) struct Place<'a> {
    pub(crate) scratch: &'a Path,
    /// Sets this start's files apart from those of other starts.
    pub(crate) serial: u64,
    pub(crate) client_side: Family,
    pub(crate) target: &'a Endpoint,
    pub(crate) setting: Setting,
}

/// What is out of the ordinary about a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setting {
    Usual,
    /// What the program says is thrown away, because it may be millions of lines.
    Mute,
    /// The sockets towards clients take little, as with `SendBuffer=` in a socket unit:
    /// by itself the kernel lets them grow to megabytes before a reader counts as slow.
    SmallBuffers,
}

/// What [`Setting::SmallBuffers`] means, in bytes.
const SMALL_BUFFER: usize = 16 * 1024;

impl Place<'_> {
    fn has_small_buffers(&self) -> bool {
        self.setting == Setting::SmallBuffers && self.client_side == Family::Tcp
    }

    fn file(&self, ending: &str) -> PathBuf {
        self.scratch.join(format!("{}.{ending}", self.serial))
    }
}

impl Subject {
    /// Whether the program can listen on the one and connect to the other.
    pub(crate) fn speaks(&self, client_side: Family, server_side: Family) -> bool {
        match self.kind {
            Kind::Rinetd => client_side == Family::Tcp && server_side == Family::Tcp,
            _ => true,
        }
    }

    /// Whether sessions can go through it, or past it.
    pub(crate) fn carries(&self) -> bool {
        self.kind != Kind::Podman
    }

    /// Whether dormouse is compared with it.
    pub(crate) fn is_peer(&self) -> bool {
        !matches!(self.kind, Kind::Direct | Kind::Dormouse | Kind::Floor)
    }

    /// Whether the program makes a process for every session.
    pub(crate) fn forks(&self) -> bool {
        self.kind == Kind::Socat
    }

    /// Whether the program takes a listening socket at descriptor 3, so that clients may come before it.
    pub(crate) fn takes_listener(&self) -> bool {
        matches!(self.kind, Kind::Dormouse | Kind::Original | Kind::HaProxy { .. })
    }

    /// Whether its sockets towards clients can be told to take little.
    pub(crate) fn takes_small_buffers(&self) -> bool {
        self.takes_listener() || self.kind == Kind::Nginx
    }

    /// Opens the listener and starts the program with it.
    pub(crate) fn start(&self, place: &Place<'_>) -> Result<Proxy> {
        if self.kind == Kind::Direct {
            return Ok(Proxy { front: place.target.clone(), running: None, stamps: None });
        }
        let endpoint = Endpoint::unbound(place.client_side, place.file("front"));
        if self.takes_listener() {
            let (listener, front) = endpoint.listen()?;
            if place.has_small_buffers() {
                sockopt::set_socket_send_buffer_size(&listener, SMALL_BUFFER)
                    .doing(|| "set SO_SNDBUF".into())?;
            }
            return self.start_on(place, front, Some(listener), false);
        }
        let mut proxy = self.start_on(place, endpoint.reserve()?, None, false)?;
        await_listening(&proxy.front, proxy.running.as_mut())?;
        Ok(proxy)
    }

    /// Starts the program on a listener that may have clients already.
    pub(crate) fn start_on(
        &self,
        place: &Place<'_>,
        front: Endpoint,
        listener: Option<std::os::fd::OwnedFd>,
        stamp: bool,
    ) -> Result<Proxy> {
        let command = self.command(place, &front)?;
        let log = if place.setting == Setting::Mute { "/dev/null".into() } else { place.file("log") };
        let (running, stamps) = start(Start { name: &self.name, command, listener, log }, stamp)?;
        Ok(Proxy { front, running: Some(running), stamps })
    }

    fn command(&self, place: &Place<'_>, front: &Endpoint) -> Result<Command> {
        let mut command = Command::new(&self.program);
        let target = place.target.to_string();
        match self.kind {
            Kind::Direct | Kind::Podman => {}
            Kind::Floor => {
                command.args(["floor", &front.to_string(), &target]);
            }
            Kind::Dormouse => {
                command.args(["proxy", "-c", CONNECTIONS, &target]);
            }
            Kind::Original => {
                command.args(["-c", CONNECTIONS, &target]);
            }
            Kind::HaProxy { threads } => {
                let file = place.file("cfg");
                written(&file, &haproxy::configuration(threads, place.target))?;
                command.arg("-db").arg("-f").arg(file);
            }
            Kind::Nginx => {
                let file = place.file("conf");
                written(&file, &nginx::configuration(place, front))?;
                command.arg("-p").arg(place.scratch).arg("-e").arg(place.file("log")).arg("-c").arg(file);
            }
            Kind::Socat => {
                let downstream = match front {
                    Endpoint::Tcp(at) => format!("TCP-LISTEN:{},bind={},reuseaddr", at.port(), at.ip()),
                    Endpoint::Unix(path) => format!("UNIX-LISTEN:{}", path.display()),
                };
                let upstream = match place.target {
                    Endpoint::Tcp(_) => format!("TCP:{target}"),
                    Endpoint::Unix(_) => format!("UNIX-CONNECT:{target}"),
                };
                command.args(["-b", "65536", &format!("{downstream},fork,backlog=4096"), &upstream]);
            }
            Kind::Rinetd => {
                let file = place.file("conf");
                let words = format!("{front} {target}\n").replace(':', " ");
                written(&file, &words)?;
                command.args(["-f", "-c"]).arg(file);
            }
        }
        Ok(command)
    }

    /// What the program says that it is; one line.
    pub(crate) fn version(&self) -> String {
        let (flag, line) = match self.kind {
            Kind::Direct => return "no proxy".into(),
            Kind::Floor => return "the least that a relay asks of the kernel".into(),
            Kind::HaProxy { .. } | Kind::Nginx | Kind::Rinetd => ("-v", 0),
            Kind::Socat => ("-V", 1),
            Kind::Dormouse | Kind::Original | Kind::Podman => ("--version", 0),
        };
        let Ok(output) = Command::new(&self.program).arg(flag).output() else { return "?".into() };
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&text).lines().nth(line).unwrap_or("?").trim().to_owned()
    }
}

fn written(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).doing(|| format!("write {}", path.display()))
}

/// Waits for the kernel to list the socket as listening; a connection would count as a session.
fn await_listening(front: &Endpoint, mut running: Option<&mut Running>) -> Result<()> {
    const AT_MOST: Duration = Duration::from_secs(10);
    let until = Instant::now() + AT_MOST;
    while Instant::now() < until {
        if let Some(running) = &mut running {
            running.check()?;
        }
        if is_listening(front)? {
            return Ok(());
        }
        sleep(Duration::from_millis(2));
    }
    Err(Error::Late { awaited: format!("listener at {front}"), after: AT_MOST })
}

fn is_listening(endpoint: &Endpoint) -> Result<bool> {
    let (list, words) = match endpoint {
        // Local port, no remote address, state LISTEN.
        Endpoint::Tcp(at) => {
            ("/proc/net/tcp", [format!(":{:04X} 00000000:0000 0A ", at.port()), String::new()])
        }
        // Flag ACCEPTCON, path.
        Endpoint::Unix(path) => ("/proc/net/unix", [" 00010000 ".into(), format!(" {}", path.display())]),
    };
    // A socket may listen before it gets the name that it is known by.
    if matches!(endpoint, Endpoint::Unix(path) if !path.exists()) {
        return Ok(false);
    }
    let text = fs::read_to_string(list).doing(|| format!("read {list}"))?;
    Ok(text.lines().any(|line| words.iter().all(|word| line.contains(word.as_str()))))
}
