//! The row of a backend: all servers of a service.

use super::super::field::Value;
use super::super::running::RunningService;
use super::super::server_status::status;
use super::row::Row;
use super::totals::{ends, in_millis, mean_millis, unconnected};

/// Returns the row of the backend.
pub(super) fn backend(service: &RunningService, iid: u32) -> Row {
    let mut row = Row::new(service, "BACKEND", ('B', "Backend", 1), iid, 0);
    let stats = service.stats();
    let (counters, now) = (&stats.counters, stats.start_time.elapsed());
    let wakeables = || service.servers().filter_map(|server| server.wakeable());
    row.u32("qcur", counters.waiting());
    let max_held = wakeables().map(|wakeable| wakeable.counters.max_held.get());
    // The maximum does not contain a single waiting client; the present number does.
    row.u32("qmax", max_held.chain([counters.max_waiting.get(), counters.waiting()]).max().unwrap_or(0));
    row.traffic(service);
    let tallies = || service.servers().filter_map(|server| Some(server.view?.retry_counts));
    let retries = tallies().map(|tally| tally.retries).sum();
    row.failures(unconnected(stats), retries, tallies().map(|tally| tally.redispatches).sum());
    row.zeros(&["dresp", "eresp", "wrew", "reuse", "eint"]);
    row.zeros(&["comp_in", "comp_out", "comp_byp", "comp_rsp"]);
    row.u64("cli_abrt", ends(stats, "client", true));
    row.u64("srv_abrt", ends(stats, "server", true));
    let usable = UsableServers::of(service);
    row.text("status", if usable.active + usable.backup > 0 { "UP" } else { "DOWN" });
    row.u32("weight", usable.weight());
    row.u32("uweight", usable.weight());
    row.u32("act", usable.active);
    row.u32("bck", usable.backup);
    let (downs, downtime, since) = service.outages();
    row.u64("chkdown", downs);
    row.u32("lastchg", since.as_secs());
    row.u32("downtime", downtime.as_secs());
    let servers = || service.servers().filter_map(|server| server.counters);
    let sessions: u64 = servers().map(|counters| counters.sessions.get()).sum();
    row.u64("lbtot", sessions);
    row.u64("connect", sessions);
    let last = servers().filter_map(|counters| counters.last.get().checked_sub(1)).max();
    let last = last.and_then(|millis| i64::try_from(now.as_secs().saturating_sub(millis / 1000)).ok());
    row.set("lastsess", Value::S32(last.unwrap_or(-1)));
    row.u32("rate", counters.rate.now(now));
    row.u32("rate_max", counters.rate.max());
    let single = wakeables().next().filter(|_| service.servers().nth(1).is_none());
    row.u32("qtime", single.map_or(0, |wakeable| mean_millis(&wakeable.counters.holds)));
    row.u32("ctime", mean_millis(&counters.reached));
    row.u32("rtime", 0);
    row.u32("ttime", mean_millis(&counters.lasted));
    row.u32("qtime_max", single.map_or(0, |wakeable| in_millis(wakeable.counters.holds.max())));
    row.u32("ctime_max", in_millis(counters.reached.max()));
    row.u32("rtime_max", 0);
    row.u32("ttime_max", in_millis(counters.lasted.max()));
    for name in ["agg_server_status", "agg_server_check_status", "agg_check_status"] {
        row.u32(name, 0);
    }
    row.text("algo", service.algo);
    row
}

/// The servers that take sessions and their weights: active and backup.
#[derive(Debug, Default)]
struct UsableServers {
    active: u64,
    backup: u64,
    active_weight: u64,
    backup_weight: u64,
}

impl UsableServers {
    fn of(service: &RunningService) -> Self {
        let mut usable = Self::default();
        for server in service.servers().filter(|server| status(server).is_up() && server.weight() > 0) {
            let (count, weight) = if server.is_backup() {
                (&mut usable.backup, &mut usable.backup_weight)
            } else {
                (&mut usable.active, &mut usable.active_weight)
            };
            *count += 1;
            *weight += u64::from(server.weight());
        }
        usable
    }

    /// Returns the total weight of the servers in use.
    fn weight(&self) -> u64 {
        if self.active > 0 { self.active_weight } else { self.backup_weight }
    }
}
