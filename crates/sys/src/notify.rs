//! Telling the service manager how it goes (`sd_notify(3)`), over UNIX datagrams or, from inside a virtual machine,
//! over vsock.

use std::ffi::OsString;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use rustix::io::{self, Errno};
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags,
    SocketType, connect, send, sendmsg_addr, socket_with, sockopt,
};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::vsock::VsockAddr;

/// Where `NOTIFY_SOCKET` points.
#[derive(Debug)]
enum Destination {
    /// All states go out through one socket, so that the descriptor limit is not in their way.
    Unix { address: SocketAddrUnix, socket: OwnedFd },
    /// Each state is a connection of its own, through a socket of the first of these kinds that the transport has.
    Vsock { address: VsockAddr, kinds: &'static [SocketType] },
}

/// The service manager's ear. Over UNIX datagrams sending a state never blocks, and announcing one for a second at most;
/// over vsock it takes a few seconds at most.
#[derive(Debug)]
pub struct Notifier(Destination);

impl Notifier {
    /// The manager named by `NOTIFY_SOCKET`; `None` where nobody listens, or the address is of no known kind.
    ///
    /// The variable stays: whoever starts children has to keep it from them.
    pub fn from_env() -> Option<Self> {
        Self::to(&std::env::var_os("NOTIFY_SOCKET")?)
    }

    /// The manager at this address: `/path`, `@abstract` or `vsock:CID:PORT`.
    pub fn to(address: &OsString) -> Option<Self> {
        parse(address.as_bytes()).map(Self)
    }

    /// Sends a state together with a descriptor, for example `FDSTORE=1\nFDNAME=…`. Waits for a second at most while
    /// the manager's queue is full: nobody would say it again.
    ///
    /// # Errors
    /// When it is not sent. Over vsock no descriptor can be.
    pub fn send_with(&self, state: &str, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.send_datagram(state, Some(fd), SendFlags::empty())
    }

    /// Has the manager close what it stores under this name.
    ///
    /// # Errors
    /// As with [`Self::send_with`].
    pub fn remove_stored(&self, name: &str) -> io::Result<()> {
        self.send_datagram(&format!("FDSTOREREMOVE=1\nFDNAME={name}"), None, SendFlags::empty())
    }

    /// Gives what reads as ended as soon as the manager has dealt with all that it was told before
    /// (`sd_notify_barrier(3)`).
    ///
    /// # Errors
    /// As with [`Self::send_with`].
    pub fn barrier(&self) -> io::Result<OwnedFd> {
        let (ours, theirs) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        self.send_with("BARRIER=1", theirs.as_fd())?;
        Ok(ours)
    }

    /// Sends a state that is no longer true a moment later, for example `WATCHDOG=1`, without waiting. False if the
    /// manager's queue is full, so that it was not said. A manager that does not listen is no error of ours.
    pub fn send(&self, state: &str) -> bool {
        self.send_with_flags(state, SendFlags::DONTWAIT) != Err(Errno::AGAIN)
    }

    /// Sends a state that somebody waits for, for example `READY=1\nSTATUS=…`. Waits as [`Self::send_with`] does while the
    /// manager's queue is full. A manager that does not listen is no error of ours.
    pub fn announce(&self, state: &str) {
        let _ = self.send_with_flags(state, SendFlags::empty());
    }

    fn send_with_flags(&self, state: &str, flags: SendFlags) -> io::Result<()> {
        let Destination::Vsock { address, kinds } = &self.0 else {
            return self.send_datagram(state, None, flags);
        };
        let mut sent = Err(Errno::DESTADDRREQ);
        for kind in *kinds {
            sent = send_connected(*kind, *address, state);
            // Some transports tell only now that they have no sockets of a kind.
            if !matches!(sent, Err(Errno::SOCKTNOSUPPORT | Errno::NODEV | Errno::CONNRESET)) {
                break;
            }
        }
        sent
    }

    fn send_datagram(&self, state: &str, fd: Option<BorrowedFd<'_>>, flags: SendFlags) -> io::Result<()> {
        let Destination::Unix { address, socket } = &self.0 else { return Err(Errno::OPNOTSUPP) };
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fd.as_slice().is_empty() && !control.push(SendAncillaryMessage::ScmRights(fd.as_slice())) {
            return Err(Errno::NOBUFS);
        }
        let bytes = [IoSlice::new(state.as_bytes())];
        sendmsg_addr(socket, address, &bytes, &mut control, flags | SendFlags::NOSIGNAL).map(drop)
    }
}

/// A manager that takes no message for so long is not waited for.
const PATIENCE: Duration = Duration::from_secs(1);

fn parse(address: &[u8]) -> Option<Destination> {
    let unix = |address| Some(Destination::Unix { address, socket: unix_socket().ok()? });
    if let Some(name) = address.strip_prefix(b"@") {
        return unix(SocketAddrUnix::new_abstract_name(name).ok()?);
    }
    if address.starts_with(b"/") {
        return unix(SocketAddrUnix::new(address).ok()?);
    }
    let (kind, rest) = std::str::from_utf8(address).ok()?.split_once(':')?;
    let kinds: &'static [SocketType] = match kind {
        "vsock" => &[SocketType::SEQPACKET, SocketType::STREAM],
        "vsock-stream" => &[SocketType::STREAM],
        "vsock-seqpacket" => &[SocketType::SEQPACKET],
        "vsock-dgram" => &[SocketType::DGRAM],
        _ => return None,
    };
    let (cid, port) = rest.split_once(':')?;
    let address = VsockAddr { cid: cid.parse().ok()?, port: port.parse().ok()? };
    Some(Destination::Vsock { address, kinds })
}

