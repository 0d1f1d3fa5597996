//! Notifications to the service manager (`sd_notify(3)`), over UNIX datagrams or, from inside a virtual machine, over
//! vsock.

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

/// The address in `NOTIFY_SOCKET`.
#[derive(Debug)]
enum Destination {
    /// One socket sends all states, so that the limit on descriptors cannot prevent a notification.
    Unix { address: SocketAddrUnix, socket: OwnedFd },
    /// Each state uses a connection of its own, with the first of these socket types that the transport supports.
    Vsock { address: VsockAddr, types: &'static [SocketType] },
}

/// A client of the service manager's notification socket.
///
/// Over UNIX datagrams [`Self::try_send`] never blocks, and the other functions block for at most a second. Over
/// vsock all of them block for at most a few seconds.
#[derive(Debug)]
pub struct Notifier(Destination);

impl Notifier {
    /// Returns the manager that `NOTIFY_SOCKET` names, or `None` if the variable is unset or its address is not
    /// supported.
    ///
    /// The variable stays: code that starts child processes has to remove it from their environment.
    pub fn from_env() -> Option<Self> {
        Self::to(&std::env::var_os("NOTIFY_SOCKET")?)
    }

    /// Returns the manager at this address: `/path`, `@abstract` or `vsock:CID:PORT`.
    pub fn to(address: &OsString) -> Option<Self> {
        parse(address.as_bytes()).map(Self)
    }

    /// Sends a state together with a descriptor, for example `FDSTORE=1\nFDNAME=…`. Waits for at most a second while
    /// the manager's queue is full, because the state is not sent again.
    ///
    /// # Errors
    /// When the state is not sent. A descriptor cannot be sent over vsock.
    pub fn send_with_fd(&self, state: &str, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.send_datagram(state, Some(fd), SendFlags::empty())
    }

    /// Makes the manager close the descriptors that it stores under this name.
    ///
    /// # Errors
    /// The errors of [`Self::send_with_fd`].
    pub fn remove_stored_fds(&self, name: &str) -> io::Result<()> {
        self.send_datagram(&format!("FDSTOREREMOVE=1\nFDNAME={name}"), None, SendFlags::empty())
    }

    /// Returns a descriptor that reaches its end of file as soon as the manager has processed all earlier notifications
    /// (`sd_notify_barrier(3)`).
    ///
    /// # Errors
    /// The errors of [`Self::send_with_fd`].
    pub fn barrier(&self) -> io::Result<OwnedFd> {
        let (ours, theirs) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        self.send_with_fd("BARRIER=1", theirs.as_fd())?;
        Ok(ours)
    }

    /// Sends a short-lived state, for example `WATCHDOG=1`, without waiting. Returns false if the manager's queue is
    /// full and the state was not sent. Other errors are ignored: a manager that does not listen is not a fault of
    /// this process.
    pub fn try_send(&self, state: &str) -> bool {
        self.send_with_flags(state, SendFlags::DONTWAIT) != Err(Errno::AGAIN)
    }

    /// Sends a state that the manager waits for, for example `READY=1\nSTATUS=…`. Waits for at most a second while the
    /// manager's queue is full. Errors are ignored: a manager that does not listen is not a fault of this process.
    pub fn send_blocking(&self, state: &str) {
        let _ = self.send_with_flags(state, SendFlags::empty());
    }

