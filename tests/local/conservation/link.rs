//! One end of a connection, of either family, used by a reader and a writer at the same time.

use std::{io, time::Duration};

use dormouse_tests::{Address, Failure, Result, failure::Doing};
use rustix::io::ioctl_fionread;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// A small size for a buffer of the kernel.
const SMALL: usize = 8 << 10;

/// One end of a connection.
#[derive(Debug)]
pub(crate) enum Link {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Where connections come in.
#[derive(Debug)]
pub(crate) enum Door {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Link {
    /// Connects; a UNIX socket whose queue is full is asked again.
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

    /// Says that nothing more will be sent.
    pub(crate) fn finish(&self) -> io::Result<()> {
        self.socket().shutdown(std::net::Shutdown::Write)
    }

    /// How many bytes have arrived and not been read.
    pub(crate) fn unread(&self) -> Result<u64> {
        match self {
            Self::Tcp(stream) => ioctl_fionread(stream),
            Self::Unix(stream) => ioctl_fionread(stream),
        }
        .doing(|| "count the unread bytes".to_owned())
    }

    /// Has the coming close reset a TCP connection. A UNIX socket has no such option: its close is a reset if there are
    /// unread bytes.
    pub(crate) fn close_will_reset(&self) -> Result<()> {
        match self {
            Self::Tcp(_) => {
                self.socket().set_linger(Some(Duration::ZERO)).doing(|| "set SO_LINGER".to_owned())
            }
            Self::Unix(_) => Ok(()),
        }
    }

    /// Makes the kernel's buffers small, so that they are full soon.
    pub(crate) fn narrow(&self) -> Result<()> {
        let receive = match self {
            // Loopback's segments are as large as 64 KiB. A window in which only a part of one fits is filled by the
            // sender's timer, five times a second.
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

impl Door {
    /// Opens a listening socket for connections at `address` (port 0: one that is free).
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

    /// Where it is.
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

    pub(crate) async fn accept(&self) -> Result<Link> {
        match self {
            Self::Tcp(listener) => listener.accept().await.map(|(stream, _)| Link::Tcp(stream)),
            Self::Unix(listener) => listener.accept().await.map(|(stream, _)| Link::Unix(stream)),
        }
        .doing(|| "accept".to_owned())
    }
}
