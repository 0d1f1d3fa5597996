//! As many bytes as go through in a fixed time, one way.

use std::{
    fmt,
    os::fd::OwnedFd,
    str::FromStr,
    time::{Duration, Instant},
};

use rustix::{
    io::Errno,
    net::{RecvFlags, recv, send},
};

use super::{Load, Span};
use crate::{
    backend::Mode,
    error::{Doing, Error, Result},
    metric::{self, Reading},
    net::{Endpoint, Family, SEND, connecting},
    poller::{EventFlags, Poller},
    site::Site,
};

const CHUNK: usize = 256 * 1024;
/// Chunks for one stream before the others have their turn.
const TURNS: usize = 4;
const GIB: f64 = 1024.0 * 1024.0 * 1024.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From the client to the backend.
    Up,
    Down,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Up => "up",
            Self::Down => "down",
        })
    }
}

impl FromStr for Direction {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "up" => Ok(Self::Up),
            "down" => Ok(Self::Down),
            _ => Err(Error::Usage(format!("not a direction: {text}"))),
        }
    }
}

/// GiB/s and, with a proxy, its CPU seconds per GiB.
pub(crate) fn measure(direction: Direction, streams: usize, site: &Site<'_>) -> Result<Vec<Reading>> {
    let mode = match direction {
        Direction::Up => Mode::Sink,
        Direction::Down => Mode::Source,
    };
    let counted = super::run(Load::Bulk { direction, streams }, mode, site, false)?;
    let gib = counted.get("bytes")? / GIB;
    let (rate, cost) = metric::bulk(direction, streams);
    let mut readings = vec![Reading::new(rate, gib / counted.get("seconds")?)];
    readings.extend(counted.cpu.map(|cpu| Reading::new(cost, cpu / gib)));
    Ok(readings)
}

#[expect(clippy::cast_precision_loss, reason = "fewer than 2^52 bytes go through")]
pub(super) fn client(direction: Direction, streams: usize, front: &Endpoint, span: Span) -> Result<()> {
    let mut bulk = Bulk::open(direction, streams, front)?;
    bulk.pump(span.warm)?;
    if bulk.bytes == 0 {
        return Err(Error::Protocol("not a byte went through while warming up".into()));
    }
    bulk.bytes = 0;
    super::begin()?;
    let started = Instant::now();
    bulk.pump(span.window)?;
    let seconds = started.elapsed().as_secs_f64();
    super::end(&[("bytes", bulk.bytes as f64), ("seconds", seconds)])
}

struct Bulk {
    direction: Direction,
    discard: RecvFlags,
    streams: Vec<OwnedFd>,
    poller: Poller,
    chunk: Vec<u8>,
    bytes: u64,
}

impl Bulk {
    fn open(direction: Direction, streams: usize, front: &Endpoint) -> Result<Self> {
        let (family, to) = (front.family(), front.address()?);
        let poller = Poller::new()?;
        let interest = match direction {
            Direction::Up => EventFlags::OUT,
            Direction::Down => EventFlags::IN,
        };
        let mut sockets = Vec::with_capacity(streams);
        for index in 0..streams {
            let socket = connecting(family, &to, false)?;
            poller.add(&socket, index as u64, interest)?;
            sockets.push(socket);
        }
        let discard = if family == Family::Tcp { RecvFlags::TRUNC } else { RecvFlags::empty() };
        Ok(Self { direction, discard, streams: sockets, poller, chunk: vec![b'x'; CHUNK], bytes: 0 })
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
                let stream = usize::try_from(token).ok().and_then(|index| self.streams.get(index));
                let Some(stream) = stream else { continue };
                self.bytes += turn(stream, self.direction, &mut self.chunk, self.discard)?;
            }
        }
    }
}

fn turn(stream: &OwnedFd, direction: Direction, chunk: &mut [u8], discard: RecvFlags) -> Result<u64> {
    let mut bytes = 0;
    for _ in 0..TURNS {
        let moved = match direction {
            Direction::Up => send(stream, chunk, SEND),
            Direction::Down => recv(stream, &mut *chunk, discard).map(|(count, _)| count),
        };
        match moved {
            Ok(0) => return Err(Error::Protocol("a stream ended early".into())),
            Ok(count) => {
                bytes += count as u64;
                // Less than asked for means that there is no more now.
                if count < chunk.len() {
                    break;
                }
            }
            Err(Errno::AGAIN) => break,
            Err(error) => return Err(error).doing(|| "move bulk bytes".into()),
        }
    }
    Ok(bytes)
}