/// A socket that waits for the manager's queue, but not for ever.
fn unix_socket() -> io::Result<OwnedFd> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, Some(PATIENCE))?;
    Ok(socket)
}

/// A connection carries one state. The kernel gives it up after 2 s by itself.
fn send_connected(kind: SocketType, to: VsockAddr, state: &str) -> io::Result<()> {
    let socket = socket_with(AddressFamily::VSOCK, kind, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, Some(PATIENCE))?;
    connect(&socket, &to)?;
    send(&socket, state.as_bytes(), SendFlags::NOSIGNAL).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    use std::time::Instant;

    /// A manager whose queue is full.
    fn busy_manager() -> (UnixDatagram, Notifier) {
        let name = format!("dormouse-test-busy-manager-{}", std::process::id());
        let manager = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let notifier = Notifier::to(&format!("@{name}").into()).unwrap();
        while notifier.send("STATUS=busy") {}
        (manager, notifier)
    }

    #[test]
    fn what_is_said_once_waits_for_a_full_queue() {
        let (manager, notifier) = busy_manager();
        let began = Instant::now();
        notifier.announce("READY=1");
        assert!(began.elapsed() >= PATIENCE / 2, "it was not waited for: {:?}", began.elapsed());
        manager.set_read_timeout(Some(PATIENCE * 10)).unwrap();
        let announcing = std::thread::spawn(move || notifier.announce("READY=1"));
        let mut heard = [0; 64];
        let mut next = || manager.recv(&mut heard).map(|length| heard[..length].to_owned()).unwrap();
        while next() != b"READY=1" {}
        announcing.join().unwrap();
    }

    #[test]
    fn reaches_a_path_and_an_abstract_name() {
        let name = format!("dormouse-notify-{}", std::process::id());
        let abstract_ear = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let path = std::env::temp_dir().join(&name);
        let path_ear = UnixDatagram::bind(&path).unwrap();
        for (address, ear) in [(format!("@{name}"), abstract_ear), (path.display().to_string(), path_ear)] {
            Notifier::to(&address.into()).unwrap().send("READY=1");
            let mut heard = [0; 16];
            let length = ear.recv(&mut heard).unwrap();
            assert_eq!(&heard[..length], b"READY=1");
        }
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_descriptor_travels_with_its_name() {
        use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
        use std::io::{IoSliceMut, Read, Write};
        let name = format!("dormouse-notify-fd-{}", std::process::id());
        let ear = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let (mut ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let manager = Notifier::to(&format!("@{name}").into()).unwrap();
        manager.send_with("FDSTORE=1\nFDNAME=x", theirs.as_fd()).unwrap();
        drop(theirs);
        let mut heard = [0; 64];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let message =
            recvmsg(&ear, &mut [IoSliceMut::new(&mut heard)], &mut control, RecvFlags::empty()).unwrap();
        assert_eq!(&heard[..message.bytes], b"FDSTORE=1\nFDNAME=x");
        let Some(RecvAncillaryMessage::ScmRights(mut fds)) = control.drain().next() else { panic!() };
        let mut theirs = std::os::unix::net::UnixStream::from(fds.next().unwrap());
        ours.write_all(b"!").unwrap();
        let mut byte = [0];
        theirs.read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"!");
    }

    #[test]
    fn a_barrier_ends_when_the_manager_has_closed_what_came_with_it() {
        use rustix::io::read;
        use rustix::net::{RecvAncillaryBuffer, RecvFlags, recvmsg};
        use std::io::IoSliceMut;
        let name = format!("dormouse-notify-barrier-{}", std::process::id());
        let ear = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let manager = Notifier::to(&format!("@{name}").into()).unwrap();
        manager.remove_stored("x").unwrap();
        let barrier = manager.barrier().unwrap();
        let mut heard = [0; 64];
        let length = ear.recv(&mut heard).unwrap();
        assert_eq!(&heard[..length], b"FDSTOREREMOVE=1\nFDNAME=x");
        assert_eq!(read(&barrier, &mut [0; 1]), Err(Errno::AGAIN));
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let message =
            recvmsg(&ear, &mut [IoSliceMut::new(&mut heard)], &mut control, RecvFlags::empty()).unwrap();
        assert_eq!(&heard[..message.bytes], b"BARRIER=1");
        drop(control);
        assert_eq!(read(&barrier, &mut [0; 1]), Ok(0));
    }

    #[test]
    fn addresses() {
        let kinds = |text: &[u8]| match parse(text) {
            Some(Destination::Vsock { address: VsockAddr { cid: 2, port: 1234 }, kinds }) => kinds,
            other => panic!("{other:?}"),
        };
        assert_eq!(kinds(b"vsock:2:1234"), [SocketType::SEQPACKET, SocketType::STREAM]);
        assert_eq!(kinds(b"vsock-stream:2:1234"), [SocketType::STREAM]);
        assert_eq!(kinds(b"vsock-dgram:2:1234"), [SocketType::DGRAM]);
        for junk in [&b"relative"[..], b"", b"vsock:2", b"vsock:x:1", b"tcp:1:2"] {
            assert!(parse(junk).is_none());
        }
    }
}
