//! The latency of one request without other load.

use std::time::Instant;

use super::{
    client,
    protocol::{begin, end, exchange},
};
use crate::{
    backend::Mode,
    error::Result,
    metric::{self, Reading},
    net::{Endpoint, set_nodelay},
    spec::{Load, Timing},
    testbed::Setup,
};

/// The initial capacity: enough for one second of the fastest exchanges.
const INITIAL_CAPACITY: usize = 1 << 18;

/// Measures the median and the 99th percentile, in microseconds.
pub(crate) fn measure(setup: &Setup<'_>) -> Result<Vec<Reading>> {
    let result = client::run(Load::Latency, Mode::Echo, setup, false)?;
    Ok(vec![
        Reading::new(&metric::LATENCY_P50, result.get("p50")?),
        Reading::new(&metric::LATENCY_P99, result.get("p99")?),
    ])
}

pub(super) fn client(front: &Endpoint, timing: Timing) -> Result<()> {
    let socket = front.connect()?;
    set_nodelay(&socket, front.family())?;
    let mut nanoseconds: Vec<u32> = Vec::with_capacity(INITIAL_CAPACITY);
    let warmup = Instant::now();
    while warmup.elapsed() < timing.warmup {
        exchange(&socket)?;
    }
    begin()?;
    let started = Instant::now();
    let mut before = started;
    while before.duration_since(started) < timing.window {
        exchange(&socket)?;
        let now = Instant::now();
        nanoseconds.push(u32::try_from(now.duration_since(before).as_nanos()).unwrap_or(u32::MAX));
        before = now;
    }
    nanoseconds.sort_unstable();
    end(&[("p50", percentile(&nanoseconds, 50)), ("p99", percentile(&nanoseconds, 99))])
}

/// Returns a percentile in microseconds. The slice is sorted and not empty.
fn percentile(sorted: &[u32], percent: usize) -> f64 {
    let at = (sorted.len().saturating_sub(1)) * percent / 100;
    f64::from(sorted.get(at).copied().unwrap_or(u32::MAX)) / 1e3
}
