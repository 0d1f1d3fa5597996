//! `show stat`: what `HAProxy` 2.6 has in its first 103 columns, each in its place. Those behind them belong to parts
//! that it may be built without.

use std::fmt::Write as _;

use dormouse_core::activation::State;
use dormouse_core::control::{AdminState, OutputFormat, ProxyId, StatFilter};
use dormouse_core::pool::CheckResult;
use dormouse_proxy::stats::Ledger;
use dormouse_proxy::stats::count::{Count, Histogram};
use dormouse_proxy::stats::counters::Cause;
use dormouse_proxy::upstream::ServerView;

use super::columns::COLUMNS;
use super::rows::{Figure, Value};
use super::running::{RunningServer, RunningService};

/// `HAProxy`'s number of the first proxy; 1 is its own.
const FIRST: u32 = 2;

/// The rows of a service that are wanted; `number`: its place among the services.
pub(super) fn service(service: &RunningService, number: usize, wanted: &StatFilter) -> Vec<Row> {
    let iid = FIRST.saturating_add(u32::try_from(number).unwrap_or(u32::MAX));
    let matches = match &wanted.proxy {
        None => true,
        Some(ProxyId::Number(number)) => *number == iid,
        Some(ProxyId::Name(name)) => *name == service.name,
    };
    if !matches {
        return Vec::new();
    }
    let kind = |bit: u8| wanted.kinds.is_none_or(|kinds| kinds & bit != 0);
    let whole = wanted.server.is_none_or(|server| server == 0);
    let mut rows = Vec::new();
    if kind(1) && whole {
        rows.push(frontend(service, iid));
    }
    if kind(4) {
        let servers = service.servers().filter(|server| {
            let sid = u32::try_from(server.index + 1).unwrap_or(u32::MAX);
            let maint = wanted.no_maint && server.admin() == AdminState::Maint;
            let down = wanted.up && !status(server).is_up();
            wanted.server.is_none_or(|server| server == sid) && !maint && !down
        });
        rows.extend(servers.map(|server| server_row(service, iid, &server)));
    }
    if kind(2) && whole {
        rows.push(backend(service, iid));
    }
    rows
}

/// One line of the table.
#[derive(Debug)]
pub(super) struct Row {
    letter: char,
    object: &'static str,
    iid: u32,
    sid: u32,
    values: Vec<Option<Value>>,
}

