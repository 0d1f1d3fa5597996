//! The server that a cold start or a thaw wakes. It tells whoever speaks to it first when it began to listen and when
//! that first byte was in its hands.

use std::{
    env,
    os::{fd::OwnedFd, unix::net::UnixDatagram},
    path::Path,
    thread::sleep,
    time::Duration,
};

use rustix::net::{RecvFlags, SocketFlags, recv, send};

use crate::{
    by_socket::{BySocket, number},
    error::{Doing, Error, Result},
    net::{Endpoint, SEND, accepted},
    poller::{EventFlags, Poller},
    process::{monotonic, readable},
};

const LISTENER: u64 = u64::MAX;
/// Longer than any answer.
const ANSWER: usize = 128;

/// What the server answers, by the clock that all processes share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Just before its `listen()`.
    pub(crate) listened: Duration,
    /// When a client's byte was read.
    pub(crate) heard: Duration,
}

/// Starts up for `delay`, listens, says that it is ready to whoever wants to know, and answers until it is killed.
/// Connections that say nothing are somebody's probes, and get no answer.
pub(crate) fn serve(at: &Endpoint, delay: Duration) -> Result<()> {
    // The first look at the clock takes longer, and between bind() and listen() somebody who watches may come too early.
    let began = monotonic();
    sleep(delay.saturating_sub(monotonic().saturating_sub(began)));
    let bound = at.bound()?;
    let since = monotonic();
    let listener = Endpoint::listening(bound)?;
    say_ready()?;
    let mut poller = Poller::new()?;
    poller.add(&listener, LISTENER, EventFlags::IN)?;
    let mut sessions = BySocket::new();
    let mut ready = Vec::new();
    loop {
        poller.wait(&mut ready, None)?;
        for &token in &ready {
            if token != LISTENER {
                let Some(session) = sessions.get(token) else { continue };
                if !answer(session, since)? {
                    sessions.take(token);
                }
            } else if let Some(session) = accepted(&listener, SocketFlags::empty())? {
                let number = number(&session);
                poller.add(&session, number, EventFlags::IN)?;
                sessions.put(number, session);
            }
        }
    }
}

/// False if the session is over.
fn answer(session: &OwnedFd, listened: Duration) -> Result<bool> {
    match recv(session, &mut [0; 8], RecvFlags::empty()) {
        Ok((1.., _)) => {}
        // A probe that ended, in whatever way.
        Ok(_) | Err(_) => return Ok(false),
    }
    let text = Answer { listened, heard: monotonic() }.to_line();
    match send(session, text.as_bytes(), SEND) {
        Ok(sent) if sent == text.len() => Ok(true),
        Ok(_) => Err(Error::Protocol("an answer did not fit the socket".into())),
        Err(_) => Ok(false),
    }
}

/// As `sd_notify(3)` does, for the one who starts this server.
fn say_ready() -> Result<()> {
    let Some(socket) = env::var_os("NOTIFY_SOCKET") else { return Ok(()) };
    UnixDatagram::unbound()
        .and_then(|sender| sender.send_to(b"READY=1", &socket))
        .map(drop)
        .doing(|| format!("say READY=1 at {}", Path::new(&socket).display()))
}

impl Answer {
    fn to_line(self) -> String {
        format!("{} {}\n", self.listened.as_nanos(), self.heard.as_nanos())
    }

    fn from_line(line: &str) -> Option<Self> {
        let moment = |word: &str| word.parse().ok().map(Duration::from_nanos);
        let (listened, heard) = line.strip_suffix('\n')?.split_once(' ')?;
        Some(Self { listened: moment(listened)?, heard: moment(heard)? })
    }

    /// Waits for the answer on a client's blocking socket.
    pub(crate) fn read(client: &OwnedFd, at_most: Duration) -> Result<Self> {
        let mut line = [0; ANSWER];
        let mut got = 0;
        loop {
            readable(client, at_most, || "answer of the woken server".into())?;
            let rest = line.get_mut(got..).unwrap_or_default();
            let (count, _) = recv(client, rest, RecvFlags::empty()).doing(|| "read the answer".into())?;
            got += count;
            let text = String::from_utf8_lossy(line.get(..got).unwrap_or_default());
            if let Some(answer) = Self::from_line(&text) {
                return Ok(answer);
            }
            if count == 0 {
                return Err(Error::Protocol(format!("the session ended after `{text}`")));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_survives_the_way() {
        let answer = Answer { listened: Duration::from_nanos(12), heard: Duration::from_secs(3) };
        assert_eq!(Answer::from_line(&answer.to_line()), Some(answer));
        assert_eq!(Answer::from_line("12 30"), None);
        assert_eq!(Answer::from_line("12\n"), None);
    }
}
