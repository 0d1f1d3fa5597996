//! The least that a relay on sockets asks of the kernel, to hold the others against: an accept, a socket and its connect,
//! a call for each read and write, and nothing else. It has no limits, no timers and no log, sets no option but
//! `TCP_NODELAY`, and gives up on a peer that does not take at once what it is sent. So it is no proxy that anybody
//! could use, but whatever is faster has to ask the kernel for something else.

use std::{
    mem,
    os::fd::{AsRawFd as _, OwnedFd},
    time::Duration,
};

use rustix::{
    io::Errno,
    net::{RecvFlags, Shutdown, SocketAddrAny, SocketFlags, accept_with, recv, send, shutdown, sockopt},
};

use crate::{
    error::{Doing, Result},
    net::{Endpoint, Family, SEND, connecting, set_nodelay},
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
    let mut relay = Relay { listener, family, address, ends: Vec::new(), buffer: vec![0; BUFFER] };
    relay.run(poller)
}

struct Relay {
    listener: OwnedFd,
    family: Family,
    address: SocketAddrAny,
    /// By descriptor number.
    ends: Vec<Option<End>>,
    buffer: Vec<u8>,
}

/// One side of a session.
struct End {
    socket: OwnedFd,
    /// The other side's descriptor number.
    other: usize,
    /// It has ended its stream.
    ended: bool,
}

impl Relay {
    fn run(&mut self, mut poller: Poller) -> Result<()> {
        let mut ready = Vec::new();
        loop {
            poller.wait(&mut ready, None)?;
            for &token in &ready {
                match usize::try_from(token) {
                    Ok(_) if token == LISTENER => self.accept(&poller)?,
                    Ok(from) => self.pass_on(from),
                    Err(_) => {}
                }
            }
        }
    }

    fn accept(&mut self, poller: &Poller) -> Result<()> {
        let edges = EventFlags::IN | EventFlags::RDHUP | EventFlags::ET;
        loop {
            let client = match accept_with(&self.listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
                Ok(client) => client,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR | Errno::CONNABORTED) => continue,
                Err(error) => return Err(error).doing(|| "accept".into()),
            };
            let server = connecting(self.family, &self.address, false)?;
            set_nodelay(&server, self.family)?;
            let (from, to) = (number(&client), number(&server));
            // The server first: once the client's words are seen, there is somebody to send them to.
            poller.add(&server, to as u64, edges)?;
            poller.add(&client, from as u64, edges)?;
            self.put(from, End { socket: client, other: to, ended: false });
            self.put(to, End { socket: server, other: from, ended: false });
        }
    }

    fn put(&mut self, number: usize, end: End) {
        if self.ends.len() <= number {
            self.ends.resize_with(number + 1, || None);
        }
        if let Some(slot) = self.ends.get_mut(number) {
            *slot = Some(end);
        }
    }

    /// Takes what one side has said.
    fn pass_on(&mut self, number: usize) {
        let Some(Some(from)) = self.ends.get(number) else { return };
        let other = from.other;
        let Some(Some(to)) = self.ends.get(other) else { return };
        loop {
            match recv(&from.socket, self.buffer.as_mut_slice(), RecvFlags::empty()) {
                Ok((0, _)) if to.ended => return self.end(number, other),
                Ok((0, _)) => {
                    // Whoever is gone is met at the next call.
                    let _ = shutdown(&to.socket, Shutdown::Write);
                    break;
                }
                Ok((count, _)) => {
                    let words = self.buffer.get(..count).unwrap_or_default();
                    if send(&to.socket, words, SEND) != Ok(count) {
                        return self.end(number, other);
                    }
                    if count < BUFFER {
                        return;
                    }
                }
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR) => {}
                Err(_) => {
                    // A reset arrives as a reset.
                    let _ = sockopt::set_socket_linger(&to.socket, Some(Duration::ZERO));
                    return self.end(number, other);
                }
            }
        }
        if let Some(Some(from)) = self.ends.get_mut(number) {
            from.ended = true;
        }
    }

    fn end(&mut self, one: usize, other: usize) {
        for number in [one, other] {
            drop(self.ends.get_mut(number).map(mem::take));
        }
    }
}

fn number(socket: &OwnedFd) -> usize {
    usize::try_from(socket.as_raw_fd()).unwrap_or_default()
}
