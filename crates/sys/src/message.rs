//! Messages over UNIX sockets with what travels beside the bytes: descriptors and credentials (`SCM_RIGHTS`,
//! `SCM_CREDENTIALS`, unix(7)).

use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use rustix::io::Errno;

use crate::credentials::Credentials;

/// The most descriptors that the kernel sends in one message (`SCM_MAX_FD`).
const MAX_FDS: usize = 253;
/// The longest security label that is received (`SCM_SECURITY`); it is dropped.
const MAX_LABEL: usize = 512;
/// The descriptor of the sender's process, where a listener has asked for it (`SO_PASSPIDFD`); it is closed.
const SCM_PIDFD: libc::c_int = 0x04;
/// Room for each kind of control message that a UNIX socket may have enabled.
const CONTROL_LEN: usize = space(MAX_FDS * size_of::<RawFd>())
    + space(size_of::<libc::ucred>())
    + space(size_of::<RawFd>())
    + space(MAX_LABEL);

/// Returns the room that a control message with `length` bytes of data takes.
const fn space(length: usize) -> usize {
    #[expect(clippy::cast_possible_truncation, reason = "the lengths above are small")]
    // SAFETY: the function computes a length and accesses no memory.
    let space = unsafe { libc::CMSG_SPACE(length as libc::c_uint) };
    space as usize
}

/// A buffer for control messages, aligned for their headers.
#[repr(C)]
union Control {
    bytes: [MaybeUninit<u8>; CONTROL_LEN],
    _header: libc::cmsghdr,
}

impl Control {
    const fn new() -> Self {
        Self { bytes: [MaybeUninit::uninit(); CONTROL_LEN] }
    }
}

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
    let mut control = Control::new();
    let mut vector = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let mut header = header(&mut vector, &mut control, CONTROL_LEN);
    // SAFETY: the header points to the vector, the buffer and the control buffer with their lengths, which all live until
    // the call returns.
    let result = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, libc::MSG_CMSG_CLOEXEC) };
    let bytes = usize::try_from(result).map_err(|_| last_error())?;
    let truncated = header.msg_flags & libc::MSG_CTRUNC != 0;
    let mut received = Received { bytes, had_control: truncated, truncated, credentials: None };
    // SAFETY: recvmsg() has filled the control buffer up to `msg_controllen`, which is in the header. The macros return
    // headers within it, or null.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(&raw const header) };
    while !next.is_null() {
        received.had_control = true;
        // SAFETY: `next` is not null, and points to a control message that the kernel has written.
        let (level, kind, length, data) = unsafe {
            let found = &*next;
            let data = libc::CMSG_DATA(next);
            let start = data.addr() - next.addr();
            #[allow(clippy::unnecessary_cast, reason = "the type differs between C libraries")]
            (found.cmsg_level, found.cmsg_type, (found.cmsg_len as usize).saturating_sub(start), data)
        };
        match (level, kind) {
            (libc::SOL_SOCKET, libc::SCM_RIGHTS) => fds.extend(descriptors(data, length)),
            (libc::SOL_SOCKET, SCM_PIDFD) => drop(descriptors(data, length)),
            (libc::SOL_SOCKET, libc::SCM_CREDENTIALS) if length >= size_of::<libc::ucred>() => {
                // SAFETY: `data` has the bytes of a ucred, of which every bit pattern is one.
                let found = unsafe { data.cast::<libc::ucred>().read_unaligned() };
                let pid = u32::try_from(found.pid).ok().filter(|pid| *pid != 0);
                received.credentials = Some(Credentials { uid: found.uid, gid: found.gid, pid });
            }
            _ => {}
        }
        // SAFETY: as above.
        next = unsafe { libc::CMSG_NXTHDR(&raw const header, next) };
    }
    Ok(received)
}

