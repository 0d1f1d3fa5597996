//! The minimum of system calls of a relay, as a reference: an accept, a socket and its connect, one call for each read and
//! write. It has no limits, timers or log, sets only `TCP_NODELAY` (and `SO_LINGER`, to relay a reset), and closes a
//! session if a write would block. It is not a usable proxy; a faster proxy must use other system calls.

use std::{os::fd::OwnedFd, time::Duration};

use rustix::{
    io::Errno,
    net::{RecvFlags, Shutdown, SocketAddrAny, SocketFlags, recv, send, shutdown, sockopt},
};

use crate::{
    error::{ErrorContext, Result},
    fd_map::{FdMap, token_of},
    net::{Endpoint, Family, SEND_FLAGS, accept_client, set_nodelay, start_connect},
    poller::{EventFlags, Poller},
};

const LISTENER: u64 = u64::MAX;
const BUFFER: usize = 64 * 1024;

/// Listens, and relays to the target until the process is killed.
pub(crate) fn serve(front: &Endpoint, target: &Endpoint) -> Result<()> {
    let (listener, _) = front.listen()?;
    set_nodelay(&listener, front.family())?;
    rustix::io::ioctl_fionbio(&listener, true).context(|| "make the listener non-blocking".into())?;
    let poller = Poller::new()?;
    poller.add(&listener, LISTENER, EventFlags::IN)?;
    let (family, address) = (target.family(), target.address()?);
    Relay { listener, family, address, ends: FdMap::new(), buffer: vec![0; BUFFER] }.run(poller)
}

struct Relay {
    listener: OwnedFd,
    family: Family,
    address: SocketAddrAny,
    ends: FdMap<End>,
    buffer: Vec<u8>,
}

/// One side of a session.
struct End {
    socket: OwnedFd,
    /// The token of the other side.
    other: u64,
    /// The side has sent its end of stream.
    has_ended: bool,
}

/// The result of relaying the data of one side.
enum Outcome {
    /// The data was relayed.
    Relayed,
    /// The side has ended its stream.
    Ended,
    /// The session has ended.
    Closed,
}

impl Relay {
    fn run(&mut self, mut poller: Poller) -> Result<()> {
        let mut ready = Vec::new();
        loop {
            poller.wait(&mut ready, None)?;
            for &token in &ready {
                if token == LISTENER {
                    self.accept(&poller)?;
                } else {
                    self.serve(token);
                }
            }
        }
    }

    fn accept(&mut self, poller: &Poller) -> Result<()> {
        let edges = EventFlags::IN | EventFlags::RDHUP | EventFlags::ET;
        while let Some(client) = accept_client(&self.listener, SocketFlags::NONBLOCK)? {
            let server = start_connect(self.family, &self.address, false)?;
            set_nodelay(&server, self.family)?;
            let (from, to) = (token_of(&client), token_of(&server));
            poller.add(&server, to, edges)?;
            poller.add(&client, from, edges)?;
            self.ends.put(from, End { socket: client, other: to, has_ended: false });
            self.ends.put(to, End { socket: server, other: from, has_ended: false });
        }
        Ok(())
    }

    /// Relays the data of one side. Ignores a session that has already ended.
    fn serve(&mut self, token: u64) {
        let Some(from) = self.ends.get(token) else { return };
        let other = from.other;
        let Some(to) = self.ends.get(other) else { return };
        match relay(from, to, &mut self.buffer) {
            Outcome::Relayed => {}
            Outcome::Ended => {
                if let Some(from) = self.ends.get_mut(token) {
                    from.has_ended = true;
                }
            }
            Outcome::Closed => drop((self.ends.take(token), self.ends.take(other))),
        }
    }
}

fn relay(from: &End, to: &End, buffer: &mut [u8]) -> Outcome {
    loop {
        match recv(&from.socket, &mut *buffer, RecvFlags::empty()) {
            Ok((0, _)) if to.has_ended => return Outcome::Closed,
            Ok((0, _)) => {
                // A closed peer shows at the next call.
                let _ = shutdown(&to.socket, Shutdown::Write);
                return Outcome::Ended;
            }
            Ok((count, _)) => {
                if send(&to.socket, buffer.get(..count).unwrap_or_default(), SEND_FLAGS) != Ok(count) {
                    return Outcome::Closed;
                }
                if count < BUFFER {
                    return Outcome::Relayed;
                }
            }
            Err(Errno::AGAIN) => return Outcome::Relayed,
            Err(Errno::INTR) => {}
            Err(_) => {
                // Relay a reset as a reset.
                let _ = sockopt::set_socket_linger(&to.socket, Some(Duration::ZERO));
                return Outcome::Closed;
            }
        }
    }
}
