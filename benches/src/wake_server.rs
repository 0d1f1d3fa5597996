//! The server that a cold start or a thaw wakes. It answers the first byte of a client with the time when it started to
//! listen and the time when it read the byte.

use std::{
    env,
    os::{fd::OwnedFd, unix::net::UnixDatagram},
    path::Path,
    thread::sleep,
    time::Duration,
};

use rustix::net::{RecvFlags, SocketFlags, recv, send};

use crate::{
    error::{Error, ErrorContext, Result},
    fd_map::{FdMap, token_of},
    net::{Endpoint, SEND_FLAGS, accept_client},
    poller::{EventFlags, Poller},
    process::{monotonic, wait_readable},
};

const LISTENER: u64 = u64::MAX;
/// The largest answer, in bytes.
const MAX_ANSWER: usize = 128;

/// The answer of the server, in times of the monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The time just before `listen()`.
    pub(crate) listen_time: Duration,
    /// The time when the byte of the client was read.
    pub(crate) read_time: Duration,
}

/// Waits for `delay`, listens, sends READY=1 if requested, and answers until the process is killed.
/// Connections without data are probes and get no answer.
pub(crate) fn serve(at: &Endpoint, delay: Duration) -> Result<()> {
    // Read the clock before bind(): the first read is slow, and a watcher could connect between bind() and listen().
    let start_time = monotonic();
    sleep(delay.saturating_sub(monotonic().saturating_sub(start_time)));
    let bound = at.bind()?;
    let listen_time = monotonic();
    let listener = Endpoint::listen_on(bound)?;
    notify_ready()?;
    let mut poller = Poller::new()?;
    poller.add(&listener, LISTENER, EventFlags::IN)?;
    let mut sessions = FdMap::new();
    let mut ready = Vec::new();
    loop {
        poller.wait(&mut ready, None)?;
        for &token in &ready {
            if token != LISTENER {
                let Some(session) = sessions.get(token) else { continue };
                if !answer(session, listen_time)? {
                    sessions.take(token);
                }
            } else if let Some(session) = accept_client(&listener, SocketFlags::empty())? {
                let number = token_of(&session);
                poller.add(&session, number, EventFlags::IN)?;
                sessions.put(number, session);
            }
        }
    }
}

/// Answers a client. Returns false if the session has ended.
fn answer(session: &OwnedFd, listen_time: Duration) -> Result<bool> {
    match recv(session, &mut [0; 8], RecvFlags::empty()) {
        Ok((1.., _)) => {}
        // The end of a probe.
        Ok(_) | Err(_) => return Ok(false),
    }
    let text = Answer { listen_time, read_time: monotonic() }.to_line();
    match send(session, text.as_bytes(), SEND_FLAGS) {
        Ok(sent) if sent == text.len() => Ok(true),
        Ok(_) => Err(Error::Protocol("the answer was sent only in part".into())),
        Err(_) => Ok(false),
    }
}

/// Sends READY=1 like `sd_notify(3)`.
fn notify_ready() -> Result<()> {
    let Some(socket) = env::var_os("NOTIFY_SOCKET") else { return Ok(()) };
    UnixDatagram::unbound()
        .and_then(|sender| sender.send_to(b"READY=1", &socket))
        .map(drop)
        .context(|| format!("send READY=1 to {}", Path::new(&socket).display()))
}

impl Answer {
    fn to_line(self) -> String {
        format!("{} {}\n", self.listen_time.as_nanos(), self.read_time.as_nanos())
    }

    fn from_line(line: &str) -> Option<Self> {
        let time = |word: &str| word.parse().ok().map(Duration::from_nanos);
        let (listen_time, read_time) = line.strip_suffix('\n')?.split_once(' ')?;
        Some(Self { listen_time: time(listen_time)?, read_time: time(read_time)? })
    }

    /// Waits for the answer on a client's blocking socket.
    pub(crate) fn read(client: &OwnedFd, timeout: Duration) -> Result<Self> {
        let mut line = [0; MAX_ANSWER];
        let mut received = 0;
        loop {
            wait_readable(client, timeout, || "the answer of the woken server".into())?;
            let rest = line.get_mut(received..).unwrap_or_default();
            let (count, _) = recv(client, rest, RecvFlags::empty()).context(|| "read the answer".into())?;
            received += count;
            let text = String::from_utf8_lossy(line.get(..received).unwrap_or_default());
            if let Some(answer) = Self::from_line(&text) {
                return Ok(answer);
            }
            if count == 0 {
                return Err(Error::Protocol(format!("the session ended after the text `{text}`")));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_can_be_read_from_its_line() {
        let answer = Answer { listen_time: Duration::from_nanos(12), read_time: Duration::from_secs(3) };
        assert_eq!(Answer::from_line(&answer.to_line()), Some(answer));
        assert_eq!(Answer::from_line("12 30"), None);
        assert_eq!(Answer::from_line("12\n"), None);
    }
}
