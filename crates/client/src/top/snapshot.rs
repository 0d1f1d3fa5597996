//! The data of the control socket at one moment, and the rates between two such moments.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use dormouse_log::Escaped;
use serde_json::Value;

use crate::fields;

/// The data of the control socket, and the time of the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Snapshot {
    pub(super) at: Instant,
    pub(super) pid: u64,
    pub(super) version: String,
    /// Seconds.
    pub(super) uptime: u64,
    pub(super) open: u64,
    pub(super) limit: u64,
    pub(super) services: Vec<Service>,
    /// `None` if there are too many to request them repeatedly.
    pub(super) sessions: Option<Vec<Session>>,
}

/// A service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Service {
    pub(super) name: String,
    pub(super) state: String,
    /// Seconds.
    pub(super) since: u64,
    pub(super) sessions: u64,
    pub(super) waiting: u64,
    /// Sessions since the start.
    pub(super) total: u64,
    pub(super) bytes: Bytes,
    /// Whether an administrator drains a server of it.
    pub(super) is_drained: bool,
    /// What happens next without a new client.
    pub(super) next: String,
}

/// A session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Session {
    pub(super) id: u64,
    pub(super) client: String,
    pub(super) service: String,
    pub(super) server: String,
    pub(super) age: String,
    pub(super) bytes: Bytes,
}

/// Bytes from clients and to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Bytes {
    pub(super) up: u64,
    pub(super) down: u64,
}

impl Snapshot {
    /// Reads the answer to `show services json`; `None` if it is not valid.
    pub(super) fn read(answer: &Value, at: Instant) -> Option<Self> {
        let process = answer.get("process")?;
        let sessions = process.get("sessions")?;
        Some(Self {
            at,
            pid: fields::number(process, "pid"),
            version: fields::text(process, "version"),
            uptime: fields::number(process, "uptime_seconds"),
            open: fields::number(sessions, "current"),
            limit: fields::number(sessions, "limit"),
            services: answer.get("services")?.as_array()?.iter().map(Service::read).collect(),
            sessions: None,
        })
    }

    /// Returns the sessions, if they were requested.
    pub(super) fn listed(&self) -> &[Session] {
        self.sessions.as_deref().unwrap_or_default()
    }
}

impl Service {
    fn read(answer: &Value) -> Self {
        let sessions = answer.get("sessions").unwrap_or(&Value::Null);
        let bytes = answer.get("bytes").unwrap_or(&Value::Null);
        let servers = fields::list(answer, "servers");
        // The next action is that of the server that changes first.
        let soonest = servers
            .iter()
            .filter(|server| !fields::text(server, "next").is_empty())
            .min_by_key(|server| server.get("next_seconds").and_then(Value::as_u64).unwrap_or(u64::MAX));
        let alone = if let [server] = servers { Some(server) } else { None };
        Self {
            name: fields::text(answer, "name"),
            state: fields::standing(answer, alone),
            since: fields::number(answer, "since_seconds"),
            sessions: fields::number(sessions, "current"),
            waiting: fields::number(answer, "waiting"),
            total: fields::number(sessions, "total"),
            bytes: Bytes { up: fields::number(bytes, "in"), down: fields::number(bytes, "out") },
            is_drained: servers.iter().any(|server| fields::text(server, "admin") == "drain"),
            next: soonest.or(alone).map(fields::next).unwrap_or_default(),
        }
    }
}

/// Reads the answer to `show sess`. Lines that are not sessions are skipped.
pub(super) fn sessions(answer: &str) -> Vec<Session> {
    answer.lines().filter_map(session).collect()
}

fn session(line: &str) -> Option<Session> {
    let (id, rest) = line.strip_prefix("0x")?.split_once(": ")?;
    let field = |name: &str| {
        let word = rest.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        Escaped(word.unwrap_or_default()).to_string()
    };
    let total = |name: &str| -> Option<u64> {
        let (_, inner) = rest.split_once(&format!(" {name}["))?;
        let (inner, _) = inner.split_once(']')?;
        inner.rsplit_once("total=")?.1.parse().ok()
    };
    Some(Session {
        id: u64::from_str_radix(id, 16).ok()?,
        client: field("src"),
        service: field("be"),
        server: field("srv"),
        age: field("age"),
        bytes: Bytes { up: total("rq")?, down: total("rp")? },
    })
}

/// The rates of a service or a session, per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Rate {
    /// Sessions, in tenths.
    pub(super) sessions: u64,
    pub(super) bytes: Bytes,
}

impl Rate {
    /// Returns the bytes in both directions.
    pub(super) fn both(self) -> u64 {
        self.bytes.up.saturating_add(self.bytes.down)
    }
}

/// The rates between two snapshots, for services and sessions that are in both.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Rates {
    pub(super) services: HashMap<String, Rate>,
    pub(super) sessions: HashMap<u64, Rate>,
}

impl Rates {
    /// Returns the rates between two snapshots.
    pub(super) fn between(before: &Snapshot, after: &Snapshot) -> Self {
        let elapsed = after.at.saturating_duration_since(before.at);
        if before.pid != after.pid || elapsed.is_zero() {
            return Self::default();
        }
        let old: HashMap<_, _> = before.services.iter().map(|service| (&service.name, service)).collect();
        let services = after.services.iter().filter_map(|service| {
            let old = old.get(&service.name)?;
            let sessions = per_second(old.total, service.total, elapsed, 10)?;
            Some((service.name.clone(), Rate { sessions, bytes: bytes(old.bytes, service.bytes, elapsed)? }))
        });
        let old: HashMap<_, _> = before.listed().iter().map(|session| (session.id, session.bytes)).collect();
        let sessions = after.listed().iter().filter_map(|session| {
            let bytes = bytes(*old.get(&session.id)?, session.bytes, elapsed)?;
            Some((session.id, Rate { sessions: 0, bytes }))
        });
        Self { services: services.collect(), sessions: sessions.collect() }
    }
}