impl Row {
    fn new(
        service: &RunningService,
        name: &str,
        (letter, object, kind): (char, &'static str, u64),
        iid: u32,
        sid: u32,
    ) -> Self {
        let mut row = Self { letter, object, iid, sid, values: COLUMNS.iter().map(|_| None).collect() };
        row.text("pxname", &service.name);
        row.text("svname", name);
        row.u32("pid", 1);
        row.u32("iid", iid.into());
        row.u32("sid", sid.into());
        row.u32("type", kind);
        row.text("mode", "tcp");
        row
    }

    fn set(&mut self, name: &str, value: Value) {
        let place = COLUMNS.iter().position(|(column, _)| *column == name);
        if let Some(place) = place.and_then(|place| self.values.get_mut(place)) {
            *place = Some(value);
        }
    }

    fn text(&mut self, name: &str, value: &str) {
        self.set(name, Value::Text(value.to_owned()));
    }

    fn u32(&mut self, name: &str, value: u64) {
        self.set(name, Value::U32(value));
    }

    fn u64(&mut self, name: &str, value: u64) {
        self.set(name, Value::U64(value));
    }

    fn zeros(&mut self, names: &[&str]) {
        for name in names {
            self.u64(name, 0);
        }
    }

    fn count(&mut self, name: &str, count: &Count) {
        self.u64(name, count.get());
    }

    /// What the service's clients did: the same of the frontend and of the backend.
    fn traffic(&mut self, service: &RunningService) {
        let figures = &service.ledger().figures;
        self.u32("scur", figures.open.get());
        self.u32("smax", figures.most.get());
        self.u32("slim", u64::try_from(service.admission.cap()).unwrap_or(u64::MAX));
        self.count("stot", &figures.accepted);
        self.count("bin", &figures.bytes_in);
        self.count("bout", &figures.bytes_out);
        self.u64("dreq", figures.ends.get(Cause::NotAllowed));
    }

    /// What clients met instead of a connection.
    fn troubles(&mut self, failures: u64, retries: u64, redispatches: u64) {
        self.u64("econ", failures);
        self.u64("wretr", retries);
        self.u64("wredis", redispatches);
    }

    /// Writes it; `first`: nothing of this answer was written before.
    pub(super) fn write(&self, form: OutputFormat, first: bool, text: &mut String) {
        let figures = self.values.iter().enumerate().filter_map(|(place, value)| {
            let (name, tags) = *COLUMNS.get(place)?;
            Some(Figure { place, name, tags, value: value.clone()? })
        });
        match form {
            OutputFormat::Plain => {
                for value in &self.values {
                    if let Some(value) = value {
                        text.push_str(&value.csv());
                    }
                    text.push(',');
                }
                text.push('\n');
            }
            OutputFormat::Typed => {
                let object = format!("{}.{}.{}.", self.letter, self.iid, self.sid);
                figures.for_each(|figure| figure.typed(&object, text));
            }
            OutputFormat::Json => {
                let Self { object, iid, sid, .. } = self;
                let object = format!("\"objType\":\"{object}\",\"proxyId\":{iid},\"id\":{sid},");
                // A String takes whatever is written to it.
                let _ = write!(text, "{}[", if first { "" } else { "," });
                for (number, figure) in figures.enumerate() {
                    if number > 0 {
                        text.push(',');
                    }
                    figure.json(&object, text);
                }
                text.push(']');
            }
        }
    }
}

fn frontend(service: &RunningService, iid: u32) -> Row {
    let mut row = Row::new(service, "FRONTEND", ('F', "Frontend", 0), iid, 0);
    let ledger = service.ledger();
    let figures = &ledger.figures;
    let rate = figures.rate.now(ledger.beginning.elapsed());
    row.traffic(service);
    row.u64("dresp", 0);
    row.u64("ereq", figures.ends.get(Cause::Silent));
    row.text("status", if ledger.is_ending() { "STOP" } else { "OPEN" });
    row.u32("rate", rate);
    row.u32("rate_lim", 0);
    row.u32("rate_max", figures.rate.most());
    row.u32("req_rate", 0);
    row.u32("req_rate_max", 0);
    row.zeros(&["req_tot", "comp_in", "comp_out", "comp_byp", "comp_rsp", "dses", "wrew"]);
    row.u32("conn_rate", rate);
    row.u32("conn_rate_max", figures.rate.most());
    row.u64("conn_tot", figures.accepted.get() + figures.refused.get());
    row.count("dcon", &figures.refused);
    row.u64("eint", figures.ends.get(Cause::Internal));
    row
}

fn server_row(service: &RunningService, iid: u32, server: &RunningServer<'_>) -> Row {
    let sid = u32::try_from(server.index + 1).unwrap_or(u32::MAX);
    let mut row = Row::new(service, server.name, ('S', "Server", 2), iid, sid);
    let ledger = service.ledger();
    let now = ledger.beginning.elapsed();
    let (mut held, mut most_held) = (0, 0);
    let mut hold_time = 0;
    if let Some(sleeper) = server.sleeper() {
        let (state, ..) = sleeper.state();
        held = u64::try_from(sleeper.snapshot().held).unwrap_or(u64::MAX);
        most_held = sleeper.counters.most_held.get();
        hold_time = millis(&sleeper.counters.holds);
        row.text("last_chk", &state.to_string());
        row.u64("chkfail", sleeper.counters.failed_starts.get());
    }
    row.u32("qcur", held);
    row.u32("qmax", most_held);
    if let Some(counters) = server.counters {
        row.u32("scur", counters.open.get());
        row.u32("smax", counters.most.get());
        row.count("stot", &counters.sessions);
        row.count("bin", &counters.bytes_in);
        row.count("bout", &counters.bytes_out);
        row.count("lbtot", &counters.sessions);
        row.count("connect", &counters.sessions);
        row.count("cli_abrt", &counters.aborted_by_client);
        row.count("srv_abrt", &counters.aborted);
        row.u32("used_conn_cur", counters.open.get());
        row.u32("rate", counters.rate.now(now));
        row.u32("rate_max", counters.rate.most());
        let last =
            counters.last.get().checked_sub(1).map(|millis| now.as_secs().saturating_sub(millis / 1000));
        row.set("lastsess", Value::S32(last.and_then(|last| i64::try_from(last).ok()).unwrap_or(-1)));
    }
    row.zeros(&["dresp", "eresp", "wrew", "reuse", "eint"]);
    match &server.view {
        Some(view) => row.troubles(
            view.retry_counts.failures,
            view.retry_counts.retries,
            view.retry_counts.redispatches,
        ),
        // All that clients met is its doing.
        None => row.troubles(unconnected(ledger), 0, 0),
    }
    row.text("status", &status_text(server));
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
    let alone = service.servers().nth(1).is_none();
    let figures = &ledger.figures;
    row.u32("qtime", hold_time);
    row.u32("ctime", if alone { millis(&figures.reached) } else { 0 });
    row.u32("rtime", 0);
    row.u32("ttime", if alone { millis(&figures.lasted) } else { 0 });
    for name in ["srv_icur", "qtime_max", "ctime_max", "rtime_max", "ttime_max"] {
        row.u32(name, 0);
    }
    for name in ["idle_conn_cur", "safe_conn_cur", "need_conn_est"] {
        row.u32(name, 0);
    }
    row
}

/// What checks found.
fn checks(row: &mut Row, server: &RunningServer<'_>, view: &ServerView) {
    if !view.is_checked {
        return;
    }
    let failed_starts = server.sleeper().map_or(0, |sleeper| sleeper.counters.failed_starts.get());
    row.u64("chkfail", view.failed_checks.saturating_add(failed_starts));
    row.u64("chkdown", view.downs);
    row.u32("downtime", view.downtime.as_secs());
    // In maintenance there are no checks.
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
        // What sleeps tells there how it stands, as long as that is all there is to tell.
        if server.sleeper().is_none() || server.is_down() {
            row.text("last_chk", &check.text);
        }
    }
}

