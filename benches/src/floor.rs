//! The least that a relay on sockets asks of the kernel, to hold the others against: an accept, a socket and its connect,
//! a call for each read and write, and nothing else. It has no limits, no timers and no log, sets no option but
//! `TCP_NODELAY` (and `SO_LINGER`, to pass on a reset), and gives up on a peer that does not take at once what it is sent.
//! So it is no proxy that anybody could use, but whatever is faster has to ask the kernel for something else.

use std::{os::fd::OwnedFd, time::Duration};

use rustix::{
    io::Errno,
    net::{RecvFlags, Shutdown, SocketAddrAny, SocketFlags, recv, send, shutdown, sockopt},
};

use crate::{
    by_socket::{BySocket, number},
    error::{Doing, Result},
    net::{Endpoint, Family, SEND, accepted, connecting, set_nodelay},
    poller::{EventFlags, Poller},
};

const LISTENER: u64 = u64::MAX;
const BUFFER: usize = 64 * 1024;

/// Listens, and relays to the target until it is killed.
pub(crate) fn serve(front: &Endpoint, target: &Endpoint) -> Result<()> {
    let (listener, _) = front.listen()?;
    set_nodelay(&listener, front.family())?;
    rustix::io::ioctl_fionbio(&listener, true).doing(|| "make the listener non-blocking".into())?;
    let poller = Poller::new()?;
    poller.add(&listener, LISTENER, EventFlags::IN)?;
    let (family, address) = (target.family(), target.address()?);
    Relay { listener, family, address, ends: BySocket::new(), buffer: vec![0; BUFFER] }.run(poller)
}

struct Relay {
    listener: OwnedFd,
    family: Family,
    address: SocketAddrAny,
    ends: BySocket<End>,
    buffer: Vec<u8>,
}

/// One side of a session.
struct End {
    socket: OwnedFd,
    /// The other side's number.
    other: u64,
    /// It has ended its stream.
    ended: bool,
}

/// What became of the words of one side.
enum Passed {
    /// They were passed on.
    All,
    /// They were the last.
    Last,
    /// The session is over.
    Over,
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
        while let Some(client) = accepted(&self.listener, SocketFlags::NONBLOCK)? {
            let server = connecting(self.family, &self.address, false)?;
            set_nodelay(&server, self.family)?;
            let (from, to) = (number(&client), number(&server));
            poller.add(&server, to, edges)?;
            poller.add(&client, from, edges)?;
            self.ends.put(from, End { socket: client, other: to, ended: false });
            self.ends.put(to, End { socket: server, other: from, ended: false });
        }
        Ok(())
    }

    /// Takes what one side has said. One that is over already is in nobody's list.
    fn serve(&mut self, token: u64) {
        let Some(from) = self.ends.get(token) else { return };
        let other = from.other;
        let Some(to) = self.ends.get(other) else { return };
        match pass_on(from, to, &mut self.buffer) {
            Passed::All => {}
            Passed::Last => {
                if let Some(from) = self.ends.get_mut(token) {
                    from.ended = true;
                }
            }
            Passed::Over => drop((self.ends.take(token), self.ends.take(other))),
        }
    }
}

fn pass_on(from: &End, to: &End, buffer: &mut [u8]) -> Passed {
    loop {
        match recv(&from.socket, &mut *buffer, RecvFlags::empty()) {
            Ok((0, _)) if to.ended => return Passed::Over,
            Ok((0, _)) => {
                // Whoever is gone is met at the next call.
                let _ = shutdown(&to.socket, Shutdown::Write);
                return Passed::Last;
            }
            Ok((count, _)) => {
                if send(&to.socket, buffer.get(..count).unwrap_or_default(), SEND) != Ok(count) {
                    return Passed::Over;
                }
                if count < BUFFER {
                    return Passed::All;
                }
            }
            Err(Errno::AGAIN) => return Passed::All,
            Err(Errno::INTR) => {}
            Err(_) => {
                // A reset arrives as a reset.
                let _ = sockopt::set_socket_linger(&to.socket, Some(Duration::ZERO));
                return Passed::Over;
            }
        }
    }
}
