//! Reading the PROXY header of a trusted proxy.

use std::fmt;
use std::os::fd::AsFd as _;
use std::time::Duration;

use dormouse_config::proxy_protocol::Sources;
use dormouse_core::proxy_protocol::{Addresses, DecodeError, Decoded, MAX_V2_PAYLOAD, Tlv, decode};
use dormouse_relay::{PeekError, Stream, StreamKind};
use tokio::time::timeout;

use crate::client::{Client, Peer};

/// The longest header: the fixed part of version 2, and what it may carry.
const MAX_HEADER: usize = 16 + MAX_V2_PAYLOAD;

/// The proxies whose headers are accepted, and the timeout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptProxy {
    /// The clients that send a header.
    pub from: Sources,
    /// The time within which the header must arrive.
    pub timeout: Duration,
}

/// Returns whether a client must send a header.
fn must_send_header(sources: &Sources, peer: &Peer, kind: StreamKind) -> bool {
    match sources {
        Sources::All => true,
        Sources::Networks(_) if kind == StreamKind::Unix => true,
        Sources::Networks(networks) => {
            peer.ip().is_some_and(|address| networks.iter().any(|network| network.contains(address)))
        }
    }
}

impl AcceptProxy {
    /// Reads the header of a trusted proxy, and sets the client's addresses from it.
    ///
    /// # Errors
    /// When no valid header arrives in time.
    pub async fn read_header(&self, client: &Client, peer: &mut Peer) -> Result<(), ReadHeaderError> {
        if !must_send_header(&self.from, peer, client.kind()) {
            return Ok(());
        }
        // A second descriptor of the socket, while the session does not have its server's yet.
        let stream = client.socket.as_fd().try_clone_to_owned();
        let stream = stream.and_then(|socket| Stream::new(socket, client.kind(), false));
        let mut stream = stream.map_err(ReadHeaderError::Unwatchable)?.as_duplicate();
        let problem = match timeout(self.timeout, stream.take_prefix(MAX_HEADER, try_decode)).await {
            Ok(Ok(Ok((addresses, tlvs)))) => {
                peer.set_proxied(addresses, tlvs);
                return Ok(());
            }
            // A port check: connect and close.
            Ok(Err(PeekError::Ended { after: 0 } | PeekError::Failed(_))) => {
                return Err(ReadHeaderError::ClientLeft);
            }
            Ok(Err(PeekError::Ended { .. })) => Problem::Truncated,
            Ok(Err(PeekError::TooLong)) => Problem::None,
            Ok(Ok(Err(problem))) => problem,
            Err(_) => Problem::Late(self.timeout),
        };
        Err(ReadHeaderError::Header(Box::new(HeaderError { peer: peer.clone(), problem })))
    }
}

/// Why no header could be read.
#[derive(Debug)]
pub enum ReadHeaderError {
    /// The client closed the connection, or the connection failed, before the first byte.
    ClientLeft,
    /// The client's socket cannot be watched because of a local limit.
    Unwatchable(std::io::Error),
    /// The client had to send a header and did not.
    Header(Box<HeaderError>),
}

impl fmt::Display for ReadHeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClientLeft => f.write_str("the client left before its first byte"),
            Self::Unwatchable(error) => write!(f, "Failed to watch the client's socket: {error}"),
            Self::Header(problem) => write!(f, "{problem}"),
        }
    }
}

impl std::error::Error for ReadHeaderError {}

/// The content of a header.
type Header = (Addresses, Vec<Tlv>);

/// Decodes the bytes so far. Returns `None` if more are needed.
fn try_decode(bytes: &[u8]) -> Option<(usize, Result<Header, Problem>)> {
    match decode(bytes) {
        Decoded::NeedMore => None,
        Decoded::Header { addresses, tlvs, consumed, .. } => Some((consumed, Ok((addresses, tlvs)))),
        // No byte is consumed, because the socket is closed anyway.
        Decoded::NotProxy => Some((0, Err(Problem::None))),
        Decoded::Invalid(error) => Some((0, Err(Problem::Invalid(error)))),
    }
}

/// Why the header of a client was rejected.
#[derive(Debug)]
pub struct HeaderError {
    peer: Peer,
    problem: Problem,
}