fn backend(service: &RunningService, iid: u32) -> Row {
    let mut row = Row::new(service, "BACKEND", ('B', "Backend", 1), iid, 0);
    let ledger = service.ledger();
    let (figures, now) = (&ledger.figures, ledger.beginning.elapsed());
    let sleepers = || service.servers().filter_map(|server| server.sleeper());
    row.u32("qcur", figures.waiting());
    let most = sleepers().map(|sleeper| sleeper.counters.most_held.get());
    // Whoever waits alone is not in the way of another, and is counted while it waits.
    row.u32("qmax", most.chain([figures.most_waiting.get(), figures.waiting()]).max().unwrap_or(0));
    row.traffic(service);
    let tallies = || service.servers().filter_map(|server| Some(server.view?.retry_counts));
    let retries = tallies().map(|tally| tally.retries).sum();
    row.troubles(unconnected(ledger), retries, tallies().map(|tally| tally.redispatches).sum());
    row.zeros(&["dresp", "eresp", "wrew", "reuse", "eint"]);
    row.zeros(&["comp_in", "comp_out", "comp_byp", "comp_rsp"]);
    row.u64("cli_abrt", ends(ledger, "client", true));
    row.u64("srv_abrt", ends(ledger, "server", true));
    let work = Work::of(service);
    row.text("status", if work.act + work.bck > 0 { "UP" } else { "DOWN" });
    row.u32("weight", work.weight());
    row.u32("uweight", work.weight());
    row.u32("act", work.act);
    row.u32("bck", work.bck);
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
    row.u32("rate", figures.rate.now(now));
    row.u32("rate_max", figures.rate.most());
    let alone = sleepers().next().filter(|_| service.servers().nth(1).is_none());
    row.u32("qtime", alone.map_or(0, |sleeper| millis(&sleeper.counters.holds)));
    row.u32("ctime", millis(&figures.reached));
    row.u32("rtime", 0);
    row.u32("ttime", millis(&figures.lasted));
    row.u32("qtime_max", alone.map_or(0, |sleeper| in_millis(sleeper.counters.holds.most())));
    row.u32("ctime_max", in_millis(figures.reached.most()));
    row.u32("rtime_max", 0);
    row.u32("ttime_max", in_millis(figures.lasted.most()));
    for name in ["agg_server_status", "agg_server_check_status", "agg_check_status"] {
        row.u32(name, 0);
    }
    row.text("algo", service.algo);
    row
}

