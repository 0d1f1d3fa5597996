//! New sessions with one exchange each, so many at a time.

use std::{
    fmt,
    os::fd::OwnedFd,
    str::FromStr,
    time::{Duration, Instant},
};

use rustix::{
    io::Errno,
    net::{RecvFlags, Shutdown, SocketAddrAny, recv, send, shutdown},
};

use super::{Load, MESSAGE, Span};
use crate::{
    backend::Mode,
    error::{Doing, Error, Result},
    metric::{self, Reading},
    net::{Endpoint, Family, SEND, connecting},
    poller::{EventFlags, Poller},
    proc,
    site::Site,
};

/// Sessions at a time.
const AT_ONCE: usize = 64;
/// Sessions before the ones that count.
const WARM: usize = 4 * AT_ONCE;
const STALL: Duration = Duration::from_secs(10);

/// How the client ends a session after its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It says that it has sent all, and waits until the other side has, too.
    Fin,
    /// It resets the connection.
    Reset,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fin => "fin",
            Self::Reset => "reset",
        })
    }
}

impl FromStr for Ending {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "fin" => Ok(Self::Fin),
            "reset" => Ok(Self::Reset),
            _ => Err(Error::Usage(format!("not an ending: {text}"))),
        }
    }
}

/// Connections/s and, with a proxy, its CPU seconds per 10 000 connections.
/// The count is bounded because every session that ends in order keeps a port for a minute.
pub(crate) fn measure(ending: Ending, count: usize, site: &Site<'_>) -> Result<Vec<Reading>> {
    proc::await_time_wait_room(2 * (count + WARM))?;
    let counted = super::run(Load::Connections { ending, count }, Mode::Echo, site, true)?;
    let done = counted.get("sessions")?;
    let (rate, cost) = metric::connections(ending);
    let mut readings = vec![Reading::new(rate, done / counted.get("seconds")?)];
    readings.extend(counted.cpu.map(|cpu| Reading::new(cost, cpu / done * 1e4)));
    Ok(readings)
}

#[expect(clippy::cast_precision_loss, reason = "a few thousand sessions")]
pub(super) fn client(ending: Ending, count: usize, front: &Endpoint, span: Span) -> Result<()> {
    let mut connections = Connections::new(ending, front)?;
    connections.run(WARM, STALL)?;
    super::begin()?;
    let started = Instant::now();
    let done = connections.run(count, span.window)?;
    let seconds = started.elapsed().as_secs_f64();
    super::end(&[("sessions", done as f64), ("seconds", seconds)])
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Connecting,
    Asked { got: usize },
    Closing,
}

struct Session {
    socket: OwnedFd,
    step: Step,
}

struct Connections {
    ending: Ending,
    family: Family,
    to: SocketAddrAny,
    poller: Poller,
    slots: Vec<Option<Session>>,
}

impl Connections {
    fn new(ending: Ending, front: &Endpoint) -> Result<Self> {
        Ok(Self {
            ending,
            family: front.family(),
            to: front.address()?,
            poller: Poller::new()?,
            slots: (0..AT_ONCE).map(|_| None).collect(),
        })
    }

    /// Makes so many sessions, or as many as end in time; returns their number.
    fn run(&mut self, count: usize, at_most: Duration) -> Result<usize> {
        let until = Instant::now() + at_most;
        let (mut begun, mut done) = (0, 0);
        for slot in 0..AT_ONCE.min(count) {
            self.open(slot)?;
            begun += 1;
        }
        let mut ready = Vec::new();
        while done < count {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            self.poller.wait(&mut ready, Some(left))?;
            for &token in &ready {
                let Ok(slot) = usize::try_from(token) else { continue };
                if !self.turn(slot)? {
                    continue;
                }
                done += 1;
                if begun < count {
                    self.open(slot)?;
                    begun += 1;
                }
            }
        }
        if done == 0 {
            return Err(Error::Protocol(format!("not one session ended within {at_most:?}")));
        }
        Ok(done)
    }

    fn open(&mut self, slot: usize) -> Result<()> {
        let socket = connecting(self.family, &self.to, self.ending == Ending::Reset)?;
        let (step, interest) = match send(&socket, &[b'q'; MESSAGE], SEND) {
            Ok(_) => (Step::Asked { got: 0 }, EventFlags::IN),
            Err(Errno::AGAIN) => (Step::Connecting, EventFlags::OUT),
            Err(error) => return Err(error).doing(|| "send a request".into()),
        };
        self.poller.add(&socket, slot as u64, interest)?;
        if let Some(place) = self.slots.get_mut(slot) {
            *place = Some(Session { socket, step });
        }
        Ok(())
    }

    /// Takes a session one step on; true when it has ended.
    fn turn(&mut self, slot: usize) -> Result<bool> {
        let Some(place) = self.slots.get_mut(slot) else { return Ok(false) };
        let Some(session) = place.as_mut() else { return Ok(false) };
        let mut answer = [0; MESSAGE];
        match session.step {
            Step::Connecting => {
                send(&session.socket, &[b'q'; MESSAGE], SEND).doing(|| "send a request".into())?;
                session.step = Step::Asked { got: 0 };
                self.poller.modify(&session.socket, slot as u64, EventFlags::IN)?;
                return Ok(false);
            }
            Step::Asked { got } => {
                let count = match recv(&session.socket, &mut answer, RecvFlags::empty()) {
                    Ok((0, _)) => return Err(Error::Protocol("a session ended before its answer".into())),
                    Ok((count, _)) => count,
                    Err(Errno::AGAIN) => return Ok(false),
                    Err(error) => return Err(error).doing(|| "read an answer".into()),
                };
                if got + count < MESSAGE {
                    session.step = Step::Asked { got: got + count };
                    return Ok(false);
                }
                if self.ending == Ending::Fin {
                    shutdown(&session.socket, Shutdown::Write).doing(|| "shut a session down".into())?;
                    session.step = Step::Closing;
                    return Ok(false);
                }
            }
            Step::Closing => match recv(&session.socket, &mut answer, RecvFlags::empty()) {
                // A proxy may answer the end with a reset: the session is over all the same.
                Ok((0, _)) | Err(Errno::CONNRESET) => {}
                Ok(_) => return Err(Error::Protocol("more came than was asked for".into())),
                Err(Errno::AGAIN) => return Ok(false),
                Err(error) => return Err(error).doing(|| "await the end of a session".into()),
            },
        }
        *place = None;
        Ok(true)
    }
}
