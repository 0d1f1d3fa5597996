//! Sessions that stay open during a measurement.

use std::{os::fd::OwnedFd, time::Duration};

use rustix::net::{SocketFlags, connect, send, sockopt};

use super::protocol::{MESSAGE, READY, begin, end, exchange};
use crate::{
    error::{ErrorContext, Result},
    net::{Endpoint, Family, SEND_FLAGS, start_connect, stream_socket},
    process::{send_line, wait_for_go},
    spec::HoldMode,
};

/// The receive buffer of a stuck reader: small, so that the transfer stops soon.
const SMALL_BUFFER: usize = 16 * 1024;
/// An answer that takes longer counts as missing.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(500);

#[expect(clippy::cast_precision_loss, reason = "a few thousand sessions")]
pub(super) fn client(mode: HoldMode, count: usize, front: &Endpoint) -> Result<()> {
    if mode != HoldMode::Stuck {
        exchange(&front.connect()?)?;
        send_line(READY)?;
        wait_for_go()?;
    }
    let sessions = open_all(mode, count, front)?;
    begin()?;
    wait_for_go()?;
    if mode == HoldMode::Answered {
        sessions.iter().try_for_each(exchange)?;
    }
    end(&[("sessions", sessions.len() as f64)])
}

fn open_all(mode: HoldMode, count: usize, front: &Endpoint) -> Result<Vec<OwnedFd>> {
    let to = front.address()?;
    let mut is_answered = true;
    let mut sessions = Vec::with_capacity(count);
    while sessions.len() < count {
        if !is_answered {
            // Neither call may block: the backlog can be full or the session closed.
            let socket = start_connect(front.family(), &to, false)?;
            let _ = send(&socket, &[b'q'; MESSAGE], SEND_FLAGS);
            sessions.push(socket);
            continue;
        }
        let socket = open(mode, front)?;
        match mode {
            HoldMode::Answered => exchange(&socket)?,
            HoldMode::Queued => {
                // One after another, so that the proxy opens all descriptors of a session before the next one.
                sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(ANSWER_TIMEOUT))
                    .context(|| "set SO_RCVTIMEO".into())?;
                is_answered = exchange(&socket).is_ok();
            }
            HoldMode::Stuck => {}
        }
        sessions.push(socket);
    }
    Ok(sessions)
}

fn open(mode: HoldMode, front: &Endpoint) -> Result<OwnedFd> {
    let socket = stream_socket(front.family(), SocketFlags::CLOEXEC)?;
    if mode == HoldMode::Stuck && front.family() == Family::Tcp {
        sockopt::set_socket_recv_buffer_size(&socket, SMALL_BUFFER).context(|| "set SO_RCVBUF".into())?;
    }
    connect(&socket, &front.address()?).context(|| format!("connect to {front}"))?;
    Ok(socket)
}
