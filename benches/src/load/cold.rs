//! What is between a server that has just come up, or is being thawed, and the client that it was woken for.

use std::{
    os::fd::OwnedFd,
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::net::send;

use crate::{
    error::{Doing, Result},
    metric::{self, Reading},
    net::{Endpoint, Family, SEND},
    process::monotonic,
    site::{Site, Transport},
    subjects::{Asleep, Kind, Setting, Subject, Woken},
    woken::Answer,
};

/// The most that anything here may take.
const AT_MOST: Duration = Duration::from_secs(15);
/// The shortest start of the server, and what the longest takes more.
const START: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(100));

/// What wakes, and how it is known that the server is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// A cold start; a TCP port says nothing, and is tried again and again.
    Tcp,
    /// A cold start; a UNIX socket's file can be seen to appear.
    Unix,
    /// A cold start of a server that says when it is ready.
    Notify,
    /// All of a cold start, of a server that listens at once.
    Whole,
    /// The server was frozen.
    Thaw,
}

impl Way {
    /// Whether there is this way with such a server.
    pub(crate) fn possible(self, transport: Transport) -> bool {
        match self {
            Self::Tcp => transport.server_side() == Family::Tcp,
            Self::Unix => transport.server_side() == Family::Unix,
            Self::Notify | Self::Whole | Self::Thaw => true,
        }
    }

    /// Whether the subject can wake in this way.
    pub(crate) fn suits(self, subject: &Subject, transport: Transport) -> bool {
        match subject.kind {
            Kind::Dormouse => true,
            Kind::Original => matches!(self, Self::Tcp | Self::Unix | Self::Whole),
            // It opens the port by itself, and nobody waits there before.
            Kind::Podman => self == Self::Whole && transport == Transport::Tcp,
            _ => false,
        }
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Tcp => "a TCP port that is polled",
            Self::Unix => "a UNIX socket",
            Self::Notify => "READY=1",
            Self::Whole => "the whole",
            Self::Thaw => "a thaw",
        }
    }
}

/// The median and the 99th percentile of so many times.
pub(crate) fn measure(way: Way, samples: usize, site: &Site<'_>) -> Result<Vec<Reading>> {
    // Each of Podman's takes half a second.
    let samples = if site.subject.kind == Kind::Podman { samples.div_ceil(5) } else { samples };
    let mut times = match way {
        Way::Thaw => thaws(samples, site)?,
        _ => (0..samples).map(|sample| start(way, sample, site)).collect::<Result<Vec<_>>>()?,
    };
    times.sort_unstable();
    let (median, tail) = metric::cold(way);
    let reading = |metric, percent| Reading::new(metric, percentile(&times, percent).as_secs_f64() * 1e3);
    Ok(vec![reading(median, 50), reading(tail, 99)])
}

/// One cold start, by a program that has just been started, too. From the server's `listen()` to the byte of the client
/// who waited for it; of the whole from the client's `connect()`.
fn start(way: Way, sample: usize, site: &Site<'_>) -> Result<Duration> {
    let delay = if way == Way::Whole { Duration::ZERO } else { delay(sample) };
    let mut asleep = put_to_sleep(way, delay, site)?;
    let began = monotonic();
    let answered = wake(&mut asleep).and_then(|client| Answer::read(&client, AT_MOST));
    let answer = asleep.explain(answered)?;
    Ok(answer.heard.saturating_sub(if way == Way::Whole { began } else { answer.listened }))
}

/// From a client's `connect()` to its byte at the server that was frozen until then, again and again.
fn thaws(samples: usize, site: &Site<'_>) -> Result<Vec<Duration>> {
    let mut asleep = put_to_sleep(Way::Thaw, Duration::ZERO, site)?;
    let answered = wake(&mut asleep).and_then(|client| Answer::read(&client, AT_MOST));
    asleep.explain(answered)?;
    let mut times = Vec::with_capacity(samples);
    for frozen in 1..=samples {
        let frozen = asleep.await_frozen(frozen, AT_MOST);
        asleep.explain(frozen)?;
        let began = monotonic();
        let answered = ask(&asleep.front).and_then(|client| Answer::read(&client, AT_MOST));
        times.push(asleep.explain(answered)?.heard.saturating_sub(began));
    }
    Ok(times)
}

fn put_to_sleep(way: Way, delay: Duration, site: &Site<'_>) -> Result<Asleep> {
    let serial = site.serial();
    let back = site.scratch.join(format!("{serial}.back"));
    let target = Endpoint::unbound(site.transport.server_side(), back).reserve()?;
    let woken = Woken { delay, notify: way == Way::Notify, freeze: way == Way::Thaw };
    site.subject.put_to_sleep(&site.place(serial, &target, Setting::Usual), woken)
}

/// A client comes, and waits.
fn wake(asleep: &mut Asleep) -> Result<OwnedFd> {
    if asleep.holds() {
        let client = ask(&asleep.front)?;
        asleep.wake()?;
        return Ok(client);
    }
    asleep.wake()?;
    let until = Instant::now() + AT_MOST;
    loop {
        match ask(&asleep.front) {
            Err(_) if Instant::now() < until => sleep(Duration::from_millis(1)),
            done => return done,
        }
    }
}

fn ask(front: &Endpoint) -> Result<OwnedFd> {
    let client = front.connect()?;
    send(&client, b"?", SEND).doing(|| "send the first byte".into())?;
    Ok(client)
}

/// Spread evenly over the whole range however few samples there are (multiples of the golden ratio, modulo 1), so that
/// no rhythm of a program that polls is met more often than others.
fn delay(sample: usize) -> Duration {
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
    let turn = GOLDEN.wrapping_mul(sample as u64 + 1) >> 32;
    let (shortest, range) = START;
    shortest + range * u32::try_from(turn >> 16).unwrap_or_default() / (1 << 16)
}

/// The least of the sorted values that so many per cent do not exceed.
fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let at = (sorted.len() * percent).div_ceil(100);
    sorted.get(at.saturating_sub(1)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_spread_over_the_range() {
        let (shortest, range) = START;
        let mut delays: Vec<Duration> = (0..50).map(delay).collect();
        delays.sort_unstable();
        assert!(delays.iter().all(|delay| (shortest..shortest + range).contains(delay)));
        assert!(delays.windows(2).all(|pair| pair[1].saturating_sub(pair[0]) < range / 20), "{delays:?}");
    }

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let times: Vec<Duration> = (1..=100).map(Duration::from_millis).collect();
        assert_eq!(percentile(&times, 50).as_millis(), 50);
        assert_eq!(percentile(&times, 99).as_millis(), 99);
        assert_eq!(percentile(&times[..3], 99).as_millis(), 3);
        assert_eq!(percentile(&[], 50), Duration::ZERO);
    }
}
