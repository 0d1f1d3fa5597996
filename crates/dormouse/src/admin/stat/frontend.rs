//! The row of a frontend: a service and its clients.

use dormouse_proxy::stats::cause::Cause;

use super::super::running::RunningService;
use super::row::Row;

/// Returns the row of the frontend.
pub(super) fn frontend(service: &RunningService, iid: u32) -> Row {
    let mut row = Row::new(service, "FRONTEND", ('F', "Frontend", 0), iid, 0);
    let stats = service.stats();
    let counters = &stats.counters;
    let rate = counters.rate.now(stats.start_time.elapsed());
    row.traffic(service);
    row.u64("dresp", 0);
    row.u64("ereq", counters.ends.get(Cause::Silent));
    row.text("status", if stats.is_shutting_down() { "STOP" } else { "OPEN" });
    row.u32("rate", rate);
    row.u32("rate_lim", 0);
    row.u32("rate_max", counters.rate.max());
    row.u32("req_rate", 0);
    row.u32("req_rate_max", 0);
    row.zeros(&["req_tot", "comp_in", "comp_out", "comp_byp", "comp_rsp", "dses", "wrew"]);
    row.u32("conn_rate", rate);
    row.u32("conn_rate_max", counters.rate.max());
    row.u64("conn_tot", counters.accepted.get() + counters.refused.get());
    row.count("dcon", &counters.refused);
    row.u64("eint", counters.ends.get(Cause::Internal));
    row
}
