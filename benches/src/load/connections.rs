//! New sessions with one exchange each, with a fixed number at a time.

use std::{
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use rustix::{
    io::Errno,
    net::{RecvFlags, Shutdown, SocketAddrAny, recv, send, shutdown},
};

use super::{
    PROGRESS_TIMEOUT, client,
    protocol::{MESSAGE, begin, end},
};
use crate::{
    backend::Mode,
    error::{Error, ErrorContext, Result},
    metric::{self, Reading},
    net::{Endpoint, Family, SEND_FLAGS, start_connect},
    poller::{EventFlags, Poller},
    proc,
    spec::{CloseMode, Load, Timing},
    testbed::Setup,
};

/// The number of concurrent sessions.
const CONCURRENCY: usize = 64;
/// The sessions of the warm-up.
const WARMUP_SESSIONS: usize = 4 * CONCURRENCY;
/// The limit for the warm-up.
const WARMUP_TIMEOUT: Duration = Duration::from_secs(10);

/// Measures connections/s and, with a proxy, its CPU seconds per 10 000 connections.
/// The number of sessions is limited because each session that closes normally keeps a port for a minute.
pub(crate) fn measure(close: CloseMode, count: usize, setup: &Setup<'_>) -> Result<Vec<Reading>> {
    proc::wait_for_time_wait_capacity(2 * (count + WARMUP_SESSIONS))?;
    let result = client::run(Load::Connections { close, count }, Mode::Echo, setup, true)?;
    let done = result.get("sessions")?;
    let (rate, cost) = metric::connections(close);
    let mut readings = vec![Reading::new(rate, done / result.get("seconds")?)];
    readings.extend(result.cpu.map(|cpu| Reading::new(cost, cpu / done * 1e4)));
    Ok(readings)
}

#[expect(clippy::cast_precision_loss, reason = "a few thousand sessions")]
pub(super) fn client(close: CloseMode, count: usize, front: &Endpoint, timing: Timing) -> Result<()> {
    let mut connections = Connections::new(close, front)?;
    connections.run(WARMUP_SESSIONS, WARMUP_TIMEOUT)?;
    begin()?;
    let started = Instant::now();
    let done = connections.run(count, timing.window)?;
    let seconds = started.elapsed().as_secs_f64();
    end(&[("sessions", done as f64), ("seconds", seconds)])
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Connecting,
    Requested { got: usize },
    Closing,
}

struct Session {
    socket: OwnedFd,
    state: State,
}

struct Connections {
    close: CloseMode,
    family: Family,
    to: SocketAddrAny,
    poller: Poller,
    slots: Vec<Option<Session>>,
}

impl Connections {
    fn new(close: CloseMode, front: &Endpoint) -> Result<Self> {
        Ok(Self {
            close,
            family: front.family(),
            to: front.address()?,
            poller: Poller::new()?,
            slots: (0..CONCURRENCY).map(|_| None).collect(),
        })
    }

    /// Runs `count` sessions, or as many as end in time; returns their number. The time is longer until the first one
    /// has ended: a busy machine is no error.
    fn run(&mut self, count: usize, timeout: Duration) -> Result<usize> {
        let (until, limit) = (Instant::now() + timeout, Instant::now() + timeout + PROGRESS_TIMEOUT);
        let (mut started_count, mut done) = (0, 0);
        for slot in 0..CONCURRENCY.min(count) {
            self.open(slot)?;
            started_count += 1;
        }
        let mut ready = Vec::new();
        while done < count {
            let left = if done == 0 { limit } else { until }.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            self.poller.wait(&mut ready, Some(left))?;
            for &token in &ready {
                let Ok(slot) = usize::try_from(token) else { continue };
                if !self.advance(slot)? {
                    continue;
                }
                done += 1;
                if started_count < count {
                    self.open(slot)?;
                    started_count += 1;
                }
            }
        }
        if done == 0 {
            return Err(Error::Protocol(format!("no session ended within {:?}", timeout + PROGRESS_TIMEOUT)));
        }
        Ok(done)
    }

    fn open(&mut self, slot: usize) -> Result<()> {
        let socket = start_connect(self.family, &self.to, self.close == CloseMode::Reset)?;
        let (state, interest) = match send(&socket, &[b'q'; MESSAGE], SEND_FLAGS) {
            Ok(_) => (State::Requested { got: 0 }, EventFlags::IN),
            Err(Errno::AGAIN) => (State::Connecting, EventFlags::OUT),
            Err(error) => return Err(error).context(|| "send a request".into()),
        };
        self.poller.add(&socket, slot as u64, interest)?;
        if let Some(entry) = self.slots.get_mut(slot) {
            *entry = Some(Session { socket, state });
        }
        Ok(())
    }

    /// Handles an event of a session; returns whether the session has ended.
    fn advance(&mut self, slot: usize) -> Result<bool> {
        let Some(entry) = self.slots.get_mut(slot) else { return Ok(false) };
        let Some(session) = entry.as_mut() else { return Ok(false) };
        let mut answer = [0; MESSAGE];
        match session.state {
            State::Connecting => {
                send(&session.socket, &[b'q'; MESSAGE], SEND_FLAGS).context(|| "send a request".into())?;
                session.state = State::Requested { got: 0 };
                self.poller.modify(&session.socket, slot as u64, EventFlags::IN)?;
                return Ok(false);
            }
            State::Requested { got } => {
                let count = match recv(&session.socket, &mut answer, RecvFlags::empty()) {
                    Ok((0, _)) => return Err(Error::Protocol("a session ended before its answer".into())),
                    Ok((count, _)) => count,
                    Err(Errno::AGAIN) => return Ok(false),
                    Err(error) => return Err(error).context(|| "read an answer".into()),
                };
                if got + count < MESSAGE {
                    session.state = State::Requested { got: got + count };
                    return Ok(false);
                }
                if self.close == CloseMode::Fin {
                    shutdown(&session.socket, Shutdown::Write).context(|| "shut a session down".into())?;
                    session.state = State::Closing;
                    return Ok(false);
                }
            }
            State::Closing => match recv(&session.socket, &mut answer, RecvFlags::empty()) {
                // A proxy may answer the FIN with a reset.
                Ok((0, _)) | Err(Errno::CONNRESET) => {}
                Ok(_) => return Err(Error::Protocol("the answer is too long".into())),
                Err(Errno::AGAIN) => return Ok(false),
                Err(error) => return Err(error).context(|| "read the end of a session".into()),
            },
        }
        *entry = None;
        Ok(true)
    }
}
