//! The CPU use of the proxy while no progress is possible: stuck readers, and no free descriptors.

use std::{thread::sleep, time::Duration};

use rustix::process::{Resource, Rlimit, prlimit};

use super::client::Client;
use crate::{
    backend::{Mode, QUIET},
    error::{Error, ErrorContext, Result},
    metric::{self, Metric, Reading},
    net::Family,
    proc,
    spec::{HoldMode, Load},
    subjects::Variant,
    testbed::{Setup, Testbed},
};

/// The number of clients that never read.
const READERS: usize = 100;
/// The number of clients while only [`FREE_FDS`] descriptors are free.
const QUEUED_CLIENTS: usize = 200;
/// The free descriptors. Sessions of 2, 6 or 8 descriptors use all of them, so that the next accept fails.
const FREE_FDS: usize = 48;
/// The time until the sockets between backend and reader are full. Small segments take long on a busy machine.
const FILL_TIMEOUT: Duration = Duration::from_secs(120);
/// The time until the proxy has accepted all possible connections.
const SETTLE_TIME: Duration = Duration::from_millis(300);

/// Measures the CPU use while the backend waits to send more small segments to stuck readers.
pub(crate) fn measure_readers(window: Duration, setup: &Setup<'_>) -> Result<Vec<Reading>> {
    // These sizes fill the slots of a pipe long before its capacity in bytes.
    let segment = match setup.transport.server_side() {
        Family::Tcp => 100,
        Family::Unix => 1,
    };
    let mut testbed = setup.testbed_with(Mode::Drip(segment), Variant::SmallBuffers)?;
    let load = Load::Hold { mode: HoldMode::Stuck, sessions: READERS };
    let mut client = Client::start(load, &testbed.proxy.front, setup)?;
    client.wait_until_begin()?;
    let word = testbed.backend.line(FILL_TIMEOUT)?;
    if word != QUIET {
        return Err(Error::Protocol(format!("the backend sent `{word}` instead of `{QUIET}`")));
    }
    let reading = measure_cpu(&metric::STUCK, window, &mut testbed)?;
    client.go()?;
    client.wait_until_end()?;
    Ok(reading)
}

/// Measures the CPU use while more clients wait than descriptors are free.
pub(crate) fn measure_limit(window: Duration, setup: &Setup<'_>) -> Result<Vec<Reading>> {
    let mut testbed = setup.testbed_with(Mode::Echo, Variant::DiscardLog)?;
    let load = Load::Hold { mode: HoldMode::Queued, sessions: QUEUED_CLIENTS };
    let mut client = Client::start(load, &testbed.proxy.front, setup)?;
    client.wait_until_ready()?;
    let pid = testbed.pid()?.ok_or_else(|| Error::Protocol("there is no proxy process to limit".into()))?;
    // Wait until the descriptors of the first session are closed.
    sleep(SETTLE_TIME);
    let limit = Some(proc::fd_limit_with_spare(pid, FREE_FDS)?);
    prlimit(Some(pid), Resource::Nofile, Rlimit { current: limit, maximum: limit })
        .context(|| "lower the descriptor limit".into())?;
    client.go()?;
    client.wait_until_begin()?;
    let reading = measure_cpu(&metric::LIMIT, window, &mut testbed)?;
    client.go()?;
    client.wait_until_end()?;
    Ok(reading)
}

fn measure_cpu(metric: &'static Metric, window: Duration, testbed: &mut Testbed) -> Result<Vec<Reading>> {
    sleep(SETTLE_TIME);
    testbed.check()?;
    let pid = testbed.pid()?.ok_or_else(|| Error::Protocol("there is no proxy process to measure".into()))?;
    let before = proc::cpu(pid)?;
    sleep(window);
    testbed.check()?;
    let spent = proc::cpu(pid)?.saturating_sub(before);
    Ok(vec![Reading::new(metric, 100.0 * spent.as_secs_f64() / window.as_secs_f64())])
}
