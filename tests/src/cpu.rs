//! How much processor time a process uses.

use std::time::{Duration, Instant};
use std::{fs, thread};

use crate::failure::Doing;
use crate::{Failure, Result};

/// What a process did with a stretch of wall-clock time.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    /// Processor time used (user and system), in percent of one core.
    pub used: f64,
    /// Time in which it used a core or stood in line for one, in percent of one core. On a busy machine
    /// this, not `used`, tells a process that spins from one that works a little.
    pub wanted: f64,
}

/// Watches process `pid` for `window` and says what share of a core it took.
///
/// # Errors
/// When the process has ended, or /proc does not tell.
pub fn share(pid: u32, window: Duration) -> Result<Share> {
    let before = Snapshot::take(pid)?;
    thread::sleep(window);
    let after = Snapshot::take(pid)?;
    let wall = after.at.duration_since(before.at).as_secs_f64();
    let used = after.used.saturating_sub(before.used).as_secs_f64();
    let delayed = after.delayed.saturating_sub(before.delayed).as_secs_f64();
    Ok(Share { used: 100.0 * used / wall, wanted: 100.0 * (used + delayed) / wall })
}

/// The processor time that process `pid` has used, user and system, all threads.
///
/// # Errors
/// When the process has ended.
pub fn used(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).doing(|| format!("read {path}"))?;
    // The program's name, in parentheses, may hold anything; utime and stime are the 12th and 13th field
    // after it.
    let ticks = text.rsplit_once(')').and_then(|(_, fields)| {
        let mut times = fields.split_ascii_whitespace().skip(11).map(str::parse::<u64>);
        Some(times.next()?.ok()? + times.next()?.ok()?)
    });
    let ticks = ticks.ok_or_else(|| Failure::Unexpected(format!("{path} reads {text:?}")))?;
    let micros = ticks * 1_000_000 / rustix::param::clock_ticks_per_second();
    Ok(Duration::from_micros(micros))
}

struct Snapshot {
    at: Instant,
    used: Duration,
    delayed: Duration,
}

impl Snapshot {
    fn take(pid: u32) -> Result<Self> {
        Ok(Self { at: Instant::now(), used: used(pid)?, delayed: delayed(pid)? })
    }
}

/// How long the threads of `pid` have been ready to run and without a core.
fn delayed(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/task");
    let mut total = Duration::ZERO;
    for task in fs::read_dir(&path).doing(|| format!("list {path}"))? {
        let file = task.doing(|| format!("list {path}"))?.path().join("schedstat");
        // A thread may end while we look.
        let Ok(text) = fs::read_to_string(&file) else { continue };
        let nanos = text.split_ascii_whitespace().nth(1).and_then(|field| field.parse().ok());
        total += Duration::from_nanos(nanos.unwrap_or(0));
    }
    Ok(total)
}
