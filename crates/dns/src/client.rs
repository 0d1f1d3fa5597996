//! DNS queries: over UDP, over TCP if the answer is truncated, to the next resolver if one does not answer.

#[cfg(test)]
mod tests;

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::resolv_conf::ResolvConf;
use super::wire::{self, MAX_UDP_BYTES, RecordType, Reply};

/// The records to query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Query {
    /// Addresses of both families.
    Addresses,
    Services,
}

/// Queries a name and its combinations with the search list, until one of them has records.
///
/// Like the C library, it continues with the next name after a resolver's error. It stops if all resolvers are silent:
/// the next name may be another host, and would only add another timeout.
///
/// # Errors
/// When no resolver answered, or a resolver returned an error for one of the names and none has records.
pub(super) async fn ask(conf: &ResolvConf, name: &str, query: Query) -> Result<Reply, String> {
    let (mut refused, mut absent) = (None, None);
    // A search domain may make the name too long.
    for candidate in conf.candidates(name).iter().filter(|candidate| wire::is_name(candidate)) {
        let reply = match query {
            Query::Addresses => ask_for_addresses(conf, candidate).await?,
            Query::Services => ask_for(conf, candidate, RecordType::Srv).await?,
        };
        match reply {
            Reply::NoRecords(ttl) => absent = Some(absent.unwrap_or(ttl).min(ttl)),
            Reply::ServerError(why) => _ = refused.get_or_insert(why),
            found => return Ok(found),
        }
    }
    match (refused, absent) {
        (Some(why), _) => Err(why),
        (None, Some(ttl)) => Ok(Reply::NoRecords(ttl)),
        (None, None) => Err("the name is too long".to_owned()),
    }
}

/// Queries both address families of a name. Both must be answered: servers that are missing in an incomplete answer
/// would be removed.
async fn ask_for_addresses(conf: &ResolvConf, name: &str) -> Result<Reply, String> {
    let (v4, v6) = tokio::join!(ask_for(conf, name, RecordType::A), ask_for(conf, name, RecordType::Aaaa));
    match (v4?, v6?) {
        (Reply::Addresses(mut all, one), Reply::Addresses(others, other)) => {
            all.extend(others);
            Ok(Reply::Addresses(all, one.min(other)))
        }
        (found @ Reply::Addresses(..), Reply::NoRecords(_))
        | (Reply::NoRecords(_), found @ Reply::Addresses(..)) => Ok(found),
        (Reply::NoRecords(one), Reply::NoRecords(other)) => Ok(Reply::NoRecords(one.min(other))),
        // The name exists, so the next candidate would be another host.
        (Reply::Addresses(..), Reply::ServerError(why)) | (Reply::ServerError(why), Reply::Addresses(..)) => {
            Err(why)
        }
        (refused @ Reply::ServerError(_), _) | (_, refused @ Reply::ServerError(_)) => Ok(refused),
        _ => Err("unexpected reply".to_owned()),
    }
}

/// Queries one resolver after the other until one answers. Returns a resolver's error only if no other resolver answers.
///
/// # Errors
/// When no resolver answered.
async fn ask_for(conf: &ResolvConf, name: &str, kind: RecordType) -> Result<Reply, String> {
    let mut refused = None;
    let mut silent = "no resolver is configured".to_owned();
    for _ in 0..conf.attempts {
        for server in &conf.servers {
            let asked = timeout(conf.timeout, ask_server(*server, name, kind)).await;
            match asked {
                Ok(Ok(Reply::ServerError(reason))) => refused = Some(format!("{server}: {reason}")),
                Ok(Ok(reply)) => return Ok(reply),
                Ok(Err(error)) => silent = format!("{server}: {error}"),
                Err(_) => silent = format!("{server} does not answer"),
            }
        }
    }
    refused.map(Reply::ServerError).ok_or(silent)
}

async fn ask_server(server: SocketAddr, name: &str, kind: RecordType) -> io::Result<Reply> {
    let any =
        if server.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    // A new port and a random ID make forged answers unlikely (RFC 5452).
    let id = random();
    let no_name = || io::Error::new(io::ErrorKind::InvalidInput, "the name is invalid");
    let question = wire::question(id, name, kind).ok_or_else(no_name)?;
    let socket = UdpSocket::bind::<SocketAddr>(any).await?;
    socket.connect(server).await?;
    socket.send(&question).await?;
    let mut bytes = [0; MAX_UDP_BYTES as usize];
    loop {
        let length = socket.recv(&mut bytes).await?;
        match wire::reply(bytes.get(..length).unwrap_or_default(), id, name, kind) {
            Some(Reply::Truncated) => return ask_over_tcp(server, &question, id, name, kind).await,
            Some(reply) => return Ok(reply),
            // Not an answer to this query; the right one may follow.
            None => {}
        }
    }
}

/// Queries over TCP, where each message follows its length.
async fn ask_over_tcp(
    server: SocketAddr,
    question: &[u8],
    id: u16,
    name: &str,
    kind: RecordType,
) -> io::Result<Reply> {
    let broken = || io::Error::new(io::ErrorKind::InvalidData, "malformed TCP reply");
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

/// Returns a random number. The keys of the standard library's hasher come from the kernel.
fn random() -> u16 {
    let bits = RandomState::new().hash_one(0u8);
    u16::try_from(bits & 0xffff).unwrap_or_default()
}
