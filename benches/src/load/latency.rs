//! How long one request takes when nothing else goes on.

use std::time::Instant;

use super::{Load, Span};
use crate::{
    backend::Mode,
    error::Result,
    metric::{self, Reading},
    net::{Endpoint, set_nodelay},
    site::Site,
};

/// Room for a second of the fastest exchanges; it grows beyond, at a small cost.
const EXPECTED: usize = 1 << 18;

/// Microseconds of the median and of the 99th percentile.
pub(crate) fn measure(site: &Site<'_>) -> Result<Vec<Reading>> {
    let counted = super::run(Load::Latency, Mode::Echo, site, false)?;
    Ok(vec![
        Reading::new(&metric::LATENCY_P50, counted.get("p50")?),
        Reading::new(&metric::LATENCY_P99, counted.get("p99")?),
    ])
}

pub(super) fn client(front: &Endpoint, span: Span) -> Result<()> {
    let socket = front.connect()?;
    set_nodelay(&socket, front.family())?;
    let mut nanoseconds: Vec<u32> = Vec::with_capacity(EXPECTED);
    let warm = Instant::now();
    while warm.elapsed() < span.warm {
        super::exchange(&socket)?;
    }
    super::begin()?;
    let started = Instant::now();
    let mut before = started;
    while before.duration_since(started) < span.window {
        super::exchange(&socket)?;
        let now = Instant::now();
        nanoseconds.push(u32::try_from(now.duration_since(before).as_nanos()).unwrap_or(u32::MAX));
        before = now;
    }
    nanoseconds.sort_unstable();
    super::end(&[("p50", percentile(&nanoseconds, 50)), ("p99", percentile(&nanoseconds, 99))])
}

/// In microseconds; the slice is sorted and not empty.
fn percentile(sorted: &[u32], percent: usize) -> f64 {
    let at = (sorted.len().saturating_sub(1)) * percent / 100;
    f64::from(sorted.get(at).copied().unwrap_or(u32::MAX)) / 1e3
}
