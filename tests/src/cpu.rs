//! Whether a process that has nothing to do rests or spins.

use std::time::Duration;
use std::{fs, thread};

use crate::failure::Doing;
use crate::wait::{Deadline, LIMIT};
use crate::{Failure, Result};

/// What a process does that has nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idling {
    /// It sleeps.
    Rests,
    /// It runs, or would run if it got a core.
    Spins,
}

/// How far apart the process is looked at.
const INTERVAL: Duration = Duration::from_millis(20);

/// A process rests if it sleeps each time in this many looks, one after the other.
const LOOKS: u32 = 50;

/// A process that sleeps uses no more between two looks.
const NEXT_TO_NOTHING: Duration = Duration::from_millis(1);

/// A process that has used this without a rest spins.
const MUCH: Duration = Duration::from_secs(1);

/// Watches process `pid` until it is certain whether it rests or spins. Other processes make this slower, but they do
/// not change the result: a process that waits for a core does not sleep, and one that sleeps uses no processor time.
///
/// # Errors
/// When the process has ended, or neither is certain in time.
pub fn idling(pid: u32) -> Result<Idling> {
    let deadline = Deadline::after(LIMIT * 2);
    let begin = used(pid)?;
    let (mut last, mut rested) = (begin, 0);
    loop {
        thread::sleep(INTERVAL);
        let (asleep, now) = (is_asleep(pid)?, used(pid)?);
        rested = if asleep && now.saturating_sub(last) < NEXT_TO_NOTHING { rested + 1 } else { 0 };
        last = now;
        if rested >= LOOKS {
            return Ok(Idling::Rests);
        }
        if now.saturating_sub(begin) >= MUCH {
            return Ok(Idling::Spins);
        }
        deadline.left(|| format!("process {pid} to rest or to spin"))?;
    }
}

/// Waits until process `pid` sleeps, or has used some processor time: in either case it has had the opportunity to
/// react to what was done before.
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

/// The processor time that the threads of `pid` have used.
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

/// The content of this file of each thread of `pid`.
fn of_threads(pid: u32, file: &str) -> Result<Vec<String>> {
    let path = format!("/proc/{pid}/task");
    let tasks = fs::read_dir(&path).doing(|| format!("list {path}"))?;
    // A thread may end meanwhile.
    Ok(tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join(file)).ok()).collect())
}
