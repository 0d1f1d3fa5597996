//! The row of a server.

use dormouse_core::pool::CheckResult;
use dormouse_proxy::upstream::ServerView;

use super::super::field::Value;
use super::super::running::{RunningServer, RunningService};
use super::super::server_status::status_with_checks;
use super::row::Row;
use super::totals::{in_millis, mean_millis, unconnected};

/// Returns the row of a server.
pub(super) fn server(service: &RunningService, iid: u32, server: &RunningServer<'_>) -> Row {
    let sid = u32::try_from(server.index + 1).unwrap_or(u32::MAX);
    let mut row = Row::new(service, server.name, ('S', "Server", 2), iid, sid);
    let stats = service.stats();
    let now = stats.start_time.elapsed();
    let (mut held, mut max_held) = (0, 0);
    let mut hold_time = 0;
    if let Some(wakeable) = server.wakeable() {
        let (workload_state, ..) = wakeable.state();
        held = u64::try_from(wakeable.load().1).unwrap_or(u64::MAX);
        max_held = wakeable.counters.max_held.get();
        hold_time = mean_millis(&wakeable.counters.holds);
        row.text("last_chk", &workload_state.to_string());
        row.u64("chkfail", wakeable.counters.failed_starts.get());
    }
    row.u32("qcur", held);
    row.u32("qmax", max_held);
    if let Some(counters) = server.counters {
        row.u32("scur", counters.open.get());
        row.u32("smax", counters.max.get());
        row.count("stot", &counters.sessions);
        row.count("bin", &counters.bytes_in);
        row.count("bout", &counters.bytes_out);
        row.count("lbtot", &counters.sessions);
        row.count("connect", &counters.sessions);
        row.count("cli_abrt", &counters.aborted_by_client);
        row.count("srv_abrt", &counters.aborted);
        row.u32("used_conn_cur", counters.open.get());
        row.u32("rate", counters.rate.now(now));
        row.u32("rate_max", counters.rate.max());
        let last =
            counters.last.get().checked_sub(1).map(|millis| now.as_secs().saturating_sub(millis / 1000));
        row.set("lastsess", Value::S32(last.and_then(|last| i64::try_from(last).ok()).unwrap_or(-1)));
    }
    row.zeros(&["dresp", "eresp", "wrew", "reuse", "eint"]);
    match &server.view {
        Some(view) => row.failures(
            view.retry_counts.failures,
            view.retry_counts.retries,
            view.retry_counts.redispatches,
        ),
        // With one server all failures are its own.
        None => row.failures(unconnected(stats), 0, 0),
    }
    row.text("status", &status_with_checks(server));
    row.u32("weight", server.weight().into());
    row.u32("uweight", server.weight().into());
    row.u32("act", u64::from(!server.is_backup()));
    row.u32("bck", u64::from(server.is_backup()));
    if let Some(view) = &server.view {
        if let Some(maxconn) = view.maxconn {
            row.u32("slim", maxconn.get().into());
        }
        if let Some(percent) = view.throttle {
            row.u32("throttle", percent.into());
        }
        checks(&mut row, server, view);
    }
    row.u32("lastchg", server.since().as_secs());
    row.text("addr", &server.address);
    let is_single = service.servers().nth(1).is_none();
    let totals = &stats.counters;
    row.u32("qtime", hold_time);
    row.u32("ctime", if is_single { mean_millis(&totals.reached) } else { 0 });
    row.u32("rtime", 0);
    row.u32("ttime", if is_single { mean_millis(&totals.lasted) } else { 0 });
    for name in ["srv_icur", "qtime_max", "ctime_max", "rtime_max", "ttime_max"] {
        row.u32(name, 0);
    }
    for name in ["idle_conn_cur", "safe_conn_cur", "need_conn_est"] {
        row.u32(name, 0);
    }
    row
}

/// Sets the columns of health checks.
fn checks(row: &mut Row, server: &RunningServer<'_>, view: &ServerView) {
    if !view.is_checked {
        return;
    }
    let failed_starts = server.wakeable().map_or(0, |wakeable| wakeable.counters.failed_starts.get());
    row.u64("chkfail", view.failed_checks.saturating_add(failed_starts));
    row.u64("chkdown", view.downs);
    row.u32("downtime", view.downtime.as_secs());
    // A server in maintenance is not checked.
    let Some(streak) = view.streak else { return };
    row.u32("check_rise", streak.rise.into());
    row.u32("check_fall", streak.fall.into());
    row.u32("check_health", streak.health.into());
    let (status, description) = match view.last_check.as_ref().map(|check| check.finding) {
        None => ("INI", "Initializing"),
        Some(CheckResult::Passed) => ("L4OK", "Layer4 check passed"),
        Some(CheckResult::Failed) => ("L4CON", "Layer4 connection problem"),
        Some(CheckResult::Inconclusive) => ("SOCKERR", "Socket error"),
    };
    row.text("check_status", status);
    row.text("check_desc", description);
    if let Some(check) = &view.last_check {
        row.u64("check_duration", in_millis(check.took));
        // For a workload this column shows its state unless checks fail.
        if server.wakeable().is_none() || server.is_down() {
            row.text("last_chk", &check.text);
        }
    }
}
