//! `show services`: the JSON, which is also that of /status.json, and the lines.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use dormouse_core::activation::State;
use dormouse_log::{Utc, json_escaped};
use dormouse_proxy::stats::wake::WokenBy;
use serde_json::{Value, json};

use super::next_action::next_action;
use super::running::{Running, RunningServer, RunningService};
use super::state::{server_state, service_state};

/// Returns the process without its services.
pub(super) fn process(running: &Running) -> Value {
    let counters = &running.stats.counters;
    let uptime = running.uptime();
    json!({
        "program": "dormouse",
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "started": Utc(running.started).to_string(),
        "uptime_seconds": uptime.as_secs(),
        "ending": running.stats.is_shutting_down(),
        "sessions": {
            "current": counters.open.get(),
            "max": counters.max.get(),
            "total": counters.accepted.get(),
            "rate": counters.rate.now(uptime),
            "unserved": counters.unserved.get(),
            "refused": counters.refused.get(),
            "limit": running.fd_limits.max_sessions(),
        },
        "bytes": { "in": counters.bytes_in.get(), "out": counters.bytes_out.get() },
    })
}

/// Returns one service as JSON.
pub(super) fn json(service: &RunningService) -> String {
    json_escaped(&service_value(service).to_string())
}

fn service_value(service: &RunningService) -> Value {
    let service_stats = service.stats();
    let counters = &service_stats.counters;
    let (state, since) = service_state(service);
    let servers: Vec<Value> = service.servers().map(|server| server_value(&server)).collect();
    json!({
        "name": service.name,
        "state": state,
        "since_seconds": since.as_secs(),
        "listen": service.listen,
        "sessions": {
            "current": counters.open.get(),
            "max": counters.max.get(),
            "total": counters.accepted.get(),
            "rate": counters.rate.now(service.stats().start_time.elapsed()),
            "rate_max": counters.rate.max(),
            "unserved": counters.unserved.get(),
            "refused": counters.refused.get(),
            "limit": service.admission.cap(),
        },
        "waiting": counters.waiting(),
        "bytes": { "in": counters.bytes_in.get(), "out": counters.bytes_out.get() },
        "servers": servers,
    })
}

fn server_value(server: &RunningServer<'_>) -> Value {
    let counters = server.counters;
    let count = |get: fn(&dormouse_proxy::stats::counters::ServerCounters) -> u64| counters.map_or(0, get);
    let mut value = json!({
        "name": server.name,
        "address": server.address,
        "admin": server.admin().to_string(),
        "state": server_state(server),
        "since_seconds": server.since().as_secs(),
        "weight": server.weight(),
        "backup": server.is_backup(),
        "checked": server.view.as_ref().is_some_and(|view| view.is_checked),
        "last_check": server.view.as_ref().and_then(|view| Some(view.last_check.as_ref()?.text.clone())),
        "sessions": {
            "current": count(|counters| counters.open.get()),
            "max": count(|counters| counters.max.get()),
            "total": count(|counters| counters.sessions.get()),
        },
        "bytes": {
            "in": count(|counters| counters.bytes_in.get()),
            "out": count(|counters| counters.bytes_out.get()),
        },
    });
    let (Some(wakeable), Some(object)) = (server.wakeable(), value.as_object_mut()) else { return value };
    let now = Instant::now();
    let (state, _, cold_start) = wakeable.state();
    let snapshot = wakeable.snapshot();
    let counters = &wakeable.counters;
    let woken = wakeable.woken();
    let next = next_action(&snapshot, state, server.stop_verb, now);
    let wakes: serde_json::Map<String, Value> =
        WokenBy::ALL.iter().map(|by| (by.name().to_owned(), counters.wakes(*by).into())).collect();
    let spent: serde_json::Map<String, Value> =
        State::ALL.iter().map(|state| (state.to_string(), seconds(counters.spent(*state, now)))).collect();
    let more = json!({
        "waiting": wakeable.load().1,
        "shares_workload_with": wakeable.sharers().into_iter().map(|sharer| sharer.name).collect::<Vec<_>>(),
        "waiting_max": counters.max_held.get(),
        "in_use": snapshot.in_use,
        "foreign": snapshot.foreign,
        "kept_warm": snapshot.keep_warm,
        "cold_start_seconds": cold_start.map(seconds),
        "starts": counters.cold_starts.count(),
        "failed_starts": counters.failed_starts.get(),
        "freezes": counters.freezes.get(),
        "holds": counters.holds.count(),
        "holds_in_vain": counters.failed_holds.get(),
        "reason": wakeable.reason().map(|reason| reason.to_string()),
        "woken_by": woken.as_ref().map(ToString::to_string),
        "woken_at": woken.as_ref().map(|woken| Utc(woken.at).to_string()),
        "wakes": wakes,
        "seconds_in_state": spent,
        "next": next.as_ref().map(|next| next.what),
        "next_seconds": next.and_then(|next| next.at).map(|at| at.saturating_duration_since(now).as_secs()),
    });
    if let Value::Object(more) = more {
        object.extend(more);
    }
    value
}

fn seconds(span: Duration) -> Value {
    Value::from((span.as_secs_f64() * 1000.0).round() / 1000.0)
}

/// Writes the line of a service in `show services`.
pub(super) fn line(service: &RunningService, text: &mut String) {
    let (state, since) = service_state(service);
    let counters = &service.stats().counters;
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "{} {state} {} {} {} {}",
        service.name,
        since.as_secs(),
        counters.open.get(),
        counters.waiting(),
        counters.accepted.get()
    );
}

/// The header line of `show services`.
pub(super) const HEAD: &str = "# name state since sessions waiting total\n";
