//! A connection of either family that a reader and a writer use at the same time.

use std::{io, time::Duration};

use dormouse_tests::{Address, Failure, Result, failure::Doing};
use rustix::io::ioctl_fionread;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// A small size for the kernel's socket buffers.
const SMALL: usize = 8 << 10;

/// A connected socket.
#[derive(Debug)]
pub(crate) enum Connection {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A listening socket.
#[derive(Debug)]
pub(crate) enum ServerListener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Connection {
    /// Connects, and tries again if the backlog of a UNIX socket is full.
    pub(crate) async fn connect(address: &Address) -> Result<Self> {
        let connected = match address {
            Address::Tcp(address) => TcpStream::connect(address).await.map(Self::Tcp),
            Address::Unix(path) => loop {
                match UnixStream::connect(path).await {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                    done => break done.map(Self::Unix),
                }
            },
            Address::Abstract(_) => Err(io::ErrorKind::Unsupported.into()),
        };
        connected.doing(|| format!("connect to {address}"))
    }

    pub(crate) async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let tried = match self {
                Self::Tcp(stream) => {
                    stream.readable().await?;
                    stream.try_read(buffer)
                }
                Self::Unix(stream) => {
                    stream.readable().await?;
                    stream.try_read(buffer)
                }
            };
            match tried {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return done,
            }
        }
    }

    pub(crate) async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            let tried = match self {
                Self::Tcp(stream) => {
                    stream.writable().await?;
                    stream.try_write(bytes)
                }
                Self::Unix(stream) => {
                    stream.writable().await?;
                    stream.try_write(bytes)
                }
            };
            match tried {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return done,
            }
        }
    }

    /// Shuts down the sending side.
    pub(crate) fn finish(&self) -> io::Result<()> {
        self.socket().shutdown(std::net::Shutdown::Write)
    }

    /// Returns the number of received bytes that have not been read.
    pub(crate) fn unread(&self) -> Result<u64> {
        match self {
            Self::Tcp(stream) => ioctl_fionread(stream),
            Self::Unix(stream) => ioctl_fionread(stream),
        }
        .doing(|| "count the unread bytes".to_owned())
    }

    /// Lets the close reset a TCP connection. A UNIX socket has no such option: its close is a reset if there are
    /// unread bytes.
    pub(crate) fn close_will_reset(&self) -> Result<()> {
        match self {
            Self::Tcp(_) => {
                self.socket().set_linger(Some(Duration::ZERO)).doing(|| "set SO_LINGER".to_owned())
            }
            Self::Unix(_) => Ok(()),
        }
    }

    /// Makes the socket buffers small, so that they fill up soon.
    pub(crate) fn narrow(&self) -> Result<()> {
        let receive = match self {
            // Segments on loopback have up to 64 KiB. If a segment does not fit into the window, the sender waits
            // for a timer that fires five times per second.
            Self::Tcp(_) => 128 << 10,
            Self::Unix(_) => SMALL,
        };
        let socket = self.socket();
        socket
            .set_recv_buffer_size(receive)
            .and_then(|()| socket.set_send_buffer_size(SMALL))
            .doing(|| "set the size of the buffers".to_owned())
    }

    fn socket(&self) -> SockRef<'_> {
        match self {
            Self::Tcp(stream) => SockRef::from(stream),
            Self::Unix(stream) => SockRef::from(stream),
        }
    }
}

impl ServerListener {
    /// Listens on `address`; port 0 is any free port.
    pub(crate) fn open(address: &Address) -> Result<Self> {
        match address {
            Address::Tcp(address) => std::net::TcpListener::bind(address)
                .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
                .and_then(TcpListener::from_std)
                .map(Self::Tcp),
            Address::Unix(path) => UnixListener::bind(path).map(Self::Unix),
            Address::Abstract(_) => Err(io::ErrorKind::Unsupported.into()),
        }
        .doing(|| format!("listen on {address}"))
    }

    /// The address of the listener.
    pub(crate) fn address(&self) -> Result<Address> {
        let address = match self {
            Self::Tcp(listener) => listener.local_addr().map(|address| Some(Address::Tcp(address))),
            Self::Unix(listener) => listener
                .local_addr()
                .map(|address| address.as_pathname().map(|path| Address::Unix(path.to_owned()))),
        };
        address
            .doing(|| "ask for the address of a listener".to_owned())?
            .ok_or_else(|| Failure::Unexpected("a listener without an address".to_owned()))
    }

    pub(crate) async fn accept(&self) -> Result<Connection> {
        match self {
            Self::Tcp(listener) => listener.accept().await.map(|(stream, _)| Connection::Tcp(stream)),
            Self::Unix(listener) => listener.accept().await.map(|(stream, _)| Connection::Unix(stream)),
        }
        .doing(|| "accept".to_owned())
    }
}
