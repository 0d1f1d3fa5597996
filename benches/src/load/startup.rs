//! From the exec of the proxy to the first byte of a client that was there before it.

use std::{
    io::{BufRead as _, BufReader},
    time::Duration,
};

use rustix::net::{RecvFlags, accept, recv, send};

use crate::{
    error::{Doing, Error, Result},
    metric::{self, Reading},
    net::{Endpoint, SEND},
    process::{monotonic, readable},
    site::Site,
    subjects::Setting,
};

/// Not counted: they bring the program into memory.
const WARM: usize = 2;
const AT_MOST: Duration = Duration::from_secs(10);

/// The median of so many starts.
pub(crate) fn measure(starts: usize, site: &Site<'_>) -> Result<Vec<Reading>> {
    let mut times = Vec::with_capacity(starts);
    for start in 0..starts + WARM {
        let time = once(site)?;
        if start >= WARM {
            times.push(time);
        }
    }
    times.sort_unstable();
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    Ok(vec![Reading::new(&metric::STARTUP, median.as_secs_f64() * 1e3)])
}

fn once(site: &Site<'_>) -> Result<Duration> {
    let serial = site.serial();
    let path = |ending: &str| site.scratch.join(format!("{serial}.{ending}"));
    let (backend, target) = Endpoint::unbound(site.transport.server_side(), path("back")).listen()?;
    let (listener, front) = Endpoint::unbound(site.transport.client_side(), path("front")).listen()?;
    let client = front.connect()?;
    send(&client, b"!", SEND).doing(|| "send the first byte".into())?;

    let place = site.place(serial, &target, Setting::Usual);
    let mut proxy = site.subject.start_on(&place, front, Some(listener), true)?;
    let arrived = arrival(&backend);
    if let Some(running) = &mut proxy.running {
        running.check()?;
    }
    let arrived = arrived?;
    let stamps = proxy.stamps.take().ok_or_else(|| Error::Protocol("a launch without a stamp".into()))?;
    let mut line = String::new();
    BufReader::new(stamps).read_line(&mut line).doing(|| "read the moment of the exec".into())?;
    let nanoseconds = line.trim().parse().map_err(|_| Error::Protocol(format!("not a moment: {line}")))?;
    Ok(arrived.saturating_sub(Duration::from_nanos(nanoseconds)))
}

/// When the first byte is in the backend's hands.
fn arrival(backend: &std::os::fd::OwnedFd) -> Result<Duration> {
    readable(backend, AT_MOST, || "connection at the backend".into())?;
    let session = accept(backend).doing(|| "accept at the backend".into())?;
    readable(&session, AT_MOST, || "byte at the backend".into())?;
    let (count, _) =
        recv(&session, &mut [0; 8], RecvFlags::empty()).doing(|| "read the first byte".into())?;
    let now = monotonic();
    if count == 0 {
        return Err(Error::Protocol("the first byte was lost".into()));
    }
    Ok(now)
}
