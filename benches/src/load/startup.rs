//! The time from the exec of the proxy to the first byte of a client that connected before.

use std::{
    io::{BufRead as _, BufReader},
    os::fd::OwnedFd,
    time::Duration,
};

use rustix::net::{RecvFlags, accept, recv, send};

use crate::{
    error::{Error, ErrorContext, Result},
    metric::{self, Reading},
    net::{Endpoint, SEND_FLAGS},
    process::{monotonic, wait_readable},
    subjects::Variant,
    testbed::Setup,
};

/// The starts that are not counted, because they read the program from disk.
const WARMUP_STARTS: usize = 2;
const TIMEOUT: Duration = Duration::from_secs(10);

/// Measures the median of several starts.
pub(crate) fn measure(starts: usize, setup: &Setup<'_>) -> Result<Vec<Reading>> {
    let mut times = Vec::with_capacity(starts);
    for start in 0..starts + WARMUP_STARTS {
        let time = once(setup)?;
        if start >= WARMUP_STARTS {
            times.push(time);
        }
    }
    times.sort_unstable();
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    Ok(vec![Reading::new(&metric::STARTUP, median.as_secs_f64() * 1e3)])
}

fn once(setup: &Setup<'_>) -> Result<Duration> {
    let serial = setup.serial();
    let path = |ending: &str| setup.scratch.join(format!("{serial}.{ending}"));
    let (backend, target) = Endpoint::unbound(setup.transport.server_side(), path("back")).listen()?;
    let (listener, front) = Endpoint::unbound(setup.transport.client_side(), path("front")).listen()?;
    let client = front.connect()?;
    send(&client, b"!", SEND_FLAGS).context(|| "send the first byte".into())?;

    let params = setup.start_parameters(serial, &target, Variant::Default);
    let mut proxy = setup.subject.start_on(&params, front, Some(listener), true)?;
    let arrived = arrival(&backend);
    if let Some(running) = &mut proxy.running {
        running.check()?;
    }
    let arrived = arrived?;
    let stamps = proxy.stamps.take().ok_or_else(|| Error::Protocol("the launcher printed no time".into()))?;
    let mut line = String::new();
    BufReader::new(stamps).read_line(&mut line).context(|| "read the time of the exec".into())?;
    let nanoseconds = line
        .trim()
        .parse()
        .map_err(|_| Error::Protocol(format!("invalid time from the launcher: {line}")))?;
    Ok(arrived.saturating_sub(Duration::from_nanos(nanoseconds)))
}

/// Returns the time when the backend has the first byte.
fn arrival(backend: &OwnedFd) -> Result<Duration> {
    wait_readable(backend, TIMEOUT, || "a connection at the backend".into())?;
    let session = accept(backend).context(|| "accept at the backend".into())?;
    wait_readable(&session, TIMEOUT, || "a byte at the backend".into())?;
    let (count, _) =
        recv(&session, &mut [0; 8], RecvFlags::empty()).context(|| "read the first byte".into())?;
    let now = monotonic();
    if count == 0 {
        return Err(Error::Protocol("the first byte was lost".into()));
    }
    Ok(now)
}
