//! The backend: one thread, one epoll set, no allocation per request.

use std::{fmt, os::fd::OwnedFd, str::FromStr, thread::sleep, time::Duration};

use rustix::{
    io::Errno,
    net::{RecvFlags, SocketFlags, recv, send, sockopt},
};

use crate::{
    error::{Error, ErrorContext, Result},
    fd_map::{FdMap, token_of},
    net::{Endpoint, Family, SEND_FLAGS, accept_client, set_nodelay},
    poller::{EventFlags, Poller},
    process::send_line,
};

/// Printed when nothing could be written for [`QUIET_AFTER`].
pub(crate) const QUIET: &str = "quiet";
const QUIET_AFTER: Duration = Duration::from_millis(300);
const LISTENER: u64 = u64::MAX;
const BUFFER: usize = 256 * 1024;
/// The most chunks of a flood for one session before the next session is served.
const CHUNKS_PER_TURN: usize = 4;
/// The pause between the first writes to a session, so that the proxy relays each segment separately.
const DRIP_PAUSE: Duration = Duration::from_micros(500);
/// The number of pauses, until the sockets are full. The remaining buffers join segments.
const DRIP_PAUSES: usize = 3000;
/// The writes to one session at a time after the pauses.
const DRIP_BURST: usize = 64;
/// A small send buffer, so that the transfer stops soon.
const DRIP_BUFFER: usize = 16 * 1024;

/// What the backend does with a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Echoes the data.
    Echo,
    /// Discards the data; on TCP without copying it to user space.
    Sink,
    /// Sends as much as possible.
    Source,
    /// Sends as much as possible in writes of this size, in bytes.
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
                size.parse().map(Self::Drip).map_err(|_| Error::Usage(format!("invalid size: {size}")))
            }
            _ => Err(Error::Usage(format!("unknown backend mode: {text}"))),
        }
    }
}

/// Listens, prints the endpoint, and serves until the process is killed.
pub(crate) fn serve(mode: Mode, at: &Endpoint) -> Result<()> {
    let (listener, bound) = at.listen()?;
    // Accepted sockets inherit both options, which saves a call for each session.
    set_nodelay(&listener, at.family())?;
    if matches!(mode, Mode::Drip(_)) && at.family() == Family::Tcp {
        sockopt::set_socket_send_buffer_size(&listener, DRIP_BUFFER).context(|| "set SO_SNDBUF".into())?;
    }
    rustix::io::ioctl_fionbio(&listener, true).context(|| "make the listener non-blocking".into())?;
    send_line(&bound.to_string())?;
    Backend::new(mode, at.family(), listener)?.run()
}

struct Backend {
    mode: Mode,
    discard: RecvFlags,
    interest: EventFlags,
    listener: OwnedFd,
    poller: Poller,
    sessions: FdMap<OwnedFd>,
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
            sessions: FdMap::new(),
            buffer: vec![b'x'; BUFFER],
        })
    }

    fn run(&mut self) -> Result<()> {
        let mut ready = Vec::new();
        let mut wrote = false;
        let mut pauses = 0..DRIP_PAUSES;
        loop {
            let timeout = wrote.then_some(QUIET_AFTER);
            self.poller.wait(&mut ready, timeout)?;
            if ready.is_empty() && wrote {
                send_line(QUIET)?;
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
        while let Some(session) = accept_client(&self.listener, SocketFlags::NONBLOCK)? {
            let number = token_of(&session);
            self.poller.add(&session, number, self.interest)?;
            self.sessions.put(number, session);
        }
        Ok(())
    }

    /// Handles an event of a session. Dropping an ended session closes it.
    fn serve(&mut self, token: u64, burst: bool) {
        let Some(session) = self.sessions.get(token) else { return };
        let buffer = self.buffer.as_mut_slice();
        let is_open = match self.mode {
            Mode::Echo => echo(session, buffer),
            Mode::Sink => matches!(recv(session, buffer, self.discard), Ok((1.., _)) | Err(Errno::AGAIN)),
            Mode::Source => flood(session, buffer, CHUNKS_PER_TURN),
            Mode::Drip(size) => {
                let turns = if burst { DRIP_BURST } else { 1 };
                flood(session, buffer.get(..size).unwrap_or_default(), turns)
            }
        };
        if !is_open {
            self.sessions.take(token);
        }
    }
}

/// Echoes one read. Answers are small, so a partial write is an error of the load.
fn echo(session: &OwnedFd, buffer: &mut [u8]) -> bool {
    match recv(session, &mut *buffer, RecvFlags::empty()) {
        Ok((0, _)) => false,
        Ok((count, _)) => send(session, buffer.get(..count).unwrap_or_default(), SEND_FLAGS) == Ok(count),
        Err(error) => error == Errno::AGAIN,
    }
}

fn flood(session: &OwnedFd, chunk: &[u8], turns: usize) -> bool {
    for _ in 0..turns {
        match send(session, chunk, SEND_FLAGS) {
            Ok(_) => {}
            Err(error) => return error == Errno::AGAIN,
        }
    }
    true
}
