//! The smaller tables of a service: `ready`, `hold`, `idle`, `timeout`.

use std::num::NonZeroU32;
use std::time::Duration;

use dormouse_core::schedule::{is_open, minutes_until_change};
use dormouse_core::timespan::TimeSpan;
use dormouse_relay::Limits;

use super::keys;
use super::model::{Hold, Idle, Ready, Timeouts};
use super::quote::quoted;
use super::report::Report;
use super::shell;
use super::suggest::nearest_choice;
use super::tree::Value;
use super::value::{Field, Section, absolute_path};
use crate::defaults;
use crate::limit::AtLimit;

/// The words for the treatment of clients beyond a limit.
pub(super) const AT_LIMIT: [(&str, AtLimit); 2] = [("refuse", AtLimit::Refuse), ("queue", AtLimit::Queue)];

/// Opens a field that must be a table.
pub(super) fn table<'a>(field: &Field<'a>, report: &mut Report) -> Option<Section<'a>> {
    let section = Section::open(field.node, field.key.path, keys::SERVICE, report);
    if section.is_none() {
        field.wrong_kind(report);
    }
    section
}

/// Reads when a workload is ready, and the `settle` of that table.
pub(super) fn ready(field: &Field<'_>, report: &mut Report) -> (Option<Ready>, Option<Duration>) {
    let Some(section) = Section::open(field.node, "ready", keys::SERVICE, report) else {
        return (ready_text(field, report), None);
    };
    let settle = section.get("settle").and_then(|field| field.duration(report));
    let ways: Vec<_> = ["file", "command", "expect"].iter().filter_map(|way| section.get(way)).collect();
    if let [first, others @ ..] = ways.as_slice() {
        for other in others {
            let message = format!("conflicts with {}; keep only one", first.key.path);
            report.error(other.place(), message);
        }
    }
    let send = section.get("send");
    if let (Some(send), None) = (&send, section.get("expect")) {
        report.error(send.place(), "requires expect; add for example expect = \"+PONG\"");
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
            field.parsed(report, |_| Err::<(), _>(no_way_to_be_ready(text)));
            None
        }
    }
}

/// Returns why a text does not tell when a workload is ready.
fn no_way_to_be_ready(text: &str) -> String {
    let meant = match text.split_once(':') {
        None => nearest_choice(text, ["connect", "notify", "healthy"]).map(str::to_owned),
        Some((way, rest)) => {
            nearest_choice(way, ["file", "command", "expect"]).map(|way| quoted(&format!("{way}:{rest}")))
        }
    };
    meant.map_or_else(
        || "write connect, notify, healthy, file:PATH, command:COMMAND or expect:TEXT".to_owned(),
        |meant| format!("did you mean {meant}?"),
    )
}

fn expect(text: &str) -> Result<Vec<u8>, &'static str> {
    if text.is_empty() { Err("the expected text is empty; write for example +PONG") } else { Ok(text.into()) }
}

pub(super) fn hold(section: Option<&Section<'_>>, report: &mut Report) -> Hold {
    let get = |name| section.and_then(|section| section.get(name));
    let timeout = get("timeout").and_then(|field| field.span(report));
    let max = get("max").and_then(|field| hold_max(&field, report));
    let overflow = get("overflow").and_then(|field| field.choice(&AT_LIMIT, report));
    let defaults = Hold::default();
    Hold {
        timeout: timeout.unwrap_or(defaults.timeout),
        max: max.unwrap_or(defaults.max),
        overflow: overflow.unwrap_or(defaults.overflow),
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
            format!("must be at least 1; to turn clients away at once, write {instead}"),
        );
        return None;
    }
    field.count(report)
}

/// Reads when a workload is frozen and stopped.
pub(super) fn idle(field: Option<&Field<'_>>, report: &mut Report) -> Idle {
    let mut idle = Idle::default();
    let Some(field) = field else { return idle };
    let Some(section) = Section::open(field.node, "idle", keys::SERVICE, report) else {
        if matches!(field.node.value, Value::Text(_) | Value::Integer(_)) {
            idle.stop = field.span(report).map_or(idle.stop, TimeSpan::finite);
            idle.minimum_uptime = defaults::minimum_uptime(idle.stop, idle.freeze);
        } else {
            field.wrong_kind(report);
        }
        return idle;
    };
    let mut span = |name| section.get(name).and_then(|field| field.span(report));
    let stop = span("stop");
    idle.stop = stop.map_or(idle.stop, TimeSpan::finite);
    idle.freeze = span("freeze").map_or(idle.freeze, TimeSpan::finite);
    idle.quiet = span("quiet").map_or(idle.quiet, TimeSpan::finite);
    let uptime = section.get("minimum_uptime").and_then(|uptime| uptime.duration(report));
    idle.minimum_uptime = uptime.unwrap_or_else(|| defaults::minimum_uptime(idle.stop, idle.freeze));
    // A value of stop that is not a time span says nothing about freeze.
    let known_stop = idle.stop.filter(|_| stop.is_some() || section.get("stop").is_none());
    if let (Some(field), Some(freeze), Some(stop)) = (section.get("freeze"), idle.freeze, known_stop) {
        if freeze >= stop {
            let by = field.place().call("idle.stop");
            let stop = TimeSpan::Finite(stop);
            let message =
                format!("must be less than {by} ({stop}), because a stopped workload cannot be frozen");
            report.error(field.place(), message);
        }
    }
    if let (Some(field), Some(Duration::ZERO)) = (section.get("quiet"), idle.quiet) {
        report.error(field.place(), "must be greater than zero, for example 15min or infinity");
    }
    if let Some(field) = section.get("keep_warm") {
        idle.keep_warm = field.several(report, str::parse);
        if is_open(&idle.keep_warm, 0, 0) && minutes_until_change(&idle.keep_warm, 0, 0).is_none() {
            let instead = field.place().write("idle.stop", "\"infinity\"");
            report.warning(
                field.place(),
                format!("covers the whole week, so that the workload never stops; write {instead} instead"),
            );
        }
    }
    idle
}

pub(super) fn timeouts(section: Option<&Section<'_>>, report: &mut Report) -> Timeouts {
    let defaults = Timeouts::default();
    let get = |name| section.and_then(|section| section.get(name));
    let mut limit = |name, default| {
        let Some(span) = get(name).and_then(|field| field.span(report)) else { return default };
        // Zero disables a timeout, as in systemd, because it would end every session.
        span.finite().filter(|span| !span.is_zero())
    };
    let connect = limit("connect", defaults.connect);
    let Limits { half_close, idle, client, server, client_fin, server_fin, tunnel, session } =
        defaults.limits;
    let limits = Limits {
        half_close: limit("half_close", half_close),
        idle: limit("idle", idle),
        client: limit("client", client),
        server: limit("server", server),
        client_fin: limit("client_fin", client_fin),
        server_fin: limit("server_fin", server_fin),
        tunnel: limit("tunnel", tunnel),
        session: limit("session", session),
    };
    let proxy_header = get("proxy_header").and_then(|field| {
        let timeout = field.duration(report)?;
        if timeout.is_zero() {
            report.error(field.place(), "must be greater than zero, for example 5s");
        }
        Some(timeout)
    });
    Timeouts { connect, proxy_header: proxy_header.unwrap_or(defaults.proxy_header), limits }
}
