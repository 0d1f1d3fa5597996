//! Small requests and answers on sessions that stay, each waiting for its answer before it asks again.

use std::{
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use rustix::{
    io::Errno,
    net::{RecvFlags, recv, send},
};

use super::{Load, MESSAGE, Span};
use crate::{
    backend::Mode,
    error::{Doing, Error, Result},
    metric::{self, Reading},
    net::{Endpoint, SEND, set_nodelay},
    poller::{EventFlags, Poller},
    site::Site,
};

/// Sessions at a time.
pub(crate) const SESSIONS: usize = 64;

/// Messages/s and, with a proxy, its CPU seconds per million messages.
pub(crate) fn measure(site: &Site<'_>) -> Result<Vec<Reading>> {
    let counted = super::run(Load::Messages { sessions: SESSIONS }, Mode::Echo, site, false)?;
    let messages = counted.get("messages")?;
    let mut readings = vec![Reading::new(&metric::MESSAGES, messages / counted.get("seconds")?)];
    // Its many short-lived processes each round their CPU time down to the clock tick.
    let cpu = counted.cpu.filter(|_| !site.subject.forks());
    readings.extend(cpu.map(|cpu| Reading::new(&metric::MESSAGES_CPU, cpu / messages * 1e6)));
    Ok(readings)
}

#[expect(clippy::cast_precision_loss, reason = "fewer than 2^52 messages are sent")]
pub(super) fn client(sessions: usize, front: &Endpoint, span: Span) -> Result<()> {
    let mut messages = Messages::open(sessions, front)?;
    messages.pump(span.warm)?;
    if messages.answered < sessions as u64 {
        return Err(Error::Protocol("not every session was answered while warming up".into()));
    }
    messages.answered = 0;
    super::begin()?;
    let started = Instant::now();
    messages.pump(span.window)?;
    let seconds = started.elapsed().as_secs_f64();
    super::end(&[("messages", messages.answered as f64), ("seconds", seconds)])
}

struct Session {
    socket: OwnedFd,
    /// Bytes of the answer that are here.
    got: usize,
}

struct Messages {
    sessions: Vec<Session>,
    poller: Poller,
    answered: u64,
}

impl Messages {
    /// Opens the sessions one after another, each with an exchange, so that all are ready.
    fn open(sessions: usize, front: &Endpoint) -> Result<Self> {
        let poller = Poller::new()?;
        let mut opened = Vec::with_capacity(sessions);
        for index in 0..sessions {
            let socket = front.connect()?;
            set_nodelay(&socket, front.family())?;
            super::exchange(&socket)?;
            rustix::io::ioctl_fionbio(&socket, true).doing(|| "make a session non-blocking".into())?;
            poller.add(&socket, index as u64, EventFlags::IN)?;
            opened.push(Session { socket, got: 0 });
        }
        for session in &opened {
            ask(&session.socket)?;
        }
        Ok(Self { sessions: opened, poller, answered: 0 })
    }

    fn pump(&mut self, span: Duration) -> Result<()> {
        let until = Instant::now() + span;
        let mut ready = Vec::new();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            self.poller.wait(&mut ready, Some(left))?;
            for &token in &ready {
                let session = usize::try_from(token).ok().and_then(|index| self.sessions.get_mut(index));
                let Some(session) = session else { continue };
                self.answered += u64::from(session.turn()?);
            }
        }
    }
}

impl Session {
    /// Reads what is here; asks again, and returns true, when the answer is whole.
    fn turn(&mut self) -> Result<bool> {
        let mut answer = [0; MESSAGE];
        match recv(&self.socket, answer.get_mut(self.got..).unwrap_or_default(), RecvFlags::empty()) {
            Ok((0, _)) => return Err(Error::Protocol("a session ended early".into())),
            Ok((count, _)) => self.got += count,
            Err(Errno::AGAIN) => {}
            Err(error) => return Err(error).doing(|| "read an answer".into()),
        }
        if self.got < MESSAGE {
            return Ok(false);
        }
        self.got = 0;
        ask(&self.socket)?;
        Ok(true)
    }
}

fn ask(socket: &OwnedFd) -> Result<()> {
    send(socket, &[b'q'; MESSAGE], SEND).map(drop).doing(|| "send a request".into())
}
