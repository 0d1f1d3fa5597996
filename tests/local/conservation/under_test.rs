//! What the sessions go through.

use std::fmt;

use dormouse_tests::{
    Address, Failure, Family, Launch, Listener, Result, Running, Subject, temp::TempDir, wait,
};

use super::{link::Door, plan::Role};

/// What is between the client and the server.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Through {
    /// A program, passed a listening socket and told the server's address.
    Program(Subject),
    /// Nothing: the client connects to the server.
    Nothing,
}

/// The kinds of sockets on the client's and on the server's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    front: Kind,
    back: Kind,
}

/// A kind of socket: how its peers can end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Tcp,
    Unix,
}

impl Way {
    pub(crate) const TCP_TO_TCP: Self = Self { front: Kind::Tcp, back: Kind::Tcp };
    pub(crate) const UNIX_TO_UNIX: Self = Self { front: Kind::Unix, back: Kind::Unix };
    pub(crate) const ALL: [Self; 4] = [
        Self::TCP_TO_TCP,
        Self { front: Kind::Tcp, back: Kind::Unix },
        Self { front: Kind::Unix, back: Kind::Tcp },
        Self::UNIX_TO_UNIX,
    ];

    /// The kind of the socket that the peer in this role has.
    pub(crate) fn kind(self, role: Role) -> Kind {
        match role {
            Role::Client => self.front,
            Role::Server => self.back,
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |kind| if kind == Kind::Tcp { "tcp" } else { "unix" };
        write!(f, "{}-{}", name(self.front), name(self.back))
    }
}

/// A way that is set up.
#[derive(Debug)]
pub(crate) struct Course {
    /// Where clients connect to.
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

/// Pipes that a program may keep at hand for the next session, two descriptors each.
const SPARE_DESCRIPTORS: usize = 16;

/// What a program may hold in memory after the run. Sessions hold some buffers each; thousands of them are to leave
/// nothing behind.
const MOST_MEMORY: u64 = 12 << 20;

impl Course {
    /// Opens the server's door and starts what is to be between.
    pub(crate) fn set_up(through: Through, way: Way) -> Result<(Self, Door)> {
        let dir = TempDir::new()?;
        let door = Door::open(&match way.back {
            Kind::Tcp => Address::Tcp(([127, 0, 0, 1], 0).into()),
            Kind::Unix => Address::Unix(dir.join("server")),
        })?;
        let (front, program) = match through {
            Through::Nothing => (door.address()?, None),
            Through::Program(subject) => {
                let program = Program::start(subject, way.front, &door.address()?)?;
                (program.listener.address().clone(), Some(program))
            }
        };
        Ok((Self { front, program, _dir: dir }, door))
    }

    /// Whether nothing of any session is left in the program.
    pub(crate) fn is_at_rest(&self) -> Result<bool> {
        match &self.program {
            Some(program) => Ok(program.descriptors()?.sockets == program.at_rest.sockets),
            None => Ok(true),
        }
    }

    /// What the program has kept, in words; nothing without a program.
    ///
    /// # Errors
    /// When it is more than it may.
    pub(crate) fn check_what_is_left(&self) -> Result<String> {
        let Some(program) = &self.program else { return Ok(String::new()) };
        let now = program.descriptors()?;
        let memory = program.memory("VmRSS")?;
        let text = format!(
            "descriptors: {} sockets and {} others, at rest {} and {}; resident memory {} KiB, at most {} KiB",
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
            Err(Failure::Unexpected(format!("left over: {text}")))
        }
    }

    /// What the program has written, for a failure's message.
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
        // A broken pipe kills the original, and whoever came after that would wait for nobody.
        let launch = Launch::new(subject).pass(&listener).ignore_sigpipe();
        let running = launch.arg(target.to_string()).start()?;
        // It is the program and at rest once it waits for the listener.
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

    /// A size of /proc/PID/status, in bytes.
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
