//! Services that share a workload, and whose idle times count there.

use std::collections::HashMap;
use std::time::Duration;

use dormouse_activate::WorkloadId;
use dormouse_config::model::{Config, Idle, ServiceConfig};
use dormouse_core::activation::longer_idle_time;
use dormouse_core::plural::counted;
use dormouse_core::schedule::WeeklyWindow;

/// The number of services that are named.
const NAMED: usize = 8;

/// The services of each workload, once for each server that leads to it.
pub(super) struct Workloads<'a>(HashMap<WorkloadId, Vec<&'a ServiceConfig>>);

impl<'a> Workloads<'a> {
    pub(super) fn of(config: &'a Config) -> Self {
        let mut services: HashMap<_, Vec<_>> = HashMap::new();
        for service in &config.services {
            for wake in service.servers.iter().filter_map(|server| server.wake.as_ref()) {
                services.entry(wake.workload()).or_default().push(service);
            }
        }
        Self(services)
    }

    /// Describes which other services lead to the workloads of a service.
    pub(super) fn lines(&self, service: &ServiceConfig) -> Vec<(&'static str, String)> {
        let mut lines = Vec::new();
        for wake in service.servers.iter().filter_map(|server| server.wake.as_ref()) {
            let others = self.others(service, &wake.workload());
            if !others.is_empty() {
                let names = listed(&others);
                lines.push(("shares", format!("its workload ({wake}) with {names}: one start, one stop")));
            }
        }
        lines.dedup();
        lines
    }

    /// Returns the idle times that count for the workload of a service, the first one that is shared.
    pub(super) fn idle_times(&self, service: &'a ServiceConfig) -> IdleTimes<'a> {
        let workloads = service.servers.iter().filter_map(|server| Some(server.wake.as_ref()?.workload()));
        let mut others = workloads.map(|workload| self.others(service, &workload));
        let mut services = vec![service];
        services.extend(others.find(|others| !others.is_empty()).unwrap_or_default());
        IdleTimes(services)
    }

    fn others(&self, service: &ServiceConfig, workload: &WorkloadId) -> Vec<&'a ServiceConfig> {
        let mut others = self.0.get(workload).cloned().unwrap_or_default();
        others.retain(|other| other.name != service.name);
        others.dedup_by_key(|other| &other.name);
        others
    }
}

/// The idle times of all services of a workload. The first service is the one that is described.
pub(super) struct IdleTimes<'a>(Vec<&'a ServiceConfig>);

impl<'a> IdleTimes<'a> {
    /// Returns whether the workload has several services.
    pub(super) fn is_shared(&self) -> bool {
        self.0.len() > 1
    }

    /// Returns the idle time that counts, `None`: never, and in brackets whose it is if the services differ.
    pub(super) fn longest(&self, time: impl Fn(&Idle) -> Option<Duration>) -> (Option<Duration>, String) {
        let longest = self.0.iter().map(|service| time(&service.idle)).reduce(longer_idle_time).flatten();
        (longest, self.whose(|idle| time(idle) == longest, "idle"))
    }

    /// Returns the longest minimum uptime, and whose it is if the services differ.
    pub(super) fn minimum_uptime(&self) -> (Duration, String) {
        let longest = self.0.iter().map(|service| service.idle.minimum_uptime).max().unwrap_or_default();
        (longest, self.whose(|idle| idle.minimum_uptime == longest, "idle.minimum_uptime"))
    }

    /// Returns when the workload is kept awake, and whose wish each window is if the services differ.
    pub(super) fn keep_warm(&self) -> Vec<(&'a WeeklyWindow, String)> {
        let mut windows: Vec<&WeeklyWindow> = Vec::new();
        for window in self.0.iter().flat_map(|service| &service.idle.keep_warm) {
            if !windows.contains(&window) {
                windows.push(window);
            }
        }
        let whose = |window| self.whose(|idle| idle.keep_warm.contains(window), "idle.keep_warm");
        windows.into_iter().map(|window| (window, whose(window))).collect()
    }

    fn whose(&self, counts: impl Fn(&Idle) -> bool, key: &str) -> String {
        let whose: Vec<_> = self.0.iter().filter(|service| counts(&service.idle)).copied().collect();
        if whose.len() == self.0.len() { String::new() } else { format!(" ({key} of {})", listed(&whose)) }
    }
}

/// Returns the names of services, of which the first few are named.
fn listed(services: &[&ServiceConfig]) -> String {
    let named: Vec<_> = services.iter().take(NAMED).map(|service| service.name.as_str()).collect();
    match services.len().saturating_sub(NAMED) {
        0 => named.join(", "),
        more => format!("{} and {}", named.join(", "), counted(more, "other", "others")),
    }
}
