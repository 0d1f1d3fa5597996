//! Log lines about a name.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use dormouse_core::dns::{NameEvent, Server, ServerDiff, Source};
use dormouse_log::{Level, Log};

/// The number of lines that may be written in a burst.
const AT_ONCE: u32 = 5;
/// The time between two lines after a burst.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// Logs the changes of one name, rate-limited because a resolver may return another subset of the servers each time. A
/// suppressed change becomes part of the next line, so the lines together give the set of servers.
pub(super) struct DnsLog {
    source: Source,
    label: String,
    log: Log,
    /// The set of servers that the lines so far describe.
    logged: Vec<Server>,
    /// The time at which the lines so far are used up at a rate of one each [`LINE_INTERVAL`].
    over: Instant,
}

impl DnsLog {
    pub(super) fn new(source: Source, label: String, log: Log, now: Instant) -> Self {
        Self { source, label, log, logged: Vec::new(), over: now }
    }

    /// Logs the events of an answer, and the change of the set of servers.
    pub(super) fn answered(&mut self, now: Instant, events: &[NameEvent], servers: &[Server]) {
        for event in events {
            self.event(now, event);
        }
        if let Some(difference) = self.changed(now, servers) {
            let Self { source, label, .. } = self;
            self.log.line(Level::Info, format_args!("{label}{source}: {}", shown(&difference)));
        }
    }

    fn event(&mut self, now: Instant, event: &NameEvent) {
        // A name that stays without servers is logged when its servers are removed.
        if *event == NameEvent::NoServers && !self.may_write(now) {
            return;
        }
        let Self { source, label, log, .. } = self;
        match event {
            // Logged as a difference.
            NameEvent::Changed => {}
            NameEvent::Failing(why) => log.line(
                Level::Warning,
                format_args!("{label}{source}: DNS query failed: {why}; keeping its servers."),
            ),
            NameEvent::Recovered => {
                log.line(Level::Info, format_args!("{label}{source}: DNS queries succeed again."));
            }
            NameEvent::NoServers => {
                log.line(Level::Warning, format_args!("{label}{source} has no servers."));
            }
        }
    }

    /// Returns the difference to log now.
    fn changed(&mut self, now: Instant, servers: &[Server]) -> Option<ServerDiff> {
        if self.logged == servers || !self.may_write(now) {
            return None;
        }
        let difference = ServerDiff::between(&self.logged, servers);
        self.logged = servers.to_vec();
        Some(difference)
    }

    fn may_write(&mut self, now: Instant) -> bool {
        let may = self.over.saturating_duration_since(now) <= LINE_INTERVAL * (AT_ONCE - 1);
        if may {
            self.over = self.over.max(now).checked_add(LINE_INTERVAL).unwrap_or(now);
        }
        may
    }
}

/// Formats a difference, with the first servers of each kind by address.
fn shown(difference: &ServerDiff) -> String {
    const NAMED: usize = 8;
    let ServerDiff { added, removed, changed } = difference;
    let mut text = String::new();
    for (what, servers) in [("new", added), ("gone", removed), ("changed", changed)] {
        if servers.is_empty() {
            continue;
        }
        let separator = if text.is_empty() { "" } else { "; " };
        let named: Vec<_> = servers.iter().take(NAMED).map(|server| server.address.to_string()).collect();
        // Writing to a String cannot fail.
        let _ = write!(text, "{separator}{what} {}", named.join(", "));
        if let Some(more @ 1..) = servers.len().checked_sub(NAMED) {
            let _ = write!(text, " and {more} more");
        }
    }
    text.push('.');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(last: u8) -> Server {
        Server { priority: 0, address: ([10, 0, 0, last], 80).into(), weight: 1 }
    }

    fn dns_log(now: Instant) -> DnsLog {
        let source = Source::parse("dns:a.example:80").unwrap().unwrap();
        DnsLog::new(source, String::new(), Log::new(Some(Level::Err)), now)
    }

    #[test]
    fn endless_changes_write_one_line_in_ten_seconds() {
        let start = Instant::now();
        let mut dns_log = dns_log(start);
        let logged: Vec<_> = (0..100)
            .filter(|second| {
                let servers = [server(u8::try_from(*second).unwrap())];
                dns_log.changed(start + Duration::from_secs(*second), &servers).is_some()
            })
            .collect();
        assert_eq!(logged, [0, 1, 2, 3, 4, 10, 20, 30, 40, 50, 60, 70, 80, 90]);
    }

    #[test]
    fn a_suppressed_change_is_part_of_the_next_line() {
        let start = Instant::now();
        let mut dns_log = dns_log(start);
        for last in 0..5 {
            assert!(dns_log.changed(start, &[server(last)]).is_some());
        }
        assert_eq!(dns_log.changed(start, &[server(4), server(5)]), None);
        assert_eq!(dns_log.changed(start, &[server(6), server(7)]), None);
        let difference = dns_log.changed(start + LINE_INTERVAL, &[server(6), server(7)]).unwrap();
        assert_eq!(shown(&difference), "new 10.0.0.6:80, 10.0.0.7:80; gone 10.0.0.4:80.");
        assert_eq!(dns_log.changed(start + LINE_INTERVAL * 9, &[server(6), server(7)]), None);
    }
}
