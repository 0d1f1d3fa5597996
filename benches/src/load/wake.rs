//! The delay between the start or thaw of a server and the first byte of the client that it was woken for.

use std::{
    os::fd::OwnedFd,
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::net::send;

use crate::{
    error::{ErrorContext, Result},
    metric::{self, Reading},
    net::{Endpoint, SEND_FLAGS},
    process::monotonic,
    spec::WakeCase,
    subjects::{Kind, SleepingServer, Variant, WakeParameters},
    testbed::Setup,
    wake_server::Answer,
};

/// The limit of each wait.
const TIMEOUT: Duration = Duration::from_secs(15);
/// The shortest start-up time of the server, and the range above it.
const START_DELAY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(100));

/// Measures the median and the 99th percentile, in milliseconds.
pub(crate) fn measure(wake: WakeCase, samples: usize, setup: &Setup<'_>) -> Result<Vec<Reading>> {
    // Each start with Podman takes half a second.
    let samples = if setup.subject.kind == Kind::Podman { samples.div_ceil(5) } else { samples };
    let mut times = match wake {
        WakeCase::Thaw => thaws(samples, setup)?,
        _ => (0..samples).map(|sample| start(wake, sample, setup)).collect::<Result<Vec<_>>>()?,
    };
    times.sort_unstable();
    let (median, tail) = metric::wake(wake);
    let reading = |metric, percent| Reading::new(metric, percentile(&times, percent).as_secs_f64() * 1e3);
    Ok(vec![reading(median, 50), reading(tail, 99)])
}

/// Measures one cold start by a new process of the program under test: from the server's `listen()` to the first byte of
/// the waiting client; end to end, from the client's `connect()`.
fn start(wake: WakeCase, sample: usize, setup: &Setup<'_>) -> Result<Duration> {
    let delay = if wake == WakeCase::EndToEnd { Duration::ZERO } else { delay(sample) };
    let mut server = start_sleeping_server(wake, delay, setup)?;
    let began = monotonic();
    let answered = connect_and_wake(&mut server).and_then(|client| Answer::read(&client, TIMEOUT));
    let answer = server.explain(answered)?;
    Ok(answer.read_time.saturating_sub(if wake == WakeCase::EndToEnd { began } else { answer.listen_time }))
}

/// Measures repeated thaws: from the client's `connect()` to its byte at the frozen server.
fn thaws(samples: usize, setup: &Setup<'_>) -> Result<Vec<Duration>> {
    let mut server = start_sleeping_server(WakeCase::Thaw, Duration::ZERO, setup)?;
    let answered = connect_and_wake(&mut server).and_then(|client| Answer::read(&client, TIMEOUT));
    server.explain(answered)?;
    let mut times = Vec::with_capacity(samples);
    for frozen in 1..=samples {
        let frozen = server.wait_until_frozen(frozen, TIMEOUT);
        server.explain(frozen)?;
        let began = monotonic();
        let answered = connect_and_send(&server.front).and_then(|client| Answer::read(&client, TIMEOUT));
        times.push(server.explain(answered)?.read_time.saturating_sub(began));
    }
    Ok(times)
}

fn start_sleeping_server(wake: WakeCase, delay: Duration, setup: &Setup<'_>) -> Result<SleepingServer> {
    let serial = setup.serial();
    let back = setup.scratch.join(format!("{serial}.back"));
    let target = Endpoint::unbound(setup.transport.server_side(), back).reserve()?;
    let parameters =
        WakeParameters { delay, notify: wake == WakeCase::Notify, freeze: wake == WakeCase::Thaw };
    setup.subject.start_asleep(&setup.start_parameters(serial, &target, Variant::Default), parameters)
}

/// Connects a client and wakes the server.
fn connect_and_wake(server: &mut SleepingServer) -> Result<OwnedFd> {
    if server.accepts_before_start() {
        let client = connect_and_send(&server.front)?;
        server.wake()?;
        return Ok(client);
    }
    server.wake()?;
    let until = Instant::now() + TIMEOUT;
    loop {
        match connect_and_send(&server.front) {
            Err(_) if Instant::now() < until => sleep(Duration::from_millis(1)),
            done => return done,
        }
    }
}

fn connect_and_send(front: &Endpoint) -> Result<OwnedFd> {
    let client = front.connect()?;
    send(&client, b"?", SEND_FLAGS).context(|| "send the first byte".into())?;
    Ok(client)
}

/// Returns a start-up time. The times are spread evenly over the range (multiples of the golden ratio, modulo 1), so that
/// they do not coincide with the period of a program that polls.
fn delay(sample: usize) -> Duration {
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
    let turn = GOLDEN.wrapping_mul(sample as u64 + 1) >> 32;
    let (shortest, range) = START_DELAY;
    shortest + range * u32::try_from(turn >> 16).unwrap_or_default() / (1 << 16)
}

/// Returns the smallest value that is not less than `percent` per cent of the sorted values.
fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let at = (sorted.len() * percent).div_ceil(100);
    sorted.get(at.saturating_sub(1)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_spread_over_the_range() {
        let (shortest, range) = START_DELAY;
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
