//! The resources that a running program uses, read from /proc.

use std::{
    collections::BTreeSet,
    fs,
    os::fd::AsFd as _,
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::Pid;

use crate::error::{Error, ErrorContext, Result};

/// Kernel memory of the whole machine. Only differences are meaningful.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KernelMemory {
    /// Bytes in slab caches: sockets, descriptors, timers, headers of queued packets.
    pub(crate) slab: f64,
    /// Bytes in sockets for queued data.
    pub(crate) sockets: f64,
}

/// The open descriptors of a program and its children.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Descriptors {
    pub(crate) all: usize,
    /// The number of pipes, not of pipe ends.
    pub(crate) pipes: usize,
    /// Bytes in the pipes.
    pub(crate) in_pipes: u64,
}

/// Returns the CPU time of the program, its threads and its children, including ended ones.
/// The resolution is one clock tick, 10 ms on most kernels.
pub(crate) fn cpu(root: Pid) -> Result<Duration> {
    let mut ticks = 0;
    for pid in descendants(root) {
        let path = format!("/proc/{pid}/stat");
        let Ok(stat) = fs::read_to_string(&path) else { continue };
        // The second field, the name, may contain spaces and brackets, so count from its end.
        let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
        ticks += fields.skip(11).take(4).filter_map(|field| field.parse::<u64>().ok()).sum::<u64>();
    }
    if ticks == 0 && !Path::new(&format!("/proc/{root}")).exists() {
        return Err(Error::Protocol(format!("process {root} has ended")));
    }
    Ok(Duration::from_secs(ticks) / u32::try_from(rustix::param::clock_ticks_per_second()).unwrap_or(100))
}

/// Waits until the CPU time of the program stays constant, and returns it.
pub(crate) fn wait_until_idle(root: Pid, timeout: Duration) -> Result<Duration> {
    const STILL: Duration = Duration::from_millis(60);
    let until = Instant::now() + timeout;
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

/// Returns the resident bytes of the program and its children, from `smaps_rollup`. `VmRSS` is inaccurate by up to some
/// hundred KiB.
pub(crate) fn resident(root: Pid) -> Result<u64> {
    descendants(root)
        .into_iter()
        .map(|pid| {
            let path = format!("/proc/{pid}/smaps_rollup");
            let text = fs::read_to_string(&path).context(|| format!("read {path}"))?;
            kibibytes(&text, "Rss:").ok_or_else(|| Error::Protocol(format!("no Rss in {path}")))
        })
        .sum()
}

/// Counts the descriptors of the program and its children.
pub(crate) fn descriptors(root: Pid) -> Result<Descriptors> {
    let mut found = Descriptors::default();
    let mut pipes = BTreeSet::new();
    for pid in descendants(root) {
        let directory = format!("/proc/{pid}/fd");
        for entry in fs::read_dir(&directory).context(|| format!("read {directory}"))?.flatten() {
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

/// Returns the descriptor limit at which the process can open exactly `spare` more descriptors. It depends on the numbers
/// in use, because inherited descriptors above the limit do not count.
pub(crate) fn fd_limit_with_spare(pid: Pid, spare: usize) -> Result<u64> {
    let directory = format!("/proc/{pid}/fd");
    let entries = fs::read_dir(&directory).context(|| format!("read {directory}"))?;
    let open: BTreeSet<u64> =
        entries.flatten().filter_map(|entry| entry.file_name().to_string_lossy().parse().ok()).collect();
    let last = (0..).filter(|number| !open.contains(number)).nth(spare.saturating_sub(1)).unwrap_or(0);
    Ok(last + 1)
}

/// Returns the current kernel memory.
#[expect(clippy::cast_precision_loss, reason = "memory sizes are far below 2^52")]
pub(crate) fn kernel_memory() -> Result<KernelMemory> {
    let meminfo = fs::read_to_string("/proc/meminfo").context(|| "read /proc/meminfo".into())?;
    let sockstat = fs::read_to_string("/proc/net/sockstat").context(|| "read /proc/net/sockstat".into())?;
    let pages: u64 = sockstat
        .lines()
        .filter_map(|line| line.split_once(" mem "))
        .filter_map(|(_, rest)| rest.split_whitespace().next()?.parse::<u64>().ok())
        .sum();
    Ok(KernelMemory {
        slab: kibibytes(&meminfo, "Slab:").unwrap_or(0) as f64,
        sockets: (pages * rustix::param::page_size() as u64) as f64,
    })
}

/// Waits until `sessions` more sessions fit in `TIME_WAIT`. Above the limit the kernel drops them at once, which would
/// favour the later subjects.
pub(crate) fn wait_for_time_wait_capacity(sessions: usize) -> Result<()> {
    /// Longer than the minute that a session stays in `TIME_WAIT`.
    const TIMEOUT: Duration = Duration::from_secs(75);
    let path = "/proc/sys/net/ipv4/tcp_max_tw_buckets";
    let limit = fs::read_to_string(path).context(|| format!("read {path}"))?;
    let limit: usize = limit.trim().parse().unwrap_or(0);
    let until = Instant::now() + TIMEOUT;
    while Instant::now() < until {
        let sockstat =
            fs::read_to_string("/proc/net/sockstat").context(|| "read /proc/net/sockstat".into())?;
        let waiting =
            sockstat.split_once(" tw ").and_then(|(_, rest)| rest.split_whitespace().next()?.parse().ok());
        if waiting.unwrap_or(0) + sessions < limit / 10 * 9 {
            return Ok(());
        }
        sleep(Duration::from_millis(200));
    }
    Err(Error::Timeout { awaited: format!("capacity for {sessions} sessions in TIME_WAIT"), after: TIMEOUT })
}

/// Returns the value of a `Key:  N kB` line, in bytes.
fn kibibytes(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// Returns the process and its living descendants.
fn descendants(root: Pid) -> Vec<i32> {
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
