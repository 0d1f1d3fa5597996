//! The server behind the proxy: one thread, one epoll set, nothing allocated for a request.

use std::{fmt, os::fd::OwnedFd, str::FromStr, thread::sleep, time::Duration};

use rustix::{
    io::Errno,
    net::{RecvFlags, SocketFlags, recv, send, sockopt},
};

use crate::{
    by_socket::{BySocket, number},
    error::{Doing, Error, Result},
    net::{Endpoint, Family, SEND, accepted, set_nodelay},
    poller::{EventFlags, Poller},
    process::say,
};

/// Said once nothing more could be written for [`QUIET_AFTER`].
pub(crate) const QUIET: &str = "quiet";
const QUIET_AFTER: Duration = Duration::from_millis(300);
const LISTENER: u64 = u64::MAX;
const BUFFER: usize = 256 * 1024;
/// Chunks of a flood for one session before the others have their turn.
const TURNS: usize = 4;
/// Between the first writes to one session, so that a proxy can pass on each segment as it comes ...
const DRIP_PAUSE: Duration = Duration::from_micros(500);
/// ... until the sockets behind it are full, and what is left are buffers that join segments.
const DRIP_PAUSES: usize = 3000;
/// Writes to one session in its turn from then on.
const DRIP_HURRY: usize = 64;
/// Little memory for what a stuck reader leaves over, so that the standstill comes soon.
const DRIP_BUFFER: usize = 16 * 1024;

/// What the backend does with a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Sends back what comes.
    Echo,
    /// Throws away what comes; on TCP without copying it to user space.
    Sink,
    /// Sends as much as it can.
    Source,
    /// Sends as much as it can in writes of so many bytes.
    Drip(usize),
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Echo => f.write_str("echo"),
            Self::Sink => f.write_str("sink"),
            Self::Source => f.write_str("source"),
            Self::Drip(size) => write!(f, "drip:{size}"),
        }
    }
}

impl FromStr for Mode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.split_once(':') {
            None if text == "echo" => Ok(Self::Echo),
            None if text == "sink" => Ok(Self::Sink),
            None if text == "source" => Ok(Self::Source),
            Some(("drip", size)) => {
                size.parse().map(Self::Drip).map_err(|_| Error::Usage(format!("not a size: {size}")))
            }
            _ => Err(Error::Usage(format!("not a backend: {text}"))),
        }
    }
}

/// Listens, prints the endpoint, and serves until it is killed.
pub(crate) fn serve(mode: Mode, at: &Endpoint) -> Result<()> {
    let (listener, bound) = at.listen()?;
    // Both options pass on to the sockets that the listener accepts: no call for each session.
    set_nodelay(&listener, at.family())?;
    if matches!(mode, Mode::Drip(_)) && at.family() == Family::Tcp {
        sockopt::set_socket_send_buffer_size(&listener, DRIP_BUFFER).doing(|| "set SO_SNDBUF".into())?;
    }
    rustix::io::ioctl_fionbio(&listener, true).doing(|| "make the listener non-blocking".into())?;
    say(&bound.to_string())?;
    Backend::new(mode, at.family(), listener)?.run()
}

struct Backend {
    mode: Mode,
    discard: RecvFlags,
    interest: EventFlags,
    listener: OwnedFd,
    poller: Poller,
    sessions: BySocket<OwnedFd>,
    buffer: Vec<u8>,
}

impl Backend {
    fn new(mode: Mode, family: Family, listener: OwnedFd) -> Result<Self> {
        let poller = Poller::new()?;
        poller.add(&listener, LISTENER, EventFlags::IN)?;
        Ok(Self {
            mode,
            discard: if family == Family::Tcp { RecvFlags::TRUNC } else { RecvFlags::empty() },
            interest: match mode {
                Mode::Echo | Mode::Sink => EventFlags::IN,
                Mode::Source | Mode::Drip(_) => EventFlags::OUT,
            },
            listener,
            poller,
            sessions: BySocket::new(),
            buffer: vec![b'x'; BUFFER],
        })
    }

    fn run(&mut self) -> Result<()> {
        let mut ready = Vec::new();
        let mut wrote = false;
        let mut pauses = 0..DRIP_PAUSES;
        loop {
            let patience = wrote.then_some(QUIET_AFTER);
            self.poller.wait(&mut ready, patience)?;
            if ready.is_empty() && wrote {
                say(QUIET)?;
                wrote = false;
            }
            for &token in &ready {
                if token == LISTENER {
                    self.accept()?;
                } else {
                    self.serve(token, pauses.is_empty());
                    wrote |= matches!(self.mode, Mode::Drip(_));
                }
            }
            if wrote && pauses.next().is_some() {
                sleep(DRIP_PAUSE);
            }
        }
    }

    fn accept(&mut self) -> Result<()> {
        while let Some(session) = accepted(&self.listener, SocketFlags::NONBLOCK)? {
            let number = number(&session);
            self.poller.add(&session, number, self.interest)?;
            self.sessions.put(number, session);
        }
        Ok(())
    }

    /// One turn of one session; a session that ended is dropped, which closes it.
    fn serve(&mut self, token: u64, hurry: bool) {
        let Some(session) = self.sessions.get(token) else { return };
        let buffer = self.buffer.as_mut_slice();
        let alive = match self.mode {
            Mode::Echo => echo(session, buffer),
            Mode::Sink => matches!(recv(session, buffer, self.discard), Ok((1.., _)) | Err(Errno::AGAIN)),
            Mode::Source => flood(session, buffer, TURNS),
            Mode::Drip(size) => {
                let turns = if hurry { DRIP_HURRY } else { 1 };
                flood(session, buffer.get(..size).unwrap_or_default(), turns)
            }
        };
        if !alive {
            self.sessions.take(token);
        }
    }
}

/// The answers are small: one that does not fit the socket is a fault of the load.
fn echo(session: &OwnedFd, buffer: &mut [u8]) -> bool {
    match recv(session, &mut *buffer, RecvFlags::empty()) {
        Ok((0, _)) => false,
        Ok((count, _)) => send(session, buffer.get(..count).unwrap_or_default(), SEND) == Ok(count),
        Err(error) => error == Errno::AGAIN,
    }
}

fn flood(session: &OwnedFd, chunk: &[u8], turns: usize) -> bool {
    for _ in 0..turns {
        match send(session, chunk, SEND) {
            Ok(_) => {}
            Err(error) => return error == Errno::AGAIN,
        }
    }
    true
}
