//! The access log: one line for each session, as plain text, in `HAProxy`'s tcplog format, or as JSON.

use std::fmt::{self, Write as _};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dormouse_log::{Format, Level, Log, field, json_string};
use dormouse_sys::local_time;

use super::cause::Cause;
use super::outcome::Outcome;
use super::record::Record;

/// The names and counters that an access log line needs besides the session's record.
pub(super) struct Origin<'a> {
    /// The name of the service.
    pub(super) service: &'a str,
    /// The open sessions of the service, without this one.
    pub(super) open: u64,
    /// The open sessions of the process, with this one.
    pub(super) open_in_process: u64,
}

/// Writes the line of a session.
pub(super) fn write(log: &Log, label: &str, record: &Record<'_>, origin: &Origin<'_>) {
    let fields = if log.has_fields() { fields(record) } else { String::new() };
    match log.format() {
        Format::Text => log.text(Level::Debug, format_args!("{label}{record}"), &fields),
        Format::Tcplog => log.text(Level::Info, format_args!("{}", Tcplog { origin, record }), &fields),
        Format::Json => log.json(Level::Info, &members(origin.service, record), &fields),
    }
}

/// The members of a session's JSON object that follow the time and the level.
fn members(service: &str, record: &Record<'_>) -> String {
    let cause = Cause::of(record.outcome);
    let (up, down) = record.outcome.bytes();
    let mut text = String::with_capacity(256);
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        r#""event":"session","service":{},"server":{},"client":{},"held_ms":{:.3},"lasted_ms":{:.3},"bytes_in":{up},"bytes_out":{down},"end":"{}","side":"{}","termination":"{}""#,
        json_string(service),
        record.server.map_or_else(|| "null".to_owned(), |server| json_string(&server.name)),
        json_string(&record.client.to_string()),
        record.held.as_secs_f64() * 1e3,
        record.lasted.as_secs_f64() * 1e3,
        cause.name(),
        cause.side(),
        cause.termination(record.outcome.served()),
    );
    if let Outcome::Unserved(refusal) = record.outcome {
        let _ = write!(text, r#","reason":{}"#, json_string(&refusal.to_string()));
    }
    text
}

/// Returns the journal fields of a session.
fn fields(record: &Record<'_>) -> String {
    let cause = Cause::of(record.outcome);
    let (up, down) = record.outcome.bytes();
    let mut fields = String::with_capacity(256);
    field(&mut fields, "DORMOUSE_CLIENT", record.client);
    if let Some(server) = record.server {
        field(&mut fields, "DORMOUSE_SERVER", &server.name);
    }
    field(&mut fields, "DORMOUSE_BYTES_UP", up);
    field(&mut fields, "DORMOUSE_BYTES_DOWN", down);
    field(&mut fields, "DORMOUSE_HELD_USEC", record.held.as_micros());
    field(&mut fields, "DORMOUSE_LASTED_USEC", record.lasted.as_micros());
    field(&mut fields, "DORMOUSE_END", cause.name());
    field(&mut fields, "DORMOUSE_SIDE", cause.side());
    field(&mut fields, "DORMOUSE_TERMINATION", cause.termination(record.outcome.served()));
    fields
}

/// The line of `option tcplog`: client, accept date, frontend, backend/server, the waiting time, the connection's time
/// and the total (Tw/Tc/Tt, ms), bytes to the client, how it ended, connections of the process, the frontend, the
/// backend and the server, retries, and the lengths of the queues.
struct Tcplog<'a> {
    origin: &'a Origin<'a>,
    record: &'a Record<'a>,
}

impl fmt::Display for Tcplog<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { origin, record } = self;
        let accepted = SystemTime::now().checked_sub(record.lasted).unwrap_or(UNIX_EPOCH);
        let served = record.outcome.served();
        let held = record.held.as_millis();
        let (waited, connected) = match (served, record.asleep) {
            (true, true) => (held.to_string(), "0".to_owned()),
            (true, false) => ("0".to_owned(), held.to_string()),
            (false, _) => ("-1".to_owned(), "-1".to_owned()),
        };
        let server_name = record.server.map_or("<NOSRV>", |server| &server.name);
        // The session has ended. HAProxy still counts it for the process and the frontend then, but not for the backend
        // and the server.
        let (all, open, others) = (origin.open_in_process, origin.open + 1, origin.open);
        let has = record.server.map_or(0, |server| server.counters.open.get());
        write!(
            f,
            "{} [{}] {name} {name}/{server_name} {waited}/{connected}/{} {} {} {all}/{open}/{others}/{has}/0 0/0",
            Client(record),
            Date(accepted),
            record.lasted.as_millis(),
            record.outcome.bytes().1,
            Cause::of(record.outcome).termination(served),
            name = origin.service,
        )
    }
}

/// `ADDRESS:PORT`, or `unix:1` for local clients, like `HAProxy`.
struct Client<'a>(&'a Record<'a>);

impl fmt::Display for Client<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.client.socket_address() {
            Some(address) => write!(f, "{}:{}", address.ip(), address.port()),
            None => f.write_str("unix:1"),
        }
    }
}

/// `21/Nov/2026:14:59:15.123`, in local time.
struct Date(SystemTime);

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MONTHS: [&str; 12] =
            ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let since = self.0.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let Some(local) = i64::try_from(since.as_secs()).ok().and_then(local_time::from_unix) else {
            return f.write_str("-");
        };
        let month = MONTHS.get(usize::from(local.month).saturating_sub(1)).copied().unwrap_or("-");
        write!(
            f,
            "{:02}/{month}/{:04}:{:02}:{:02}:{:02}.{:03}",
            local.day,
            local.year,
            local.hour,
            local.minute,
            local.second,
            since.subsec_millis()
        )
    }
}
