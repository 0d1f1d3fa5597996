//! Options of listening TCP sockets that no safe library sets (tcp(7), socket(7)).

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

/// Delays the acceptance of a connection until its first byte arrives, or until about `timeout` without one
/// (`TCP_DEFER_ACCEPT`). The kernel counts in retransmissions: 1 s, 3 s, 7 s and so on.
///
/// # Errors
/// When the descriptor is not a TCP socket.
pub fn set_defer_accept(socket: impl AsFd, timeout: Duration) -> io::Result<()> {
    let seconds = timeout.as_secs() + u64::from(timeout.subsec_nanos() > 0);
    set(socket, libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, &saturating_i32(seconds).to_ne_bytes())
}

/// Accepts the first bytes of a client with its first packet (`TCP_FASTOPEN`, RFC 7413). `pending` is the number of
/// such connections that may be in their handshake at once.
///
/// # Errors
/// When the descriptor is not a TCP socket.
pub fn set_fast_open(socket: impl AsFd, pending: u32) -> io::Result<()> {
    set(socket, libc::IPPROTO_TCP, libc::TCP_FASTOPEN, &saturating_i32(pending.into()).to_ne_bytes())
}

/// Makes a socket accept only connections through this network interface (`SO_BINDTODEVICE`).
///
/// # Errors
/// When there is no such interface, or the socket is bound to another one and the process lacks `CAP_NET_RAW`.
pub fn bind_to_interface(socket: impl AsFd, name: &str) -> io::Result<()> {
    set(socket, libc::SOL_SOCKET, libc::SO_BINDTODEVICE, name.as_bytes())
}

fn saturating_i32(value: u64) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

/// Sets an option of a socket.
///
/// # Errors
/// Those of setsockopt(2).
pub(crate) fn set(socket: impl AsFd, level: i32, option: i32, value: &[u8]) -> io::Result<()> {
    let length = libc::socklen_t::try_from(value.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: `value` is `length` readable bytes that live until the call returns; the kernel copies them.
    let result =
        unsafe { libc::setsockopt(socket.as_fd().as_raw_fd(), level, option, value.as_ptr().cast(), length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::os::fd::BorrowedFd;

    fn get(socket: BorrowedFd<'_>, level: i32, option: i32) -> Vec<u8> {
        let mut value = vec![0; 64];
        let mut length = 64;
        // SAFETY: `value` has room for `length` bytes, and both live until the call returns.
        let result = unsafe {
            libc::getsockopt(socket.as_raw_fd(), level, option, value.as_mut_ptr().cast(), &raw mut length)
        };
        assert_eq!(result, 0, "{}", io::Error::last_os_error());
        value.truncate(usize::try_from(length).unwrap());
        value
    }

    fn get_number(socket: BorrowedFd<'_>, option: i32) -> i32 {
        i32::from_ne_bytes(get(socket, libc::IPPROTO_TCP, option).try_into().unwrap())
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has none of these options")]
    fn options_reach_the_kernel() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        set_defer_accept(&listener, Duration::from_millis(2500)).unwrap();
        assert_eq!(get_number(listener.as_fd(), libc::TCP_DEFER_ACCEPT), 3);
        set_fast_open(&listener, 17).unwrap();
        assert_eq!(get_number(listener.as_fd(), libc::TCP_FASTOPEN), 17);
        bind_to_interface(&listener, "lo").unwrap();
        let name = get(listener.as_fd(), libc::SOL_SOCKET, libc::SO_BINDTODEVICE);
        assert!(name.starts_with(b"lo"), "{name:?}");
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has none of these options")]
    fn an_unknown_interface_is_an_error() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let error = bind_to_interface(&listener, "no-such-if").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
    }
}
