//! Small requests and answers on open sessions. Each session waits for its answer before the next request.

use std::{
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use rustix::{
    io::Errno,
    net::{RecvFlags, recv, send},
};

use super::{
    PROGRESS_TIMEOUT, client,
    protocol::{MESSAGE, begin, end, exchange},
};
use crate::{
    backend::Mode,
    error::{Error, ErrorContext, Result},
    metric::{self, Reading},
    net::{Endpoint, SEND_FLAGS, set_nodelay},
    poller::{EventFlags, Poller},
    spec::{Load, Timing},
    testbed::Setup,
};

/// The number of concurrent sessions.
pub(crate) const SESSIONS: usize = 64;

/// Measures messages/s and, with a proxy, its CPU seconds per million messages.
pub(crate) fn measure(setup: &Setup<'_>) -> Result<Vec<Reading>> {
    let result = client::run(Load::Messages { sessions: SESSIONS }, Mode::Echo, setup, false)?;
    let messages = result.get("messages")?;
    let mut readings = vec![Reading::new(&metric::MESSAGES, messages / result.get("seconds")?)];
    // A process for each session makes the CPU time too inaccurate, as each is rounded down to the clock tick.
    let cpu = result.cpu.filter(|_| !setup.subject.forks_per_session());
    readings.extend(cpu.map(|cpu| Reading::new(&metric::MESSAGES_CPU, cpu / messages * 1e6)));
    Ok(readings)
}

#[expect(clippy::cast_precision_loss, reason = "fewer than 2^52 messages are sent")]
pub(super) fn client(sessions: usize, front: &Endpoint, timing: Timing) -> Result<()> {
    let mut messages = Messages::open(sessions, front)?;
    messages.run_for(timing.warmup, sessions as u64)?;
    messages.answered = 0;
    begin()?;
    let started = Instant::now();
    messages.run_for(timing.window, 1)?;
    let seconds = started.elapsed().as_secs_f64();
    end(&[("messages", messages.answered as f64), ("seconds", seconds)])
}

struct Session {
    socket: OwnedFd,
    /// The received bytes of the answer.
    received: usize,
}

struct Messages {
    sessions: Vec<Session>,
    poller: Poller,
    answered: u64,
}

impl Messages {
    /// Opens the sessions one after another, each with one exchange, so that all are established.
    fn open(sessions: usize, front: &Endpoint) -> Result<Self> {
        let poller = Poller::new()?;
        let mut opened = Vec::with_capacity(sessions);
        for index in 0..sessions {
            let socket = front.connect()?;
            set_nodelay(&socket, front.family())?;
            exchange(&socket)?;
            rustix::io::ioctl_fionbio(&socket, true).context(|| "make a session non-blocking".into())?;
            poller.add(&socket, index as u64, EventFlags::IN)?;
            opened.push(Session { socket, received: 0 });
        }
        for session in &opened {
            request(&session.socket)?;
        }
        Ok(Self { sessions: opened, poller, answered: 0 })
    }

    /// Exchanges messages for this time, and for longer until this many were answered: a busy machine is no error.
    fn run_for(&mut self, duration: Duration, at_least: u64) -> Result<()> {
        let (until, limit) = (Instant::now() + duration, Instant::now() + duration + PROGRESS_TIMEOUT);
        let mut ready = Vec::new();
        loop {
            let is_enough = self.answered >= at_least;
            let left = if is_enough { until } else { limit }.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let error = || Error::Protocol(format!("only {} messages were answered", self.answered));
                return if is_enough { Ok(()) } else { Err(error()) };
            }
            self.poller.wait(&mut ready, Some(left))?;
            for &token in &ready {
                let session = usize::try_from(token).ok().and_then(|index| self.sessions.get_mut(index));
                let Some(session) = session else { continue };
                self.answered += u64::from(session.advance()?);
            }
        }
    }
}

impl Session {
    /// Reads from the socket. Sends the next request and returns true when the answer is complete.
    fn advance(&mut self) -> Result<bool> {
        let mut answer = [0; MESSAGE];
        match recv(&self.socket, answer.get_mut(self.received..).unwrap_or_default(), RecvFlags::empty()) {
            Ok((0, _)) => return Err(Error::Protocol("a session ended early".into())),
            Ok((count, _)) => self.received += count,
            Err(Errno::AGAIN) => {}
            Err(error) => return Err(error).context(|| "read an answer".into()),
        }
        if self.received < MESSAGE {
            return Ok(false);
        }
        self.received = 0;
        request(&self.socket)?;
        Ok(true)
    }
}

fn request(socket: &OwnedFd) -> Result<()> {
    send(socket, &[b'q'; MESSAGE], SEND_FLAGS).map(drop).context(|| "send a request".into())
}
