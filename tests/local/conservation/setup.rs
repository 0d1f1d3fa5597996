//! The process under test between clients and server.

use std::fmt;

use dormouse_tests::{
    Address, Failure, Family, Launch, Listener, Result, Running, Subject, temp::TempDir, wait,
};

use super::{connection::ServerListener, plan::Role};

/// The connection between client and server.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Path {
    /// Through a program that gets a listening socket and the server's address.
    Program(Subject),
    /// Direct: the client connects to the server.
    Direct,
}

/// The socket families on the client's and on the server's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FamilyPair {
    front: Kind,
    back: Kind,
}

/// A socket family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Tcp,
    Unix,
}

impl FamilyPair {
    pub(crate) const TCP_TO_TCP: Self = Self { front: Kind::Tcp, back: Kind::Tcp };
    pub(crate) const UNIX_TO_UNIX: Self = Self { front: Kind::Unix, back: Kind::Unix };
    pub(crate) const ALL: [Self; 4] = [
        Self::TCP_TO_TCP,
        Self { front: Kind::Tcp, back: Kind::Unix },
        Self { front: Kind::Unix, back: Kind::Tcp },
        Self::UNIX_TO_UNIX,
    ];

    /// The family of the socket of the peer in this role.
    pub(crate) fn kind(self, role: Role) -> Kind {
        match role {
            Role::Client => self.front,
            Role::Server => self.back,
        }
    }
}

impl fmt::Display for FamilyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |kind| if kind == Kind::Tcp { "tcp" } else { "unix" };
        write!(f, "{}-{}", name(self.front), name(self.back))
    }
}

/// The listening addresses and the process of one pair of families.
#[derive(Debug)]
pub(crate) struct Setup {
    /// The address to which clients connect.
    pub(crate) front: Address,
    program: Option<Program>,
    _dir: TempDir,
}

#[derive(Debug)]
struct Program {
    running: Running,
    at_rest: Descriptors,
    listener: Listener,
}

/// A program's descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Descriptors {
    sockets: usize,
    others: usize,
}

/// The most descriptors of pipes that a program may keep for later sessions.
const SPARE_DESCRIPTORS: usize = 16;

/// The most resident memory of a program after the run. Thousands of sessions must not leak their buffers.
const MOST_MEMORY: u64 = 12 << 20;

impl Setup {
    /// Opens the server's listener and starts the program.
    pub(crate) fn start(path: Path, pair: FamilyPair) -> Result<(Self, ServerListener)> {
        let dir = TempDir::new()?;
        let listener = ServerListener::open(&match pair.back {
            Kind::Tcp => Address::Tcp(([127, 0, 0, 1], 0).into()),
            Kind::Unix => Address::Unix(dir.join("server")),
        })?;
        let (front, program) = match path {
            Path::Direct => (listener.address()?, None),
            Path::Program(subject) => {
                let program = Program::start(subject, pair.front, &listener.address()?)?;
                (program.listener.address().clone(), Some(program))
            }
        };
        Ok((Self { front, program, _dir: dir }, listener))
    }

    /// Whether the program has no more sockets than before the sessions.
    pub(crate) fn is_at_rest(&self) -> Result<bool> {
        match &self.program {
            Some(program) => Ok(program.descriptors()?.sockets == program.at_rest.sockets),
            None => Ok(true),
        }
    }

    /// Describes the resources of the program; the text is empty without a program.
    ///
    /// # Errors
    /// When the resources exceed the limits.
    pub(crate) fn check_what_is_left(&self) -> Result<String> {
        let Some(program) = &self.program else { return Ok(String::new()) };
        let now = program.descriptors()?;
        let memory = program.memory("VmRSS")?;
        let text = format!(
            "descriptors: {} sockets and {} others, when idle {} and {}; resident memory {} KiB, at most {} KiB",
            now.sockets,
            now.others,
            program.at_rest.sockets,
            program.at_rest.others,
            memory >> 10,
            program.memory("VmHWM")? >> 10,
        );
        let few = now.sockets == program.at_rest.sockets
            && now.others <= program.at_rest.others + SPARE_DESCRIPTORS;
        if few && memory <= MOST_MEMORY {
            Ok(text)
        } else {
            Err(Failure::Unexpected(format!("resources remain: {text}")))
        }
    }

    /// The log of the program.
    pub(crate) fn log(&self) -> String {
        self.program.as_ref().map(|program| program.running.stderr().text()).unwrap_or_default()
    }
}

impl Program {
    fn start(subject: Subject, front: Kind, target: &Address) -> Result<Self> {
        let listener = Listener::bind(match front {
            Kind::Tcp => Family::Tcp4,
            Kind::Unix => Family::Unix,
        })?;
        // A broken pipe kills systemd-socket-proxyd, and later clients would wait without a server.
        let launch = Launch::new(subject).pass(&listener).ignore_sigpipe();
        let running = launch.arg(target.to_string()).start()?;
        // The program has been executed and is idle once it waits for the listener.
        let at_rest = wait::until("start of the program", wait::SOON, || {
            let name = running.status_field("Name")?;
            let state = running.status_field("State")?;
            if name == "bash" || !state.starts_with('S') {
                return Ok(None);
            }
            count(&running).map(Some)
        })?;
        Ok(Self { running, at_rest, listener })
    }

    fn descriptors(&self) -> Result<Descriptors> {
        count(&self.running)
    }

    /// Returns a size from /proc/PID/status in bytes.
    fn memory(&self, field: &str) -> Result<u64> {
        let text = self.running.status_field(field)?;
        text.strip_suffix(" kB")
            .and_then(|number| number.trim().parse::<u64>().ok())
            .map(|kib| kib << 10)
            .ok_or_else(|| Failure::Unexpected(format!("{field} is {text:?}")))
    }
}

fn count(running: &Running) -> Result<Descriptors> {
    let all = running.descriptors()?;
    let sockets = all.iter().filter(|path| path.to_string_lossy().starts_with("socket:")).count();
    Ok(Descriptors { sockets, others: all.len() - sockets })
}