/// How many sessions ended by this side's doing, with a server or without.
fn ends(ledger: &Ledger, side: &str, served: bool) -> u64 {
    let causes = Cause::ALL.iter().filter(|cause| cause.side() == side && cause.had_server() == served);
    causes.map(|cause| ledger.figures.ends.get(*cause)).sum()
}

/// How many sessions got no server because of the servers.
fn unconnected(ledger: &Ledger) -> u64 {
    ends(ledger, "server", false)
}

/// The servers that take sessions, and their shares: those that work, and those that stand by for them.
#[derive(Debug, Default)]
struct Work {
    act: u64,
    bck: u64,
    active: u64,
    backup: u64,
}

impl Work {
    fn of(service: &RunningService) -> Self {
        let mut work = Self::default();
        for server in service.servers().filter(|server| status(server).is_up() && server.weight() > 0) {
            let (count, weight) = if server.is_backup() {
                (&mut work.bck, &mut work.backup)
            } else {
                (&mut work.act, &mut work.active)
            };
            *count += 1;
            *weight += u64::from(server.weight());
        }
        work
    }

    /// The sum of the shares of those whose turn it is.
    fn weight(&self) -> u64 {
        if self.act > 0 { self.active } else { self.backup }
    }
}

/// How a server stands, in `HAProxy`'s words. What sleeps would take a client: it is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Maint,
    Drain,
    Down,
    Up,
    NoCheck,
}

impl Status {
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Maint => "MAINT",
            Self::Drain => "DRAIN",
            Self::Down => "DOWN",
            Self::Up => "UP",
            Self::NoCheck => "no check",
        }
    }

    /// Whether a new client might be served.
    pub(super) fn is_up(self) -> bool {
        matches!(self, Self::Up | Self::NoCheck)
    }
}

/// How a server stands, and how many checks are left until that changes.
fn status_text(server: &RunningServer<'_>) -> String {
    let status = status(server);
    let streak = server.view.as_ref().and_then(|view| view.streak);
    let counts = streak.and_then(|streak| match status {
        Status::Up | Status::Drain => Some((streak.failures_left()?, streak.fall)),
        Status::Down if server.is_down() && streak.health > 0 => Some((streak.health, streak.rise)),
        Status::Down | Status::Maint | Status::NoCheck => None,
    });
    match counts {
        Some((count, of)) => format!("{} {count}/{of}", status.text()),
        None => status.text().to_owned(),
    }
}

/// How a server stands.
pub(super) fn status(server: &RunningServer<'_>) -> Status {
    let checked = server.view.as_ref().is_some_and(|view| view.is_checked);
    match (server.admin(), server.sleeper()) {
        (AdminState::Maint, _) => Status::Maint,
        _ if server.is_down() => Status::Down,
        (AdminState::Drain, _) => Status::Drain,
        (AdminState::Ready, None) if !checked => Status::NoCheck,
        (AdminState::Ready, Some(sleeper)) if sleeper.state().0 == State::Failed => Status::Down,
        (AdminState::Ready, _) => Status::Up,
    }
}

fn millis(histogram: &Histogram) -> u64 {
    in_millis(histogram.mean())
}

fn in_millis(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