#[derive(Debug)]
enum Problem {
    /// The client sent something else.
    None,
    Invalid(DecodeError),
    /// The stream ended in the middle of the header.
    Truncated,
    Late(Duration),
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Refused {}: ", self.peer)?;
        match &self.problem {
            Problem::None => f.write_str("no PROXY header at the start of the connection"),
            Problem::Invalid(error) => write!(f, "{error}"),
            Problem::Truncated => f.write_str("truncated PROXY header"),
            Problem::Late(after) => write!(f, "no PROXY header within {} s", after.as_secs_f64()),
        }?;
        f.write_str(" (enable the header there, for example send-proxy-v2 in HAProxy, or remove the address from accept_proxy)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
    const LINE: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 80\r\n";

    fn accept(networks: &[&str]) -> AcceptProxy {
        let networks = networks.iter().map(|text| text.parse().unwrap()).collect();
        AcceptProxy { from: Sources::Networks(networks), timeout: HEADER_TIMEOUT }
    }

    fn client(socket: OwnedFd, kind: StreamKind) -> Client {
        Client::new(socket, kind)
    }

    fn tcp() -> (TcpStream, Client) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (near, _) = listener.accept().unwrap();
        near.set_nonblocking(true).unwrap();
        (far, client(near.into(), StreamKind::Other))
    }

    async fn read_header(accept: AcceptProxy, client: &Client) -> Result<Box<Peer>, ReadHeaderError> {
        let mut peer = Box::new(Peer::of(&client.socket));
        accept.read_header(client, &mut peer).await.map(|()| peer)
    }

    #[tokio::test]
    async fn reads_headers_of_trusted_proxies_only() {
        let (mut far, near) = tcp();
        far.write_all(LINE).unwrap();
        let itself = far.local_addr().unwrap();
        let peer = read_header(accept(&["10.0.0.0/8"]), &near).await.unwrap();
        assert_eq!(peer.to_string(), itself.to_string(), "a plain client's words are its own");
        let peer = read_header(accept(&["127.0.0.0/8"]), &near).await.unwrap();
        assert_eq!(peer.ip(), Some("192.0.2.7".parse().unwrap()));
        assert_eq!(peer.to_string(), "192.0.2.7:4711");
    }

    #[tokio::test]
    async fn a_local_proxy_is_trusted() {
        let (mut far, near) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        let near = client(near.into(), StreamKind::Unix);
        far.write_all(LINE).unwrap();
        let peer = read_header(accept(&["10.0.0.0/8"]), &near).await.unwrap();
        assert_eq!(peer.to_string(), "192.0.2.7:4711");
    }

    #[tokio::test]
    async fn a_local_header_keeps_the_address_of_the_proxy() {
        for local in [&b"PROXY UNKNOWN\r\n"[..], b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"] {
            let (mut far, near) = tcp();
            far.write_all(local).unwrap();
            let peer = read_header(accept(&["127.0.0.1"]), &near).await.unwrap();
            assert_eq!(peer.to_string(), far.local_addr().unwrap().to_string());
        }
    }

    #[tokio::test]
    async fn reports_why_a_header_is_invalid() {
        for (words, why) in [
            (&b"GET / HTTP/1.1\r\n"[..], "no PROXY header at the start of the connection"),
            (b"PROXY TCP4 a b c d\r\n", "invalid PROXY header: malformed line"),
            (b"\r\n\r\n\0\r\nQUIT\n\x31", "invalid PROXY header: unknown version or command 0x31"),
        ] {
            let (mut far, near) = tcp();
            far.write_all(words).unwrap();
            let refusal = read_header(accept(&["127.0.0.1"]), &near).await.unwrap_err();
            assert!(
                matches!(refusal, ReadHeaderError::Header(_)) && refusal.to_string().contains(why),
                "{refusal}"
            );
        }
        let (mut far, near) = tcp();
        far.write_all(b"PROXY TCP4").unwrap();
        drop(far);
        let refusal = read_header(accept(&["127.0.0.1"]), &near).await.unwrap_err();
        assert!(refusal.to_string().contains("truncated"), "{refusal}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_missing_header_times_out() {
        for words in [&b""[..], b"PROXY"] {
            let (mut far, near) = tcp();
            far.write_all(words).unwrap();
            let began = tokio::time::Instant::now();
            let refusal = read_header(accept(&["127.0.0.1"]), &near).await.unwrap_err();
            assert!(refusal.to_string().contains("no PROXY header within 5 s"), "{refusal}");
            assert_eq!(began.elapsed().as_secs(), HEADER_TIMEOUT.as_secs());
        }
    }

    #[tokio::test]
    async fn a_client_that_leaves_without_data_is_no_fault() {
        let (far, near) = tcp();
        drop(far);
        let refusal = read_header(accept(&["127.0.0.1"]), &near).await.unwrap_err();
        assert!(matches!(refusal, ReadHeaderError::ClientLeft), "{refusal}");
    }
}
