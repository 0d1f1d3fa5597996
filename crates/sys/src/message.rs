//! Messages over UNIX sockets with what travels beside the bytes: descriptors and credentials (`SCM_RIGHTS`,
//! `SCM_CREDENTIALS`, unix(7)).

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::io::Errno;

use crate::control_message::{ControlBuffer, UCRED, descriptors, encode, sender, sender_data, space};
use crate::credentials::Credentials;

/// The most descriptors that the kernel sends in one message (`SCM_MAX_FD`).
const MAX_FDS: usize = 253;
/// The longest security label that is received (`SCM_SECURITY`); it is dropped.
const MAX_LABEL: usize = 512;
/// The descriptor of the sender's process, where a listener has asked for it (`SO_PASSPIDFD`); it is closed.
const SCM_PIDFD: libc::c_int = 0x04;
/// Room for each kind of control message that a UNIX socket may have enabled.
const CONTROL_LEN: usize =
    space(MAX_FDS * size_of::<RawFd>()) + space(UCRED) + space(size_of::<RawFd>()) + space(MAX_LABEL);

/// What one read has brought besides descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// The number of bytes; zero at the end of the stream.
    pub bytes: usize,
    /// A control message came with the bytes. The kernel ends a read after them.
    pub had_control: bool,
    /// Control messages were lost: the process has no descriptors left.
    pub truncated: bool,
    /// The credentials of the sender, where the socket asks for them (`SO_PASSCRED`) and the kernel knows them.
    pub credentials: Option<Credentials>,
}

/// Reads bytes from a UNIX socket, and adds the descriptors that travel with them to `fds`.
///
/// # Errors
/// Those of recvmsg(2).
pub fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8], fds: &mut Vec<OwnedFd>) -> Result<Received, Errno> {
    receive_with(socket, buffer, fds, 0)
}

/// As [`receive`], without waiting on a socket that is blocking.
pub(crate) fn receive_now(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    fds: &mut Vec<OwnedFd>,
) -> Result<Received, Errno> {
    receive_with(socket, buffer, fds, libc::MSG_DONTWAIT)
}

fn receive_with(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    fds: &mut Vec<OwnedFd>,
    flags: libc::c_int,
) -> Result<Received, Errno> {
    let mut control = ControlBuffer::<CONTROL_LEN>::new();
    let mut vector = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let mut header = header(&mut vector, control.as_mut_ptr(), CONTROL_LEN);
    // SAFETY: the header points to the vector, the buffer and the control buffer with their lengths, which all live until
    // the call returns.
    let result =
        unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, flags | libc::MSG_CMSG_CLOEXEC) };
    let bytes = usize::try_from(result).map_err(|_| last_error())?;
    let truncated = header.msg_flags & libc::MSG_CTRUNC != 0;
    let mut received = Received { bytes, had_control: truncated, truncated, credentials: None };
    // SAFETY: the kernel has filled the control buffer up to the length that is in the header now.
    for message in unsafe { control.messages(control_length(&header)) } {
        received.had_control = true;
        match (message.level, message.kind) {
            // SAFETY: the kernel has just installed the descriptors, for this message.
            (libc::SOL_SOCKET, libc::SCM_RIGHTS) => fds.extend(unsafe { descriptors(message.data) }),
            // SAFETY: as above.
            (libc::SOL_SOCKET, SCM_PIDFD) => drop(unsafe { descriptors(message.data) }),
            _ => received.credentials = sender(message).or(received.credentials),
        }
    }
    Ok(received)
}

/// Writes bytes to a UNIX socket, with the descriptors and the credentials attached to the first of them.
///
/// Credentials other than those of this process need `CAP_SETUID` and `CAP_SETGID`, and another process ID
/// `CAP_SYS_ADMIN`. Without a process ID they are sent with that of this process.
///
/// # Errors
/// Those of sendmsg(2). `ETOOMANYREFS` also for more descriptors than a message can have.
pub fn send(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    fds: &[OwnedFd],
    credentials: Option<Credentials>,
) -> Result<usize, Errno> {
    if fds.len() > MAX_FDS {
        return Err(Errno::TOOMANYREFS);
    }
    let numbers: Vec<u8> = fds.iter().flat_map(|fd| fd.as_raw_fd().to_ne_bytes()).collect();
    let sender = credentials.map(|Credentials { uid, gid, pid }| {
        sender_data(libc::pid_t::try_from(pid.unwrap_or_else(std::process::id)).unwrap_or(0), uid, gid)
    });
    let rights = Some((libc::SCM_RIGHTS, numbers.as_slice())).filter(|(_, numbers)| !numbers.is_empty());
    let sender = sender.as_ref().map(|sender| (libc::SCM_CREDENTIALS, sender.as_slice()));
    let mut control = encode(rights.into_iter().chain(sender));
    let mut vector = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let header = header(&mut vector, control.as_mut_ptr(), control.len());
    // SAFETY: the header points to the vector, the bytes and the control messages with their lengths, which all live until
    // the call returns. The kernel only reads them.
    let result = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const header, libc::MSG_NOSIGNAL) };
    usize::try_from(result).map_err(|_| last_error())
}

