//! The first exchange with a server that has just been started. Until its first byte it may turn out not to be there
//! yet: a container engine's port forwarder accepts and drops before the program behind it listens. What the client
//! has said is kept meanwhile, so that it can be said again to the next connection.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use dormouse_sys::send_queue::unacknowledged;
use rustix::io::Errno;
use rustix::net::{RecvFlags, Shutdown, recv, shutdown};
use tokio::time::sleep;

use crate::pipes::Pipes;
use crate::stream::Stream;
use crate::transfer::{Taken, read, write};

/// More of what a client says is not kept.
const MOST: usize = 64 << 10;
/// How often is looked whether a server acknowledges the last words.
const LOOK: Duration = Duration::from_millis(2);

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

/// A client and a server during their first exchange. Dropped in its middle, it is a session that was cut: both see a
/// reset, as with a [`crate::Relay`].
#[derive(Debug)]
pub struct Trial<'a> {
    said: &'a mut Said,
    client: &'a mut Stream,
    server: &'a mut Stream,
    pipes: &'a Pipes,
    over: bool,
}

impl<'a> Trial<'a> {
    /// Joins the two. `pipes` are those of the session.
    pub fn new(said: &'a mut Said, client: &'a mut Stream, server: &'a mut Stream, pipes: &'a Pipes) -> Self {
        Self { said, client, server, pipes, over: false }
    }

    /// Goes on until the server's first byte, or until it is clear that this connection leads nowhere.
    pub async fn verdict(&mut self) -> Verdict {
        self.said.listen(self.client, self.server).await
    }

    /// Ends it: what becomes of the two is decided elsewhere.
    pub fn over(mut self) {
        self.over = true;
    }
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        if !self.over && (self.said.is_held() || !self.pipes.process_ends()) {
            self.client.reset_on_close();
            self.server.reset_on_close();
        }
    }
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

    fn is_held(&self) -> bool {
        self.sent < self.bytes.len()
    }

    /// What the server does not have yet.
    pub fn into_rest(mut self) -> Vec<u8> {
        self.bytes.split_off(self.sent.min(self.bytes.len()))
    }

    async fn listen(&mut self, client: &mut Stream, server: &mut Stream) -> Verdict {
        let verdict = poll_fn(|cx| self.poll(cx, client, server)).await;
        if verdict == Verdict::Ended { heard_all(server).await } else { verdict }
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
                Ok(Some(Taken { bytes: 0, .. })) => self.ended = true,
                Ok(Some(Taken { bytes, .. })) => {
                    self.bytes.extend_from_slice(piece.get(..bytes).unwrap_or_default());
                }
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
                Ok((0, _)) if self.told_end => return Some(Verdict::Ended),
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

/// Whether a server that has ended its stream without a word heard what it was told. One that was gone before does not
/// acknowledge it but answers by a reset, which may be on its way still; no event tells it apart from the end that is
/// known already.
async fn heard_all(server: &Stream) -> Verdict {
    loop {
        // In this order: what is acknowledged is not answered by a reset afterwards.
        let is_acknowledged = server.socket().is_none_or(|socket| unacknowledged(socket).unwrap_or(0) == 0);
        if let Some(error) = server.take_error() {
            return Verdict::Dropped(error);
        }
        if is_acknowledged {
            return Verdict::Ended;
        }
        sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::Kind;
    use std::io::{Read, Write};
    use std::net::{Shutdown as End, TcpListener, TcpStream};
    use std::os::unix::net::UnixStream;
    use tokio::time::{Instant, timeout};

    /// Longer than anything here takes.
    const PATIENCE: Duration = Duration::from_secs(10);

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

    /// A server that has ended its stream and not read what it was told, and the verdict on it that is being found.
    async fn ended_without_reading() -> (UnixStream, impl Future<Output = Verdict>) {
        let (far, near) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        let mut server = Stream::new(near.into(), Kind::Unix, false).unwrap();
        let (far_client, mut near_client) = client(b"hello");
        let mut verdict = Box::pin(async move {
            let _client = far_client;
            Said::new(Vec::new()).listen(&mut near_client, &mut server).await
        });
        let mut told = [0; 6];
        let deadline = Instant::now() + PATIENCE;
        while far.set_nonblocking(true).is_ok() && peek(&far, &mut told) < 5 {
            assert!(Instant::now() < deadline, "nothing is passed on");
            assert!(timeout(LOOK, &mut verdict).await.is_err(), "it said nothing yet");
        }
        far.shutdown(End::Write).unwrap();
        assert!(timeout(LOOK * 10, &mut verdict).await.is_err(), "it may still hear the rest");
        (far, verdict)
    }

    fn peek(stream: &UnixStream, room: &mut [u8]) -> usize {
        recv(stream, room, RecvFlags::PEEK).map_or(0, |(length, _)| length)
    }

    #[tokio::test]
    async fn who_ends_and_goes_without_hearing_the_last_word_has_dropped_it() {
        let (far, verdict) = ended_without_reading().await;
        drop(far);
        assert_eq!(verdict.await, Verdict::Dropped(Errno::CONNRESET));
    }

    #[tokio::test]
    async fn who_ends_and_hears_the_rest_afterwards_ends_in_good_order() {
        let (mut far, verdict) = ended_without_reading().await;
        far.read_exact(&mut [0; 5]).unwrap();
        assert_eq!(verdict.await, Verdict::Ended);
    }

    /// How a client and a server see the end of a trial that is dropped once the server has the first words of more.
    async fn dropped(pipes: &Pipes) -> [std::io::Result<usize>; 2] {
        let (mut client, mut near) = connection();
        let (mut server, mut near_server) = connection();
        client.write_all(b"hello").unwrap();
        let mut said = Said::new(Vec::new());
        let mut trial = Trial::new(&mut said, &mut near, &mut near_server, pipes);
        let deadline = Instant::now() + PATIENCE;
        while server.set_nonblocking(true).is_ok() && server.peek(&mut [0]).is_err() {
            assert!(Instant::now() < deadline, "nothing is passed on");
            assert!(timeout(LOOK, trial.verdict()).await.is_err(), "the server is silent");
        }
        drop(trial);
        drop((near, near_server));
        for far in [&client, &server] {
            far.set_nonblocking(false).unwrap();
            far.set_read_timeout(Some(PATIENCE)).unwrap();
        }
        let mut heard = [0; 5];
        server.read_exact(&mut heard).unwrap();
        [client.read(&mut heard), server.read(&mut heard)]
    }

    #[tokio::test]
    async fn a_trial_that_is_dropped_does_not_look_whole() {
        for end in dropped(&Pipes::new(0)).await {
            assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
        }
    }

    #[tokio::test]
    async fn at_the_end_of_the_process_a_trial_ends_as_with_one_that_is_killed() {
        let pipes = Pipes::new(0);
        pipes.end_with_process();
        for end in dropped(&pipes).await {
            assert_eq!(end.unwrap(), 0);
        }
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
