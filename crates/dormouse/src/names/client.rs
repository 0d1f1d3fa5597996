//! Asking: over UDP, over TCP where the answer does not fit, the next server where one does not answer.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::resolv_conf::Resolvers;
use super::wire::{self, Kind, MOST_BYTES, Reply};

/// Asks until somebody answers, and for a name as it is and with what belongs behind it.
///
/// # Errors
/// Why nobody answered.
pub(super) async fn ask(resolvers: &Resolvers, name: &str, kind: Kind) -> Result<Reply, String> {
    let mut last = None;
    for candidate in resolvers.candidates(name) {
        match ask_for(resolvers, &candidate, kind).await? {
            Reply::Nothing(ttl) => last = Some(Reply::Nothing(ttl)),
            found => return Ok(found),
        }
    }
    last.ok_or_else(|| "there is no name to ask for".to_owned())
}

async fn ask_for(resolvers: &Resolvers, name: &str, kind: Kind) -> Result<Reply, String> {
    let mut why = "there is no resolver".to_owned();
    for _ in 0..resolvers.attempts {
        for server in &resolvers.servers {
            let asked = timeout(resolvers.timeout, ask_server(*server, name, kind)).await;
            match asked {
                Ok(Ok(Reply::Refused(reason))) => why = format!("{server}: {reason}"),
                Ok(Ok(reply)) => return Ok(reply),
                Ok(Err(error)) => why = format!("{server}: {error}"),
                Err(_) => why = format!("{server} does not answer"),
            }
        }
    }
    Err(why)
}

async fn ask_server(server: SocketAddr, name: &str, kind: Kind) -> io::Result<Reply> {
    let any =
        if server.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    // A port of its own and a number that nobody guesses, so that only who was asked can answer.
    let id = random();
    let no_name = || io::Error::new(io::ErrorKind::InvalidInput, "the name cannot be asked for");
    let question = wire::question(id, name, kind).ok_or_else(no_name)?;
    let socket = UdpSocket::bind::<SocketAddr>(any).await?;
    socket.connect(server).await?;
    socket.send(&question).await?;
    let mut bytes = [0; MOST_BYTES as usize];
    loop {
        let length = socket.recv(&mut bytes).await?;
        match wire::reply(bytes.get(..length).unwrap_or_default(), id, name, kind) {
            Some(Reply::Truncated) => return ask_at_length(server, &question, id, name, kind).await,
            Some(reply) => return Ok(reply),
            // Not an answer to this; the right one may follow.
            None => {}
        }
    }
}

/// Over TCP, each message behind its length.
async fn ask_at_length(
    server: SocketAddr,
    question: &[u8],
    id: u16,
    name: &str,
    kind: Kind,
) -> io::Result<Reply> {
    let broken = || io::Error::new(io::ErrorKind::InvalidData, "the answer over TCP is broken");
    let stream = TcpStream::connect(server).await?;
    let length = u16::try_from(question.len()).map_err(|_| broken())?;
    let message = [&length.to_be_bytes(), question].concat();
    let mut rest = message.as_slice();
    while !rest.is_empty() {
        stream.writable().await?;
        match stream.try_write(rest) {
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    let mut head = [0; 2];
    fill(&stream, &mut head).await?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes(head))];
    fill(&stream, &mut answer).await?;
    match wire::reply(&answer, id, name, kind) {
        None | Some(Reply::Truncated) => Err(broken()),
        Some(reply) => Ok(reply),
    }
}

async fn fill(stream: &TcpStream, bytes: &mut [u8]) -> io::Result<()> {
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        stream.readable().await?;
        match stream.try_read(rest) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The keys of the standard library's hasher come from the kernel.
fn random() -> u16 {
    let bits = RandomState::new().hash_one(0u8);
    u16::try_from(bits & 0xffff).unwrap_or_default()
}