/// Returns the header of a message with this vector and `length` bytes of control messages.
pub(crate) fn header(vector: &mut libc::iovec, control: *mut u8, length: usize) -> libc::msghdr {
    // SAFETY: a msghdr is integers and pointers, for which zero (null) is a value.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = vector;
    header.msg_iovlen = 1;
    header.msg_control = control.cast();
    #[allow(clippy::useless_conversion, reason = "the type differs between C libraries")]
    {
        header.msg_controllen = length.try_into().unwrap_or(0);
    }
    header
}

/// Returns the length of the control messages that the kernel has written.
pub(crate) fn control_length(header: &libc::msghdr) -> usize {
    #[allow(clippy::unnecessary_cast, reason = "the type differs between C libraries")]
    let length = header.msg_controllen as usize;
    length
}

fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use rustix::net::sockopt::set_socket_passcred;
    use rustix::process::{getgid, getuid};

    fn exchange(fds: &[OwnedFd], credentials: Option<Credentials>, ask: bool) -> (Received, Vec<OwnedFd>) {
        let (near, far) = UnixStream::pair().unwrap();
        set_socket_passcred(&near, ask).unwrap();
        assert_eq!(send(far.as_fd(), b"words", fds, credentials), Ok(5));
        let (mut buffer, mut received) = ([0; 16], Vec::new());
        let message = receive(near.as_fd(), &mut buffer, &mut received).unwrap();
        assert_eq!(&buffer[..message.bytes], b"words");
        (message, received)
    }

    fn own() -> Credentials {
        Credentials { uid: getuid().as_raw(), gid: getgid().as_raw(), pid: Some(std::process::id()) }
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no sendmsg for UNIX sockets")]
    fn bytes_alone_have_no_control_message() {
        let plain = Received { bytes: 5, had_control: false, truncated: false, credentials: None };
        assert_eq!(exchange(&[], None, false).0, plain);
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no sendmsg for UNIX sockets")]
    fn descriptors_and_credentials_travel_together() {
        let file = || OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        let fds: Vec<OwnedFd> = (0..MAX_FDS).map(|_| file()).collect();
        for credentials in [None, Some(own()), Some(Credentials { pid: None, ..own() })] {
            let (message, received) = exchange(&fds, credentials, true);
            assert_eq!(received.len(), MAX_FDS);
            assert!(message.had_control && !message.truncated);
            assert_eq!(message.credentials, Some(own()));
        }
        let (message, received) = exchange(&fds[..1], None, false);
        assert_eq!((received.len(), message.credentials), (1, None));
    }

    #[test]
    fn too_many_descriptors_are_an_error() {
        let (near, _far) = UnixStream::pair().unwrap();
        let fds: Vec<OwnedFd> = (0..=MAX_FDS).map(|_| near.as_fd().try_clone_to_owned().unwrap()).collect();
        assert_eq!(send(near.as_fd(), b"x", &fds, None), Err(Errno::TOOMANYREFS));
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no sendmsg for UNIX sockets")]
    fn bytes_from_before_the_question_have_no_credentials() {
        let (near, far) = UnixStream::pair().unwrap();
        assert_eq!(send(far.as_fd(), b"x", &[], None), Ok(1));
        set_socket_passcred(&near, true).unwrap();
        let message = receive(near.as_fd(), &mut [0; 4], &mut Vec::new()).unwrap();
        assert_eq!(message.credentials.map(|found| found.pid), Some(None));
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no FIONBIO for UNIX sockets")]
    fn an_end_of_stream_and_an_empty_socket_are_told_apart() {
        let (near, far) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        let read = || receive(near.as_fd(), &mut [0; 4], &mut Vec::new());
        assert_eq!(read(), Err(Errno::AGAIN));
        drop(far);
        assert_eq!(read().map(|message| message.bytes), Ok(0));
    }
}