    fn send_with_flags(&self, state: &str, flags: SendFlags) -> io::Result<()> {
        let Destination::Vsock { address, types } = &self.0 else {
            return self.send_datagram(state, None, flags);
        };
        let mut sent = Err(Errno::DESTADDRREQ);
        for socket_type in *types {
            sent = send_connected(*socket_type, *address, state);
            // Some transports report only now that they do not support a socket type.
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

/// How long a full queue of the manager is waited for.
const SEND_TIMEOUT: Duration = Duration::from_secs(1);

fn parse(address: &[u8]) -> Option<Destination> {
    let unix = |address| Some(Destination::Unix { address, socket: unix_socket().ok()? });
    if let Some(name) = address.strip_prefix(b"@") {
        return unix(SocketAddrUnix::new_abstract_name(name).ok()?);
    }
    if address.starts_with(b"/") {
        return unix(SocketAddrUnix::new(address).ok()?);
    }
    let (kind, rest) = std::str::from_utf8(address).ok()?.split_once(':')?;
    let types: &'static [SocketType] = match kind {
        "vsock" => &[SocketType::SEQPACKET, SocketType::STREAM],
        "vsock-stream" => &[SocketType::STREAM],
        "vsock-seqpacket" => &[SocketType::SEQPACKET],
        "vsock-dgram" => &[SocketType::DGRAM],
        _ => return None,
    };
    let (cid, port) = rest.split_once(':')?;
    let address = VsockAddr { cid: cid.parse().ok()?, port: port.parse().ok()? };
    Some(Destination::Vsock { address, types })
}

/// Returns a socket whose sends wait for the manager's queue for a limited time.
fn unix_socket() -> io::Result<OwnedFd> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, Some(SEND_TIMEOUT))?;
    Ok(socket)
}

/// Sends one state over a connection of its own. The kernel gives up a connection attempt after 2 s.
fn send_connected(socket_type: SocketType, to: VsockAddr, state: &str) -> io::Result<()> {
    let socket = socket_with(AddressFamily::VSOCK, socket_type, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, Some(SEND_TIMEOUT))?;
    connect(&socket, &to)?;
    send(&socket, state.as_bytes(), SendFlags::NOSIGNAL).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    use std::time::Instant;

    /// Returns a manager whose queue is full, and a notifier for it.
    fn busy_manager() -> (UnixDatagram, Notifier) {
        let name = format!("dormouse-test-busy-manager-{}", std::process::id());
        let manager = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let notifier = Notifier::to(&format!("@{name}").into()).unwrap();
        while notifier.try_send("STATUS=busy") {}
        (manager, notifier)
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no datagrams of UNIX sockets")]
    fn a_blocking_send_waits_for_a_full_queue() {
        let (manager, notifier) = busy_manager();
        let began = Instant::now();
        notifier.send_blocking("READY=1");
        assert!(began.elapsed() >= SEND_TIMEOUT / 2, "the send did not wait: {:?}", began.elapsed());
        manager.set_read_timeout(Some(SEND_TIMEOUT * 10)).unwrap();
        let sending = std::thread::spawn(move || notifier.send_blocking("READY=1"));
        let mut received = [0; 64];
        let mut next = || manager.recv(&mut received).map(|length| received[..length].to_owned()).unwrap();
        while next() != b"READY=1" {}
        sending.join().unwrap();
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no datagrams of UNIX sockets")]
    fn a_state_reaches_a_path_and_an_abstract_name() {
        let name = format!("dormouse-notify-{}", std::process::id());
        let abstract_socket =
            UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let path = std::env::temp_dir().join(&name);
        let path_socket = UnixDatagram::bind(&path).unwrap();
        for (address, socket) in
            [(format!("@{name}"), abstract_socket), (path.display().to_string(), path_socket)]
        {
            Notifier::to(&address.into()).unwrap().try_send("READY=1");
            let mut received = [0; 16];
            let length = socket.recv(&mut received).unwrap();
            assert_eq!(&received[..length], b"READY=1");
        }
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no datagrams of UNIX sockets")]
    fn a_descriptor_is_sent_with_its_name() {
        use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
        use std::io::{IoSliceMut, Read, Write};
        let name = format!("dormouse-notify-fd-{}", std::process::id());
        let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let (mut ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let manager = Notifier::to(&format!("@{name}").into()).unwrap();
        manager.send_with_fd("FDSTORE=1\nFDNAME=x", theirs.as_fd()).unwrap();
        drop(theirs);
        let mut received = [0; 64];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let message =
            recvmsg(&socket, &mut [IoSliceMut::new(&mut received)], &mut control, RecvFlags::empty())
                .unwrap();
        assert_eq!(&received[..message.bytes], b"FDSTORE=1\nFDNAME=x");
        let Some(RecvAncillaryMessage::ScmRights(mut fds)) = control.drain().next() else { panic!() };
        let mut theirs = std::os::unix::net::UnixStream::from(fds.next().unwrap());
        ours.write_all(b"!").unwrap();
        let mut byte = [0];
        theirs.read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"!");
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no datagrams of UNIX sockets")]
    fn a_barrier_ends_when_the_manager_closes_the_descriptor() {
        use rustix::io::read;
        use rustix::net::{RecvAncillaryBuffer, RecvFlags, recvmsg};
        use std::io::IoSliceMut;
        let name = format!("dormouse-notify-barrier-{}", std::process::id());
        let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let manager = Notifier::to(&format!("@{name}").into()).unwrap();
        manager.remove_stored_fds("x").unwrap();
        let barrier = manager.barrier().unwrap();
        let mut received = [0; 64];
        let length = socket.recv(&mut received).unwrap();
        assert_eq!(&received[..length], b"FDSTOREREMOVE=1\nFDNAME=x");
        assert_eq!(read(&barrier, &mut [0; 1]), Err(Errno::AGAIN));
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let message =
            recvmsg(&socket, &mut [IoSliceMut::new(&mut received)], &mut control, RecvFlags::empty())
                .unwrap();
        assert_eq!(&received[..message.bytes], b"BARRIER=1");
        drop(control);
        assert_eq!(read(&barrier, &mut [0; 1]), Ok(0));
    }

    #[test]
    fn vsock_addresses_are_parsed_and_unknown_ones_rejected() {
        let types = |text: &[u8]| match parse(text) {
            Some(Destination::Vsock { address: VsockAddr { cid: 2, port: 1234 }, types }) => types,
            other => panic!("{other:?}"),
        };
        assert_eq!(types(b"vsock:2:1234"), [SocketType::SEQPACKET, SocketType::STREAM]);
        assert_eq!(types(b"vsock-stream:2:1234"), [SocketType::STREAM]);
        assert_eq!(types(b"vsock-dgram:2:1234"), [SocketType::DGRAM]);
        for junk in [&b"relative"[..], b"", b"vsock:2", b"vsock:x:1", b"tcp:1:2"] {
            assert!(parse(junk).is_none());
        }
    }
}
