//! The smaller tables of a service: `ready`, `hold`, `idle`, `timeout`.

use std::num::NonZeroU32;
use std::time::Duration;

use dormouse_core::schedule::{is_open, minutes_until_change};
use dormouse_core::timespan::TimeSpan;
use dormouse_relay::Limits;

use super::keys;
use super::model::{Hold, Idle, Ready, Timeouts};
use super::report::Report;
use super::shell;
use super::tree::Value;
use super::value::{Field, Section, absolute_path};
use crate::limit::AtLimit;

/// The words for what happens at a limit.
pub(super) const AT_LIMIT: [(&str, AtLimit); 2] = [("refuse", AtLimit::Refuse), ("queue", AtLimit::Queue)];

/// The table in this field, which can be nothing else.
pub(super) fn table<'a>(field: &Field<'a>, report: &mut Report) -> Option<Section<'a>> {
    let section = Section::open(field.node, field.key.path, keys::SERVICE, report);
    if section.is_none() {
        field.wrong_kind(report);
    }
    section
}

/// Reads when it is ready, and how long that must have lasted if that is said here.
pub(super) fn ready(field: &Field<'_>, report: &mut Report) -> (Option<Ready>, Option<Duration>) {
    let Some(section) = Section::open(field.node, "ready", keys::SERVICE, report) else {
        return (ready_text(field, report), None);
    };
    let settle = section.get("settle").and_then(|field| field.duration(report));
    let ways: Vec<_> = ["file", "command", "expect"].iter().filter_map(|way| section.get(way)).collect();
    if let [first, others @ ..] = ways.as_slice() {
        for other in others {
            let message = format!("is another way to be ready than {}; keep one of them", first.key.path);
            report.error(other.place(), message);
        }
    }
    let send = section.get("send");
    if let (Some(send), None) = (&send, section.get("expect")) {
        report.error(send.place(), "something has to be expected then; add for example expect = \"+PONG\"");
    }
    let send = send.and_then(|field| field.text(report)).unwrap_or_default().as_bytes().to_vec();
    let ready = match ways.first() {
        None => Some(Ready::Connect),
        Some(way) if way.key.name() == "file" => way.absolute_path(report).map(Ready::File),
        Some(way) if way.key.name() == "command" => way.command(report).map(Ready::Command),
        Some(way) => way.parsed(report, expect).map(|expect| Ready::Expect { send, expect }),
    };
    (ready, settle)
}

fn ready_text(field: &Field<'_>, report: &mut Report) -> Option<Ready> {
    let Value::Text(text) = &field.node.value else {
        field.wrong_kind(report);
        return None;
    };
    match (text.as_str(), text.split_once(':')) {
        ("connect", _) => Some(Ready::Connect),
        ("notify", _) => Some(Ready::Notify),
        ("healthy", _) => Some(Ready::Healthy),
        (_, Some(("file", path))) => field.parsed(report, |_| absolute_path(path)).map(Ready::File),
        (_, Some(("command", command))) => {
            let words = field.parsed(report, |_| shell::split(command))?;
            Some(Ready::Command(words.into_iter().map(Into::into).collect()))
        }
        (_, Some(("expect", text))) => {
            let expect = field.parsed(report, |_| expect(text))?;
            Some(Ready::Expect { send: Vec::new(), expect })
        }
        _ => {
            field.parsed(report, |_| {
                Err::<(), _>("write connect, notify, healthy, file:PATH, command:COMMAND or expect:TEXT")
            });
            None
        }
    }
}

fn expect(text: &str) -> Result<Vec<u8>, &'static str> {
    if text.is_empty() { Err("something has to be expected; for example +PONG") } else { Ok(text.into()) }
}

pub(super) fn hold(section: Option<&Section<'_>>, report: &mut Report) -> Hold {
    let get = |name| section.and_then(|section| section.get(name));
    let timeout = get("timeout").and_then(|field| field.span(report));
    let max = get("max").and_then(|field| hold_max(&field, report));
    let overflow = get("overflow").and_then(|field| field.choice(&AT_LIMIT, report));
    Hold {
        timeout: timeout.unwrap_or(TimeSpan::from_secs(30)),
        max: max.unwrap_or(HELD),
        overflow: overflow.unwrap_or(AtLimit::Refuse),
    }
}

