//! For tests: a socket whose close waits.

use std::io::{ErrorKind, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

/// The time in which a test expects its event.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A TCP socket with unsent bytes, whose close waits for 600 s or until the peer is dropped.
#[derive(Debug)]
pub(crate) struct Lingering {
    pub(crate) socket: OwnedFd,
    pub(crate) peer: TcpStream,
}

impl Lingering {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (peer, _) = listener.accept().unwrap();
        rustix::net::sockopt::set_socket_linger(&socket, Some(Duration::from_secs(600))).unwrap();
        socket.set_nonblocking(true).unwrap();
        let chunk = vec![0; 1 << 16];
        loop {
            match socket.write(&chunk) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
        // The close of a non-blocking socket waits all the same.
        Self { socket: socket.into(), peer }
    }
}
