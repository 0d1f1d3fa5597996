//! The first exchange with a server that has just been started. Until its first byte it may turn out not to be there
//! yet: a container engine's port forwarder accepts and drops before the program behind it listens. What the client
//! has said is kept meanwhile, so that it can be said again to the next connection.

use std::future::poll_fn;
use std::task::{Context, Poll};

use rustix::io::Errno;
use rustix::net::{RecvFlags, Shutdown, recv, shutdown};

use crate::stream::Stream;
use crate::transfer::{read, write};

/// More of what a client says is not kept.
const MOST: usize = 64 << 10;

/// What the server is told first, and what the client has said so far.
#[derive(Debug, Default)]
pub struct Said {
    bytes: Vec<u8>,
    /// How many of them this server has.
    sent: usize,
    /// The client has ended its stream.
    ended: bool,
    /// This server knows.
    told_end: bool,
}

/// How a trial ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The server has answered; its first byte waits to be read.
    Answered,
    /// The connection ended before that. It may be tried again.
    Dropped(Errno),
    /// The client has said more than is kept; from now on nothing can be said again.
    TooMuch,
    /// Both have ended their streams in good order: there was nothing to answer.
    Ended,
    /// The client is gone.
    ClientLeft,
}

impl Said {
    /// Begins with these bytes.
    pub fn new(first: Vec<u8>) -> Self {
        Self { bytes: first, ..Self::default() }
    }

    /// The next server knows nothing yet.
    pub fn forget_server(&mut self) {
        self.sent = 0;
        self.told_end = false;
    }

    /// How much of it the server has.
    pub fn sent(&self) -> usize {
        self.sent
    }

    /// What the server does not have yet.
    pub fn into_rest(mut self) -> Vec<u8> {
        self.bytes.split_off(self.sent.min(self.bytes.len()))
    }

    /// Joins the two until the server's first byte, or until it is clear that this connection leads nowhere.
    pub async fn listen(&mut self, client: &mut Stream, server: &mut Stream) -> Verdict {
        poll_fn(|cx| self.poll(cx, client, server)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>, client: &mut Stream, server: &mut Stream) -> Poll<Verdict> {
        loop {
            if let Some(verdict) = self.step(client, server) {
                return Poll::Ready(verdict);
            }
            let flags = |stream: &Stream| (stream.readable, stream.writable, stream.hung_up);
            let before = (flags(client), flags(server));
            // Both are watched for their end: nobody may read from them for now.
            if client.poll_events(cx, true).is_err() || server.poll_events(cx, true).is_err() {
                return Poll::Ready(Verdict::TooMuch);
            }
            if (flags(client), flags(server)) == before {
                return Poll::Pending;
            }
        }
    }

    fn step(&mut self, client: &mut Stream, server: &mut Stream) -> Option<Verdict> {
        if let Some(verdict) = self.hear(server) {
            return Some(verdict);
        }
        loop {
            while server.writable && self.sent < self.bytes.len() {
                match write(server, self.bytes.get(self.sent..).unwrap_or_default()) {
                    Ok(sent) => self.sent += sent,
                    Err(broken) => return Some(Verdict::Dropped(broken.error)),
                }
            }
            if self.ended && self.sent == self.bytes.len() && !self.told_end {
                self.told_end = true;
                if let Some(socket) = server.socket() {
                    // A server that is gone shows it at the next look.
                    let _ = shutdown(socket, Shutdown::Write);
                }
            }
            if self.ended || !client.readable {
                return None;
            }
            if self.bytes.len() >= MOST {
                return Some(Verdict::TooMuch);
            }
            let mut piece = [0; 4096];
            match read(client, &mut piece) {
                Ok(Some(0)) => self.ended = true,
                Ok(Some(length)) => self.bytes.extend_from_slice(piece.get(..length).unwrap_or_default()),
                Ok(None) => return None,
                Err(_) => return Some(Verdict::ClientLeft),
            }
        }
    }

    /// What the server has to say, without taking it.
    fn hear(&self, server: &mut Stream) -> Option<Verdict> {
        while server.readable {
            let Some(socket) = server.socket() else { return Some(Verdict::Dropped(Errno::BADF)) };
            match recv(socket, &mut [0; 1], RecvFlags::PEEK) {
                // The reset by which somebody who is gone answers bytes is no order at all.
                Ok((0, _)) if self.told_end => {
                    return Some(server.take_error().map_or(Verdict::Ended, Verdict::Dropped));
                }
                Ok((0, _)) => return Some(Verdict::Dropped(Errno::PIPE)),
                Ok(_) => return Some(Verdict::Answered),
                Err(Errno::AGAIN) => server.readable = false,
                Err(Errno::INTR) => {}
                Err(error) => return Some(Verdict::Dropped(error)),
            }
        }
        if server.hung_up { server.take_error().map(Verdict::Dropped) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::Kind;
    use std::io::{Read, Write};
    use std::net::{Shutdown as End, TcpListener, TcpStream};

    /// A connection: the far end, and ours.
    fn connection() -> (TcpStream, Stream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (near, _) = listener.accept().unwrap();
        near.set_nonblocking(true).unwrap();
        (far, Stream::new(near.into(), Kind::Plain, false).unwrap())
    }

    /// A client that has said all that it wants to say.
    fn client(words: &[u8]) -> (TcpStream, Stream) {
        let (mut far, near) = connection();
        far.write_all(words).unwrap();
        far.shutdown(End::Write).unwrap();
        (far, near)
    }

    #[tokio::test]
    async fn who_has_gone_before_the_clients_last_word_has_not_heard_it() {
        let (_client, mut near) = client(b"hello");
        let (server, mut near_server) = connection();
        drop(server);
        assert!(!near_server.speaks().await, "the end has arrived");
        let verdict = Said::new(Vec::new()).listen(&mut near, &mut near_server).await;
        assert!(matches!(verdict, Verdict::Dropped(_)), "{verdict:?}");
    }

    #[tokio::test]
    async fn who_hears_all_and_has_nothing_to_answer_ends_in_good_order() {
        let (_client, mut near) = client(b"hello");
        let (mut server, mut near_server) = connection();
        let hearing = std::thread::spawn(move || {
            let mut heard = Vec::new();
            server.read_to_end(&mut heard).unwrap();
            heard
        });
        let mut said = Said::new(b"header ".to_vec());
        assert_eq!(said.listen(&mut near, &mut near_server).await, Verdict::Ended);
        assert_eq!(hearing.join().unwrap(), b"header hello");
    }

    #[tokio::test]
    async fn what_was_said_is_kept_for_the_next_server() {
        let (_client, mut near) = client(b"hello");
        let (server, mut near_server) = connection();
        drop(server);
        let mut said = Said::new(b"header ".to_vec());
        assert!(matches!(said.listen(&mut near, &mut near_server).await, Verdict::Dropped(_)));
        said.forget_server();
        let (mut server, mut near_server) = connection();
        server.write_all(b"x").unwrap();
        assert_eq!(said.listen(&mut near, &mut near_server).await, Verdict::Answered);
        let sent = said.sent();
        let mut heard = vec![0; sent];
        server.read_exact(&mut heard).unwrap();
        heard.extend(said.into_rest());
        // What is not read yet is the relay's.
        assert!(b"header hello".starts_with(&heard) && heard.len() >= 7, "{heard:?}");
    }
}