/// Takes the descriptors that the kernel has installed for a control message.
fn descriptors(data: *const u8, length: usize) -> Vec<OwnedFd> {
    let numbers = (0..length / size_of::<RawFd>()).map(|index| {
        // SAFETY: the callers pass the data of a control message with its length, which consists of descriptor numbers.
        let number =
            unsafe { data.add(index * size_of::<RawFd>()).cast::<[u8; size_of::<RawFd>()]>().read() };
        RawFd::from_ne_bytes(number)
    });
    // SAFETY: the kernel has just installed them for this message, so nothing else owns them.
    numbers.filter(|number| *number >= 0).map(|number| unsafe { OwnedFd::from_raw_fd(number) }).collect()
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
    let numbers: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = (libc::SCM_RIGHTS, numbers.as_ptr().cast::<u8>(), size_of_val(numbers.as_slice()));
    let sender = credentials.map(|Credentials { uid, gid, pid }| {
        let pid = libc::pid_t::try_from(pid.unwrap_or_else(std::process::id)).unwrap_or(0);
        libc::ucred { pid, uid, gid }
    });
    let sender = sender
        .as_ref()
        .map(|sender| (libc::SCM_CREDENTIALS, ptr::from_ref(sender).cast::<u8>(), size_of::<libc::ucred>()));
    let messages = || Some(rights).filter(|(_, _, length)| *length > 0).into_iter().chain(sender);
    let mut control = Control::new();
    let length = messages().map(|(_, _, length)| space(length)).sum();
    let mut vector = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let mut header = header(&mut vector, &mut control, length);
    // CMSG_NXTHDR reads the length of the header after the current one, which must not be garbage.
    // SAFETY: `length` is at most that of the control buffer, which has room for each kind of message.
    unsafe { ptr::write_bytes(header.msg_control.cast::<u8>(), 0, length) };
    // SAFETY: the header points to the control buffer, with the length of all messages that follow.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(&raw const header) };
    for (kind, data, length) in messages() {
        if next.is_null() {
            break;
        }
        // SAFETY: `next` points into the control buffer, which has room for each of the messages. `data` points to
        // `length` bytes of `numbers` or `sender`, which live until the end of the function.
        unsafe {
            (*next).cmsg_level = libc::SOL_SOCKET;
            (*next).cmsg_type = kind;
            let in_header = libc::CMSG_LEN(libc::c_uint::try_from(length).unwrap_or(0));
            #[allow(clippy::useless_conversion, reason = "the type differs between C libraries")]
            {
                (*next).cmsg_len = in_header.try_into().unwrap_or(0);
            }
            ptr::copy_nonoverlapping(data, libc::CMSG_DATA(next), length);
            next = libc::CMSG_NXTHDR(&raw const header, next);
        }
    }
    if length == 0 {
        header.msg_control = ptr::null_mut();
    }
    // SAFETY: the header points to the vector, the bytes and the control buffer with their lengths, which all live until
    // the call returns. The kernel only reads the bytes.
    let result = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const header, libc::MSG_NOSIGNAL) };
    usize::try_from(result).map_err(|_| last_error())
}

/// Returns the header of a message with this vector and the first `length` bytes of the control buffer.
fn header(vector: &mut libc::iovec, control: &mut Control, length: usize) -> libc::msghdr {
    // SAFETY: a msghdr is integers and pointers, for which zero (null) is a value.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = vector;
    header.msg_iovlen = 1;
    header.msg_control = ptr::from_mut(control).cast();
    #[allow(clippy::useless_conversion, reason = "the type differs between C libraries")]
    {
        header.msg_controllen = length.try_into().unwrap_or(0);
    }
    header
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
    fn bytes_alone_have_no_control_message() {
        let plain = Received { bytes: 5, had_control: false, truncated: false, credentials: None };
        assert_eq!(exchange(&[], None, false).0, plain);
    }

    #[test]
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
    fn bytes_from_before_the_question_have_no_credentials() {
        let (near, far) = UnixStream::pair().unwrap();
        assert_eq!(send(far.as_fd(), b"x", &[], None), Ok(1));
        set_socket_passcred(&near, true).unwrap();
        let message = receive(near.as_fd(), &mut [0; 4], &mut Vec::new()).unwrap();
        assert_eq!(message.credentials.map(|found| found.pid), Some(None));
    }

    #[test]
    fn an_end_of_stream_and_an_empty_socket_are_told_apart() {
        let (near, far) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        let read = || receive(near.as_fd(), &mut [0; 4], &mut Vec::new());
        assert_eq!(read(), Err(Errno::AGAIN));
        drop(far);
        assert_eq!(read().map(|message| message.bytes), Ok(0));
    }
}