fn hold_max(field: &Field<'_>, report: &mut Report) -> Option<NonZeroU32> {
    let zero = match &field.node.value {
        Value::Integer(number) => *number == Some(0),
        Value::Text(text) => field.place().is_flag() && text == "0",
        _ => false,
    };
    if zero {
        let instead = field.place().write("hold.timeout", "\"0\"");
        report.error(
            field.place(),
            format!("at least 1 is held; to turn clients away at once write {instead}"),
        );
        return None;
    }
    field.count(report)
}

/// How many are held unless told.
const HELD: NonZeroU32 = match NonZeroU32::new(1024) {
    Some(number) => number,
    None => NonZeroU32::MIN,
};

/// Reads when it sleeps.
pub(super) fn idle(field: Option<&Field<'_>>, report: &mut Report) -> Idle {
    const STOP: Duration = Duration::from_secs(5 * 60);
    let mut idle = Idle {
        stop: Some(STOP),
        freeze: None,
        quiet: None,
        minimum_uptime: Duration::from_secs(60),
        keep_warm: Vec::new(),
    };
    let Some(field) = field else { return idle };
    let Some(section) = Section::open(field.node, "idle", keys::SERVICE, report) else {
        if matches!(field.node.value, Value::Text(_) | Value::Integer(_)) {
            idle.stop = field.span(report).map_or(idle.stop, TimeSpan::finite);
        } else {
            field.wrong_kind(report);
        }
        return idle;
    };
    let mut span = |name| section.get(name).and_then(|field| field.span(report));
    idle.stop = span("stop").map_or(idle.stop, TimeSpan::finite);
    idle.freeze = span("freeze").and_then(TimeSpan::finite);
    idle.quiet = span("quiet").and_then(TimeSpan::finite);
    if let Some(uptime) = section.get("minimum_uptime") {
        idle.minimum_uptime = uptime.duration(report).unwrap_or(idle.minimum_uptime);
    }
    if let (Some(field), Some(freeze), Some(stop)) = (section.get("freeze"), idle.freeze, idle.stop) {
        if freeze >= stop {
            let by = field.place().call("idle.stop");
            let stop = TimeSpan::Finite(stop);
            let message =
                format!("it would be stopped before it is frozen; stay below {by}, which is {stop}");
            report.error(field.place(), message);
        }
    }
    if let (Some(field), Some(Duration::ZERO)) = (section.get("quiet"), idle.quiet) {
        report.error(field.place(), "no session would count as use; write for example 15min, or infinity");
    }
    if let Some(field) = section.get("keep_warm") {
        idle.keep_warm = field.several(report, str::parse);
        if is_open(&idle.keep_warm, 0, 0) && minutes_until_change(&idle.keep_warm, 0, 0).is_none() {
            let instead = field.place().write("idle.stop", "\"infinity\"");
            report
                .warning(field.place(), format!("covers the whole week: it never sleeps; {instead} says so"));
        }
    }
    idle
}

pub(super) fn timeouts(section: Option<&Section<'_>>, report: &mut Report) -> Timeouts {
    const HEADER: Duration = Duration::from_secs(5);
    let get = |name| section.and_then(|section| section.get(name));
    let mut limit = |name, default| {
        let span = get(name).and_then(|field| field.span(report)).unwrap_or(default);
        // A limit of zero would end every session; as elsewhere with systemd, zero switches it off.
        span.finite().filter(|span| !span.is_zero())
    };
    let connect = limit("connect", TimeSpan::from_secs(5));
    let limits = Limits {
        half_close: limit("half_close", TimeSpan::from_secs(60)),
        idle: limit("idle", TimeSpan::Infinite),
        client: limit("client", TimeSpan::Infinite),
        server: limit("server", TimeSpan::Infinite),
        client_fin: limit("client_fin", TimeSpan::Infinite),
        server_fin: limit("server_fin", TimeSpan::Infinite),
        tunnel: limit("tunnel", TimeSpan::Infinite),
        session: limit("session", TimeSpan::Infinite),
    };
    let proxy_header = get("proxy_header").and_then(|field| {
        let patience = field.duration(report)?;
        if patience.is_zero() {
            report.error(field.place(), "no header comes in no time; write for example 5s");
        }
        Some(patience)
    });
    Timeouts { connect, proxy_header: proxy_header.unwrap_or(HEADER), limits }
}
