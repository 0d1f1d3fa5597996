//! Totals over the ends of sessions, and times in the unit of `show stat`.

use std::time::Duration;

use dormouse_proxy::stats::Stats;
use dormouse_proxy::stats::cause::Cause;
use dormouse_proxy::stats::count::Histogram;

/// Returns the number of sessions that this side ended, with a server or without.
pub(super) fn ends(stats: &Stats, side: &str, served: bool) -> u64 {
    let causes = Cause::ALL.iter().filter(|cause| cause.side() == side && cause.had_server() == Some(served));
    causes.map(|cause| stats.counters.ends.get(*cause)).sum()
}

/// Returns the number of sessions that got no server because of the servers.
pub(super) fn unconnected(stats: &Stats) -> u64 {
    ends(stats, "server", false)
}

/// Returns the mean in milliseconds.
pub(super) fn mean_millis(histogram: &Histogram) -> u64 {
    in_millis(histogram.mean())
}

/// Returns a span in milliseconds.
pub(super) fn in_millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