fn bytes(before: Bytes, after: Bytes, elapsed: Duration) -> Option<Bytes> {
    Some(Bytes {
        up: per_second(before.up, after.up, elapsed, 1)?,
        down: per_second(before.down, after.down, elapsed, 1)?,
    })
}

/// Returns `scale` times the growth per second; `None` for a counter that was reset.
fn per_second(before: u64, after: u64, elapsed: Duration, scale: u32) -> Option<u64> {
    let grown = u128::from(after.checked_sub(before)?) * u128::from(scale) * 1_000_000;
    let micros = elapsed.as_micros();
    let rounded = grown.checked_add(micros / 2)?.checked_div(micros)?;
    Some(u64::try_from(rounded).unwrap_or(u64::MAX))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use serde_json::json;

    /// Returns two services, the first with two sessions, after a number of seconds.
    pub(crate) fn sample(began: Instant, seconds: u64) -> Snapshot {
        let service = |name: &str, current: u64, bytes: u64| {
            json!({ "name": name, "state": "ready", "since_seconds": 75 + seconds, "waiting": 1,
                "sessions": { "current": current, "total": current * seconds },
                "bytes": { "in": bytes * seconds, "out": 3 * bytes * seconds },
                "servers": [
                    { "name": "a", "admin": "ready", "next": "freezes", "next_seconds": null },
                    { "name": "b", "admin": "ready", "next": "stops", "next_seconds": 45 }] })
        };
        let answer = json!({
            "process": { "pid": 7, "version": "0.1.0", "uptime_seconds": 60 + seconds,
                         "sessions": { "current": 2, "limit": 256 } },
            "services": [service("web", 2, 1024), service("db", 0, 1_000_000)],
        });
        let mut snapshot = Snapshot::read(&answer, began + Duration::from_secs(seconds)).unwrap();
        snapshot.sessions = Some(sessions(&format!("{}\n{}\n", line(1, seconds), line(0x2f, 100 * seconds))));
        snapshot
    }

    fn line(id: u64, bytes: u64) -> String {
        format!(
            "0x{id:x}: proto=tcpv4 src=127.0.0.1:1\x1b[7m{id} fe=web be=web srv=<none> ts=00 epoch=0 age=1m1s calls=1 rate=0 \
             cpu=0 lat=0 rq[f=808000h,i=0,an=00h,rx=,wx=,ax=,total={bytes}] \
             rp[f=80048000h,i=0,an=00h,rx=,wx=,ax=,total={}] scf=[8,200h,fd=-1] scb=[8,0h,fd=-1] exp= rc=0 c_exp=",
            2 * bytes
        )
    }

    #[test]
    fn answers_are_read_without_control_characters() {
        let snapshot = sample(Instant::now(), 5);
        let web = &snapshot.services[0];
        assert_eq!((web.name.as_str(), web.state.as_str(), web.since), ("web", "ready", 80));
        assert_eq!((web.sessions, web.waiting, web.total), (2, 1, 10));
        assert_eq!(web.next, "stops in 45s");
        assert!(!web.is_drained);
        let drained = json!({ "name": "web", "servers": [{ "admin": "ready" }, { "admin": "drain" }] });
        assert!(Service::read(&drained).is_drained);
        let session = &snapshot.sessions.as_ref().unwrap()[1];
        assert_eq!((session.id, session.client.as_str()), (0x2f, "127.0.0.1:1\\u{1b}[7m47"));
        assert_eq!((session.server.as_str(), session.age.as_str()), ("<none>", "1m1s"));
        assert_eq!(session.bytes, Bytes { up: 500, down: 1000 });
        assert_eq!(sessions("\nNo such\n0xzz: src=a\n0x1: src=a"), []);
        assert_eq!(Snapshot::read(&json!({}), Instant::now()), None);
    }

    #[test]
    fn a_rate_is_the_growth_per_second() {
        let began = Instant::now();
        let (before, after) = (sample(began, 5), sample(began, 9));
        let rates = Rates::between(&before, &after);
        assert_eq!(rates.services["web"], Rate { sessions: 20, bytes: Bytes { up: 1024, down: 3072 } });
        assert_eq!(rates.services["db"].sessions, 0);
        assert_eq!(rates.sessions[&0x2f], Rate { sessions: 0, bytes: Bytes { up: 100, down: 200 } });
        assert_eq!(rates.sessions[&0x2f].both(), 300);
    }

    #[test]
    fn counters_that_were_reset_have_no_rate() {
        let began = Instant::now();
        let (before, after) = (sample(began, 5), sample(began, 9));
        // No time has passed, counters were reset, another process answers, or a session is new.
        assert_eq!(Rates::between(&after, &after), Rates::default());
        let restarted = Snapshot { at: after.at + Duration::from_secs(1), ..before.clone() };
        assert!(!Rates::between(&after, &restarted).services.contains_key("web"));
        let other = Snapshot { pid: 8, ..after.clone() };
        assert_eq!(Rates::between(&before, &other), Rates::default());
        let empty = Snapshot { sessions: None, services: Vec::new(), ..before };
        assert_eq!(Rates::between(&empty, &after), Rates::default());
        assert_eq!(per_second(0, u64::MAX, Duration::from_nanos(1), 10), None);
        assert_eq!(per_second(0, u64::MAX, Duration::from_micros(1), 10), Some(u64::MAX));
        assert_eq!(per_second(0, 1, Duration::from_secs(3), 10), Some(3));
    }
}
