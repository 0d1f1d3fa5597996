//! What a running program costs, read from outside of it.

use std::{
    collections::BTreeSet,
    fs,
    os::fd::AsFd as _,
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::Pid;

use crate::error::{Doing, Error, Result};

/// Memory that the kernel holds, of the whole machine: only differences mean something.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kernel {
    /// Bytes of slab caches: sockets, descriptors, timers, queued packets' heads.
    pub(crate) slab: f64,
    /// Bytes that sockets hold for queued data.
    pub(crate) sockets: f64,
}

/// Open descriptors of a program and its children.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Descriptors {
    pub(crate) all: usize,
    /// Pipes, not pipe ends.
    pub(crate) pipes: usize,
    /// Bytes lying in those pipes.
    pub(crate) in_pipes: u64,
}

/// CPU time of the program, its threads and its children, ended ones included.
/// Its resolution is the clock tick's, 10 ms on most kernels.
pub(crate) fn cpu(root: Pid) -> Result<Duration> {
    let mut ticks = 0;
    for pid in tree(root) {
        let path = format!("/proc/{pid}/stat");
        let Ok(stat) = fs::read_to_string(&path) else { continue };
        // The name, the second field, may hold spaces and brackets: count from its end.
        let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
        ticks += fields.skip(11).take(4).filter_map(|field| field.parse::<u64>().ok()).sum::<u64>();
    }
    if ticks == 0 && !Path::new(&format!("/proc/{root}")).exists() {
        return Err(Error::Protocol(format!("process {root} is gone")));
    }
    Ok(Duration::from_secs(ticks) / u32::try_from(rustix::param::clock_ticks_per_second()).unwrap_or(100))
}

/// Waits until the program's CPU time stands still, because it then has done what was asked of it.
pub(crate) fn settled(root: Pid, at_most: Duration) -> Result<Duration> {
    const STILL: Duration = Duration::from_millis(60);
    let until = Instant::now() + at_most;
    let mut before = cpu(root)?;
    loop {
        sleep(STILL);
        let now = cpu(root)?;
        if now == before || Instant::now() >= until {
            return Ok(now);
        }
        before = now;
    }
}

/// Resident bytes of the program and its children. From `smaps_rollup`, which counts pages;
/// the kernel's own counters behind `VmRSS` are off by up to some hundred KiB.
pub(crate) fn resident(root: Pid) -> Result<u64> {
    tree(root)
        .into_iter()
        .map(|pid| {
            let path = format!("/proc/{pid}/smaps_rollup");
            let text = fs::read_to_string(&path).doing(|| format!("read {path}"))?;
            kibibytes(&text, "Rss:").ok_or_else(|| Error::Protocol(format!("no Rss in {path}")))
        })
        .sum()
}

/// Counts the descriptors of the program and its children.
pub(crate) fn descriptors(root: Pid) -> Result<Descriptors> {
    let mut found = Descriptors::default();
    let mut pipes = BTreeSet::new();
    for pid in tree(root) {
        let directory = format!("/proc/{pid}/fd");
        for entry in fs::read_dir(&directory).doing(|| format!("read {directory}"))?.flatten() {
            found.all += 1;
            let Ok(target) = fs::read_link(entry.path()) else { continue };
            if target.to_string_lossy().starts_with("pipe:") && pipes.insert(target) {
                found.in_pipes += fs::File::open(entry.path())
                    .ok()
                    .and_then(|pipe| rustix::io::ioctl_fionread(pipe.as_fd()).ok())
                    .unwrap_or(0);
            }
        }
    }
    found.pipes = pipes.len();
    Ok(found)
}

/// The descriptor limit under which the process can open exactly so many more.
/// A count would not do: descriptors above the limit, inherited ones, do not use up what is below.
pub(crate) fn limit_that_spares(pid: Pid, spare: usize) -> Result<u64> {
    let directory = format!("/proc/{pid}/fd");
    let entries = fs::read_dir(&directory).doing(|| format!("read {directory}"))?;
    let open: BTreeSet<u64> =
        entries.flatten().filter_map(|entry| entry.file_name().to_string_lossy().parse().ok()).collect();
    let last = (0..).filter(|number| !open.contains(number)).nth(spare.saturating_sub(1)).unwrap_or(0);
    Ok(last + 1)
}

/// What the kernel holds now.
#[expect(clippy::cast_precision_loss, reason = "memory sizes are far below 2^52")]
pub(crate) fn kernel() -> Result<Kernel> {
    let meminfo = fs::read_to_string("/proc/meminfo").doing(|| "read /proc/meminfo".into())?;
    let sockstat = fs::read_to_string("/proc/net/sockstat").doing(|| "read /proc/net/sockstat".into())?;
    let pages: u64 = sockstat
        .lines()
        .filter_map(|line| line.split_once(" mem "))
        .filter_map(|(_, rest)| rest.split_whitespace().next()?.parse::<u64>().ok())
        .sum();
    Ok(Kernel {
        slab: kibibytes(&meminfo, "Slab:").unwrap_or(0) as f64,
        sockets: (pages * rustix::param::page_size() as u64) as f64,
    })
}

/// Waits until so many sessions more can be left in `TIME_WAIT`. Beyond its limit the kernel drops them at
/// once, which would make the later subjects faster than the earlier ones.
pub(crate) fn await_time_wait_room(sessions: usize) -> Result<()> {
    /// A session waits for a minute.
    const AT_MOST: Duration = Duration::from_secs(75);
    let path = "/proc/sys/net/ipv4/tcp_max_tw_buckets";
    let limit = fs::read_to_string(path).doing(|| format!("read {path}"))?;
    let limit: usize = limit.trim().parse().unwrap_or(0);
    let until = Instant::now() + AT_MOST;
    while Instant::now() < until {
        let sockstat = fs::read_to_string("/proc/net/sockstat").doing(|| "read /proc/net/sockstat".into())?;
        let waiting =
            sockstat.split_once(" tw ").and_then(|(_, rest)| rest.split_whitespace().next()?.parse().ok());
        if waiting.unwrap_or(0) + sessions < limit / 10 * 9 {
            return Ok(());
        }
        sleep(Duration::from_millis(200));
    }
    Err(Error::Late { awaited: format!("room for {sessions} sessions in TIME_WAIT"), after: AT_MOST })
}

/// The value of a `Key:  N kB` line, in bytes.
fn kibibytes(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// The process and its living descendants.
fn tree(root: Pid) -> Vec<i32> {
    let mut all = vec![root.as_raw_nonzero().get()];
    let mut next = 0;
    while let Some(&pid) = all.get(next) {
        next += 1;
        let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { continue };
        for thread in threads.flatten() {
            let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            all.extend(children.split_whitespace().filter_map(|child| child.parse::<i32>().ok()));
        }
    }
    all
}
