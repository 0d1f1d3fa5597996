//! Whether peers may pass descriptors over a UNIX socket (`SO_PASSRIGHTS`, Linux 6.16).

use std::io;
use std::os::fd::AsFd;

use crate::listen_options::set;

/// `SO_PASSRIGHTS` of asm-generic/socket.h, which the C libraries do not name yet.
const SO_PASSRIGHTS: i32 = 83;

/// Allows or refuses descriptors in what the peer of a UNIX socket sends from now on: the peer gets EPERM. Sockets that are
/// connected to a listener from now on have its setting.
///
/// # Errors
/// When the kernel has no such option (before Linux 6.16), or the descriptor is no UNIX socket.
pub fn pass_rights(socket: impl AsFd, allowed: bool) -> io::Result<()> {
    set(socket, libc::SOL_SOCKET, SO_PASSRIGHTS, &i32::from(allowed).to_ne_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::send;
    use rustix::io::Errno;
    use std::os::fd::OwnedFd;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

    fn passes(socket: &UnixStream) -> Result<usize, Errno> {
        send(socket.as_fd(), b"x", &[OwnedFd::from(std::fs::File::open("/dev/null").unwrap())], None)
    }

    /// Where the kernel lacks the option, this shows that its lack is an error that says so.
    #[test]
    #[cfg_attr(miri, ignore = "Miri has no such option")]
    fn the_kernel_refuses_descriptors_and_takes_bytes() {
        let (near, far) = UnixStream::pair().unwrap();
        match pass_rights(&near, false) {
            Ok(()) => assert_eq!(passes(&far), Err(Errno::PERM)),
            Err(error) => assert_eq!(error.raw_os_error(), Some(libc::ENOPROTOOPT)),
        }
        assert_eq!(send(far.as_fd(), b"x", &[], None), Ok(1));
        let _ = pass_rights(&near, true);
        assert_eq!(passes(&far), Ok(1));
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no such option")]
    fn clients_of_a_listener_have_its_setting() {
        let name = SocketAddr::from_abstract_name(format!("dormouse-rights-{}", std::process::id())).unwrap();
        let listener = UnixListener::bind_addr(&name).unwrap();
        let expected = if pass_rights(&listener, false).is_ok() { Err(Errno::PERM) } else { Ok(1) };
        let client = UnixStream::connect_addr(&name).unwrap();
        assert_eq!(passes(&client), expected);
        let _accepted = listener.accept().unwrap();
        assert_eq!(passes(&client), expected);
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no such option")]
    fn a_tcp_socket_has_no_such_option() {
        assert!(pass_rights(std::net::TcpListener::bind("127.0.0.1:0").unwrap(), false).is_err());
    }
}
