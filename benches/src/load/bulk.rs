//! Bulk transfers: the throughput in one direction.

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
    protocol::{begin, end},
};
use crate::{
    backend::Mode,
    error::{Error, ErrorContext, Result},
    metric::{self, Reading},
    net::{Endpoint, Family, SEND_FLAGS, start_connect},
    poller::{EventFlags, Poller},
    spec::{Direction, Load, Timing},
    testbed::Setup,
};

const CHUNK: usize = 256 * 1024;
/// The most chunks of one stream before the next stream is served.
const CHUNKS_PER_TURN: usize = 4;
const NO_DATA: &str = "no data was transferred";
const GIB: f64 = 1024.0 * 1024.0 * 1024.0;

/// Measures GiB/s and, with a proxy, its CPU seconds per GiB.
pub(crate) fn measure(direction: Direction, streams: usize, setup: &Setup<'_>) -> Result<Vec<Reading>> {
    let mode = match direction {
        Direction::Up => Mode::Sink,
        Direction::Down => Mode::Source,
    };
    let result = client::run(Load::Bulk { direction, streams }, mode, setup, false)?;
    let gib = result.get("bytes")? / GIB;
    let (rate, cost) = metric::bulk(direction, streams);
    let mut readings = vec![Reading::new(rate, gib / result.get("seconds")?)];
    readings.extend(result.cpu.map(|cpu| Reading::new(cost, cpu / gib)));
    Ok(readings)
}

#[expect(clippy::cast_precision_loss, reason = "fewer than 2^52 bytes go through")]
pub(super) fn client(direction: Direction, streams: usize, front: &Endpoint, timing: Timing) -> Result<()> {
    let mut bulk = Bulk::open(direction, streams, front)?;
    bulk.run_for(timing.warmup)?;
    bulk.bytes = 0;
    begin()?;
    let started = Instant::now();
    bulk.run_for(timing.window)?;
    let seconds = started.elapsed().as_secs_f64();
    end(&[("bytes", bulk.bytes as f64), ("seconds", seconds)])
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
            let socket = start_connect(family, &to, false)?;
            poller.add(&socket, index as u64, interest)?;
            sockets.push(socket);
        }
        let discard = if family == Family::Tcp { RecvFlags::TRUNC } else { RecvFlags::empty() };
        Ok(Self { direction, discard, streams: sockets, poller, chunk: vec![b'x'; CHUNK], bytes: 0 })
    }

    /// Transfers data for this time, and for longer if none has come through: a busy machine is no error.
    fn run_for(&mut self, duration: Duration) -> Result<()> {
        let (until, limit) = (Instant::now() + duration, Instant::now() + duration + PROGRESS_TIMEOUT);
        let mut ready = Vec::new();
        loop {
            let until = if self.bytes == 0 { limit } else { until };
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return if self.bytes > 0 { Ok(()) } else { Err(Error::Protocol(NO_DATA.into())) };
            }
            self.poller.wait(&mut ready, Some(left))?;
            for &token in &ready {
                let stream = usize::try_from(token).ok().and_then(|index| self.streams.get(index));
                let Some(stream) = stream else { continue };
                self.bytes += advance(stream, self.direction, &mut self.chunk, self.discard)?;
            }
        }
    }
}

fn advance(stream: &OwnedFd, direction: Direction, chunk: &mut [u8], discard: RecvFlags) -> Result<u64> {
    let mut bytes = 0;
    for _ in 0..CHUNKS_PER_TURN {
        let moved = match direction {
            Direction::Up => send(stream, chunk, SEND_FLAGS),
            Direction::Down => recv(stream, &mut *chunk, discard).map(|(count, _)| count),
        };
        match moved {
            Ok(0) => return Err(Error::Protocol("a stream ended early".into())),
            Ok(count) => {
                bytes += count as u64;
                // A short count means that the socket is drained or full.
                if count < chunk.len() {
                    break;
                }
            }
            Err(Errno::AGAIN) => break,
            Err(error) => return Err(error).context(|| "transfer data".into()),
        }
    }
    Ok(bytes)
}
