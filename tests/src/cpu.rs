//! Measures whether an idle process sleeps or spins.

use std::time::Duration;
use std::{fs, thread};

use crate::failure::Doing;
use crate::wait::{Deadline, LIMIT};
use crate::{Failure, Result};

/// What an idle process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idling {
    /// It sleeps.
    Sleeps,
    /// It runs, or would run if it got a core.
    Spins,
}

/// The time between two samples of the process.
const INTERVAL: Duration = Duration::from_millis(20);

/// A process sleeps if it is asleep in this many consecutive samples.
const SAMPLES: u32 = 50;

/// The most processor time that a sleeping process uses between two samples.
const ASLEEP_MOST: Duration = Duration::from_millis(1);

/// A process that uses this much processor time without a long sleep spins.
const SPIN_LEAST: Duration = Duration::from_secs(1);

/// Samples process `pid` until the samples show that it sleeps or that it spins. Load from other processes makes
/// this slower but does not change the result: a process that waits for a core is not asleep, and a sleeping
/// process uses no processor time.
///
/// # Errors
/// When the process has ended, or the samples do not show either in time.
pub fn idling(pid: u32) -> Result<Idling> {
    let deadline = Deadline::after(LIMIT * 2);
    let begin = used(pid)?;
    let (mut last, mut asleep_samples) = (begin, 0);
    loop {
        thread::sleep(INTERVAL);
        let (asleep, now) = (is_asleep(pid)?, used(pid)?);
        asleep_samples =
            if asleep && now.saturating_sub(last) < ASLEEP_MOST { asleep_samples + 1 } else { 0 };
        last = now;
        if asleep_samples >= SAMPLES {
            return Ok(Idling::Sleeps);
        }
        if now.saturating_sub(begin) >= SPIN_LEAST {
            return Ok(Idling::Spins);
        }
        deadline.left(|| format!("process {pid} to sleep or to spin"))?;
    }
}

/// Waits until process `pid` sleeps or has used some processor time. In either case it had the opportunity to react
/// to the preceding event.
///
/// # Errors
/// When the process has ended, or neither happens in time.
pub fn reacted(pid: u32) -> Result<()> {
    let (deadline, begin) = (Deadline::after(LIMIT), used(pid)?);
    loop {
        thread::sleep(INTERVAL);
        if is_asleep(pid)? || used(pid)?.saturating_sub(begin) >= INTERVAL {
            return Ok(());
        }
        deadline.left(|| format!("process {pid} to get a core"))?;
    }
}

/// Returns the processor time that the threads of `pid` have used.
fn used(pid: u32) -> Result<Duration> {
    let mut total = Duration::ZERO;
    for text in of_threads(pid, "schedstat")? {
        let nanos = text.split_ascii_whitespace().next().and_then(|field| field.parse().ok());
        total += Duration::from_nanos(nanos.unwrap_or(0));
    }
    Ok(total)
}

/// Whether all threads of `pid` sleep.
fn is_asleep(pid: u32) -> Result<bool> {
    // The program's name, in parentheses, may contain anything; the state follows it.
    let sleeps = |text: &String| text.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('S'));
    let states = of_threads(pid, "stat")?;
    if states.is_empty() {
        return Err(Failure::Unexpected(format!("process {pid} has no threads")));
    }
    Ok(states.iter().all(sleeps))
}

/// Returns the content of `/proc/PID/task/TID/FILE` for each thread of `pid`.
fn of_threads(pid: u32, file: &str) -> Result<Vec<String>> {
    let path = format!("/proc/{pid}/task");
    let tasks = fs::read_dir(&path).doing(|| format!("list {path}"))?;
    // A thread may end meanwhile.
    Ok(tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join(file)).ok()).collect())
}
