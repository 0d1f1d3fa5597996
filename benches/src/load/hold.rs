//! Sessions that stay open while something else is measured.

use std::{fmt, os::fd::OwnedFd, str::FromStr, time::Duration};

use rustix::net::{SocketFlags, connect, send, sockopt};

use super::{MESSAGE, begin, end, exchange};
use crate::{
    error::{Doing, Error, Result},
    net::{Endpoint, Family, SEND, connecting, stream},
    process::{await_go, say},
};

/// Said once a first session has been answered and has ended: the proxy is up.
pub(super) const READY: &str = "ready";
/// What a reader takes that never reads, so that the standstill comes soon.
const SMALL_BUFFER: usize = 16 * 1024;
/// An answer that takes longer does not come.
const PATIENCE: Duration = Duration::from_millis(500);

/// What the client does with the sessions that it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// One exchange when they open, another before they end.
    Answered,
    /// One exchange each until one is not answered; the rest only ask.
    Asking,
    /// Nothing is ever read, and only little fits the socket.
    Stuck,
}

impl fmt::Display for Manner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Answered => "answered",
            Self::Asking => "asking",
            Self::Stuck => "stuck",
        })
    }
}

impl FromStr for Manner {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "answered" => Ok(Self::Answered),
            "asking" => Ok(Self::Asking),
            "stuck" => Ok(Self::Stuck),
            _ => Err(Error::Usage(format!("not a manner: {text}"))),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a few thousand sessions")]
pub(super) fn client(manner: Manner, count: usize, front: &Endpoint) -> Result<()> {
    if manner != Manner::Stuck {
        exchange(&front.connect()?)?;
        say(READY)?;
        await_go()?;
    }
    let sessions = open_all(manner, count, front)?;
    begin()?;
    await_go()?;
    if manner == Manner::Answered {
        sessions.iter().try_for_each(exchange)?;
    }
    end(&[("sessions", sessions.len() as f64)])
}

fn open_all(manner: Manner, count: usize, front: &Endpoint) -> Result<Vec<OwnedFd>> {
    let to = front.address()?;
    let mut answering = true;
    let mut sessions = Vec::with_capacity(count);
    while sessions.len() < count {
        if !answering {
            // Neither may block: the backlog can be full, the session closed.
            let socket = connecting(front.family(), &to, false)?;
            let _ = send(&socket, &[b'q'; MESSAGE], SEND);
            sessions.push(socket);
            continue;
        }
        let socket = open(manner, front)?;
        match manner {
            Manner::Answered => exchange(&socket)?,
            Manner::Asking => {
                // One after another, so that every session has its descriptors before the next one comes.
                sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(PATIENCE))
                    .doing(|| "set SO_RCVTIMEO".into())?;
                answering = exchange(&socket).is_ok();
            }
            Manner::Stuck => {}
        }
        sessions.push(socket);
    }
    Ok(sessions)
}

fn open(manner: Manner, front: &Endpoint) -> Result<OwnedFd> {
    let socket = stream(front.family(), SocketFlags::CLOEXEC)?;
    if manner == Manner::Stuck && front.family() == Family::Tcp {
        sockopt::set_socket_recv_buffer_size(&socket, SMALL_BUFFER).doing(|| "set SO_RCVBUF".into())?;
    }
    connect(&socket, &front.address()?).doing(|| format!("connect to {front}"))?;
    Ok(socket)
}
