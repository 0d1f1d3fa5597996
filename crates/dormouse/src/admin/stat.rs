//! `show stat`: the first 103 columns of `HAProxy` 2.6. The columns after them belong to optional modules.

use std::fmt::Write as _;

use dormouse_core::activation::State;
use dormouse_core::control::{AdminState, OutputFormat, ProxyId, StatFilter};
use dormouse_core::pool::CheckResult;
use dormouse_proxy::stats::Stats;
use dormouse_proxy::stats::cause::Cause;
use dormouse_proxy::stats::count::{Counter, Histogram};
use dormouse_proxy::upstream::ServerView;

use super::columns::COLUMNS;
use super::rows::{Figure, Value};
use super::running::{RunningServer, RunningService};

/// The number of the first proxy in `HAProxy`, which uses 1 itself.
const FIRST: u32 = 2;

/// Returns the selected rows of a service; `number`: its index among the services.
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

/// A row of the table.
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

    fn count(&mut self, name: &str, count: &Counter) {
        self.u64(name, count.get());
    }

    /// Sets the columns of traffic, which are the same for the frontend and the backend.
    fn traffic(&mut self, service: &RunningService) {
        let figures = &service.stats().counters;
        self.u32("scur", figures.open.get());
        self.u32("smax", figures.max.get());
        self.u32("slim", u64::try_from(service.admission.cap()).unwrap_or(u64::MAX));
        self.count("stot", &figures.accepted);
        self.count("bin", &figures.bytes_in);
        self.count("bout", &figures.bytes_out);
        self.u64("dreq", figures.ends.get(Cause::NotAllowed));
    }

    /// Sets the columns of failed connections.
    fn troubles(&mut self, failures: u64, retries: u64, redispatches: u64) {
        self.u64("econ", failures);
        self.u64("wretr", retries);
        self.u64("wredis", redispatches);
    }

    /// Writes the row; `first`: it is the first of the answer.
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
                // Writing to a String cannot fail.
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
    let stats = service.stats();
    let figures = &stats.counters;
    let rate = figures.rate.now(stats.start_time.elapsed());
    row.traffic(service);
    row.u64("dresp", 0);
    row.u64("ereq", figures.ends.get(Cause::Silent));
    row.text("status", if stats.is_shutting_down() { "STOP" } else { "OPEN" });
    row.u32("rate", rate);
    row.u32("rate_lim", 0);
    row.u32("rate_max", figures.rate.max());
    row.u32("req_rate", 0);
    row.u32("req_rate_max", 0);
    row.zeros(&["req_tot", "comp_in", "comp_out", "comp_byp", "comp_rsp", "dses", "wrew"]);
    row.u32("conn_rate", rate);
    row.u32("conn_rate_max", figures.rate.max());
    row.u64("conn_tot", figures.accepted.get() + figures.refused.get());
    row.count("dcon", &figures.refused);
    row.u64("eint", figures.ends.get(Cause::Internal));
    row
}

fn server_row(service: &RunningService, iid: u32, server: &RunningServer<'_>) -> Row {
    let sid = u32::try_from(server.index + 1).unwrap_or(u32::MAX);
    let mut row = Row::new(service, server.name, ('S', "Server", 2), iid, sid);
    let stats = service.stats();
    let now = stats.start_time.elapsed();
    let (mut held, mut max_held) = (0, 0);
    let mut hold_time = 0;
    if let Some(sleeper) = server.sleeper() {
        let (workload_state, ..) = sleeper.state();
        held = u64::try_from(sleeper.snapshot().held).unwrap_or(u64::MAX);
        max_held = sleeper.counters.max_held.get();
        hold_time = millis(&sleeper.counters.holds);
        row.text("last_chk", &workload_state.to_string());
        row.u64("chkfail", sleeper.counters.failed_starts.get());
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
        Some(view) => row.troubles(
            view.retry_counts.failures,
            view.retry_counts.retries,
            view.retry_counts.redispatches,
        ),
        // With one server all failures are its own.
        None => row.troubles(unconnected(stats), 0, 0),
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
    let figures = &stats.counters;
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

/// Sets the columns of health checks.
fn checks(row: &mut Row, server: &RunningServer<'_>, view: &ServerView) {
    if !view.is_checked {
        return;
    }
    let failed_starts = server.sleeper().map_or(0, |sleeper| sleeper.counters.failed_starts.get());
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
        if server.sleeper().is_none() || server.is_down() {
            row.text("last_chk", &check.text);
        }
    }
}

fn backend(service: &RunningService, iid: u32) -> Row {
    let mut row = Row::new(service, "BACKEND", ('B', "Backend", 1), iid, 0);
    let stats = service.stats();
    let (figures, now) = (&stats.counters, stats.start_time.elapsed());
    let sleepers = || service.servers().filter_map(|server| server.sleeper());
    row.u32("qcur", figures.waiting());
    let most = sleepers().map(|sleeper| sleeper.counters.max_held.get());
    // A single waiting client is not in the maximum; the present number contains it.
    row.u32("qmax", most.chain([figures.max_waiting.get(), figures.waiting()]).max().unwrap_or(0));
    row.traffic(service);
    let tallies = || service.servers().filter_map(|server| Some(server.view?.retry_counts));
    let retries = tallies().map(|tally| tally.retries).sum();
    row.troubles(unconnected(stats), retries, tallies().map(|tally| tally.redispatches).sum());
    row.zeros(&["dresp", "eresp", "wrew", "reuse", "eint"]);
    row.zeros(&["comp_in", "comp_out", "comp_byp", "comp_rsp"]);
    row.u64("cli_abrt", ends(stats, "client", true));
    row.u64("srv_abrt", ends(stats, "server", true));
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
    row.u32("rate_max", figures.rate.max());
    let alone = sleepers().next().filter(|_| service.servers().nth(1).is_none());
    row.u32("qtime", alone.map_or(0, |sleeper| millis(&sleeper.counters.holds)));
    row.u32("ctime", millis(&figures.reached));
    row.u32("rtime", 0);
    row.u32("ttime", millis(&figures.lasted));
    row.u32("qtime_max", alone.map_or(0, |sleeper| in_millis(sleeper.counters.holds.max())));
    row.u32("ctime_max", in_millis(figures.reached.max()));
    row.u32("rtime_max", 0);
    row.u32("ttime_max", in_millis(figures.lasted.max()));
    for name in ["agg_server_status", "agg_server_check_status", "agg_check_status"] {
        row.u32(name, 0);
    }
    row.text("algo", service.algo);
    row
}

/// Returns the number of sessions that this side ended, with a server or without.
fn ends(stats: &Stats, side: &str, served: bool) -> u64 {
    let causes = Cause::ALL.iter().filter(|cause| cause.side() == side && cause.had_server() == served);
    causes.map(|cause| stats.counters.ends.get(*cause)).sum()
}

/// Returns the number of sessions that got no server because of the servers.
fn unconnected(stats: &Stats) -> u64 {
    ends(stats, "server", false)
}

/// The servers that take sessions and their weights: active and backup.
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

    /// Returns the total weight of the servers in use.
    fn weight(&self) -> u64 {
        if self.act > 0 { self.active } else { self.backup }
    }
}

/// The status of a server in `HAProxy`. A stopped workload would take a client, so it is up.
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

    /// Returns whether the server takes new clients.
    pub(super) fn is_up(self) -> bool {
        matches!(self, Self::Up | Self::NoCheck)
    }
}

/// Returns the status with the number of checks until it changes.
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

/// Returns the status of a server.
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
