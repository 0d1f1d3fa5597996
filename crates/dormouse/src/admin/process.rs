//! Statistics of the process itself, from /proc.

use std::fs;
use std::time::Duration;

/// The resources of this process.
#[derive(Debug, Default)]
pub(super) struct Process {
    /// Processor time since the start.
    pub(super) cpu: Option<Duration>,
    /// Resident memory, in bytes.
    pub(super) resident: Option<u64>,
    /// Address space, in bytes.
    pub(super) virtual_memory: Option<u64>,
    /// The number of open descriptors, if the kernel reports it (since 6.2).
    pub(super) open_fds: Option<u64>,
    /// The limit on open descriptors.
    pub(super) max_fds: Option<u64>,
    /// Tasks of the event loop.
    pub(super) tasks: u64,
    /// The machine's name.
    pub(super) node: String,
}

impl Process {
    /// Reads the resources.
    pub(super) fn read() -> Self {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let tasks = tokio::runtime::Handle::try_current().map(|handle| handle.metrics().num_alive_tasks());
        let mut process = Self {
            max_fds: limit,
            open_fds: fs::metadata("/proc/self/fd").ok().map(|fd| fd.len()).filter(|count| *count > 0),
            tasks: tasks.ok().and_then(|tasks| u64::try_from(tasks).ok()).unwrap_or(0),
            node: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            ..Self::default()
        };
        if let Ok(stat) = fs::read_to_string("/proc/self/stat") {
            process.read_stat(&stat);
        }
        process
    }

    /// Returns the idle share of a core since the start, in percent.
    pub(super) fn idle_percent(&self, uptime: Duration) -> u64 {
        let busy = self.cpu.unwrap_or_default().as_millis() * 100 / uptime.as_millis().max(1);
        100_u64.saturating_sub(u64::try_from(busy).unwrap_or(100))
    }

    /// Reads /proc/PID/stat (proc(5)). The name, in parentheses, may contain any character.
    fn read_stat(&mut self, stat: &str) {
        let Some((_, fields)) = stat.rsplit_once(')') else { return };
        // The first that follows the name is the third field.
        let field = |number: usize| fields.split_whitespace().nth(number - 3)?.parse::<u64>().ok();
        let ticks = rustix::param::clock_ticks_per_second().max(1);
        let page = u64::try_from(rustix::param::page_size()).unwrap_or(4096);
        self.cpu = field(14)
            .zip(field(15))
            .map(|(user, system)| Duration::from_millis((user + system).saturating_mul(1000) / ticks));
        self.virtual_memory = field(23);
        self.resident = field(24).map(|pages| pages.saturating_mul(page));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_reports_this_process() {
        let process = Process::read();
        assert!(process.resident.unwrap() > 100_000 && process.virtual_memory.unwrap() > 100_000);
        assert!(process.max_fds.unwrap() > 10 && !process.node.is_empty());
        assert!(process.idle_percent(Duration::from_secs(1000)) > 50);
    }

    #[test]
    fn a_name_may_contain_any_character() {
        let mut process = Process::default();
        process.read_stat("1 (a) b) S 0 0 0 0 0 0 0 0 0 0 50 50 0 0 0 0 0 0 0 4096 2 0");
        assert_eq!(process.virtual_memory, Some(4096));
        assert!(process.cpu.unwrap() > Duration::ZERO);
        process.read_stat("nonsense");
    }
}
