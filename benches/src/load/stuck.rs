//! What the proxy's CPU does when nothing can be done: readers that never read, and no descriptor left.

use std::{thread::sleep, time::Duration};

use rustix::process::{Resource, Rlimit, prlimit};

use super::{Client, Load, Manner};
use crate::{
    backend::{Mode, QUIET},
    error::{Doing, Error, Result},
    metric::{self, Metric, Reading},
    net::Family,
    proc,
    site::{Site, Stage},
    subjects::Setting,
};

/// Readers that never read.
const READERS: usize = 100;
/// Clients where only [`SPARE`] descriptors are left.
const QUEUEING: usize = 200;
/// Whole sessions of 2, 6 or 8 descriptors use them up, so that the next accept finds none.
const SPARE: usize = 48;
/// By then the sockets between backend and reader are full.
const FULL: Duration = Duration::from_secs(30);
/// By then all that can be accepted is accepted.
const CALM: Duration = Duration::from_millis(300);

/// CPU while the backend waits to send more small segments to readers that never read.
pub(crate) fn measure_readers(window: Duration, site: &Site<'_>) -> Result<Vec<Reading>> {
    // The sizes that fill a pipe's slots long before its bytes.
    let segment = match site.transport.server_side() {
        Family::Tcp => 100,
        Family::Unix => 1,
    };
    let mut stage = site.stage_with(Mode::Drip(segment), Setting::SmallBuffers)?;
    let load = Load::Hold { manner: Manner::Stuck, sessions: READERS };
    let mut client = Client::start(load, &stage.proxy.front, site)?;
    client.until_begin()?;
    let word = stage.backend.line(FULL)?;
    if word != QUIET {
        return Err(Error::Protocol(format!("the backend said `{word}`, not `{QUIET}`")));
    }
    let reading = watch(&metric::STUCK, window, &mut stage)?;
    client.go()?;
    client.until_end()?;
    Ok(reading)
}

/// CPU while more clients are there than descriptors are left.
pub(crate) fn measure_limit(window: Duration, site: &Site<'_>) -> Result<Vec<Reading>> {
    let mut stage = site.stage_with(Mode::Echo, Setting::Mute)?;
    let load = Load::Hold { manner: Manner::Asking, sessions: QUEUEING };
    let mut client = Client::start(load, &stage.proxy.front, site)?;
    client.until_ready()?;
    let pid = stage.pid()?.ok_or_else(|| Error::Protocol("no proxy to limit".into()))?;
    // The first session's descriptors are closed by then.
    sleep(CALM);
    let most = Some(proc::limit_that_spares(pid, SPARE)?);
    prlimit(Some(pid), Resource::Nofile, Rlimit { current: most, maximum: most })
        .doing(|| "lower the descriptor limit".into())?;
    client.go()?;
    client.until_begin()?;
    let reading = watch(&metric::LIMIT, window, &mut stage)?;
    client.go()?;
    client.until_end()?;
    Ok(reading)
}

fn watch(metric: &'static Metric, window: Duration, stage: &mut Stage) -> Result<Vec<Reading>> {
    sleep(CALM);
    stage.check()?;
    let pid = stage.pid()?.ok_or_else(|| Error::Protocol("no proxy to watch".into()))?;
    let before = proc::cpu(pid)?;
    sleep(window);
    stage.check()?;
    let spent = proc::cpu(pid)?.saturating_sub(before);
    Ok(vec![Reading::new(metric, 100.0 * spent.as_secs_f64() / window.as_secs_f64())])
}
