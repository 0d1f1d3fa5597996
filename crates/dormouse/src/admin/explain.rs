//! `explain NAME`: why a server is awake or asleep, which client woke it, what keeps it awake, and what happens next.

use std::fmt::Write as _;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use dormouse_core::activation::{Eviction, Snapshot, State};
use dormouse_core::control::{AdminState, Selector};
use dormouse_core::pool::SlotState;
use dormouse_core::timespan::TimeSpan;
use dormouse_log::Escaped;
use dormouse_proxy::upstream::WakeableServer;
use dormouse_sys::local_time::{self, LocalTime};

use super::next_action::next_action;
use super::running::{Running, RunningServer, RunningService, servers_of};
use super::shared::Sharers;
use super::steer::{end_of_drain, end_of_maintenance};

/// Returns the whole answer.
pub(super) fn explain(running: &Running, selector: &Selector) -> String {
    let services = running.services();
    let (service, servers) = match servers_of(&services, selector) {
        Ok(found) => found,
        Err(missing) => return format!("{}\n", missing.text()),
    };
    let mut text = String::new();
    let is_vacant = |server: &RunningServer<'_>| server.slot_state() == SlotState::Empty;
    let (vacant, servers): (Vec<_>, Vec<_>) = servers.into_iter().partition(is_vacant);
    // Several vacant slots share one line.
    let (single_vacant, vacant_count) =
        if vacant.len() > 1 { (Vec::new(), vacant.len()) } else { (vacant, 0) };
    for server in servers.into_iter().chain(single_vacant) {
        let name = match service.servers().nth(1) {
            Some(_) => format!("{}/{}", service.name, server.name),
            None => service.name.clone(),
        };
        let mut sentences = match (server.wakeable(), server.slot_state()) {
            (Some(wakeable), _) => of_workload(running, service, &server, wakeable),
            (None, SlotState::Empty) => vec!["is vacant: the DNS name has no address for it".to_owned()],
            (None, _) if server.admin() == AdminState::Maint => {
                vec![
                    format!("has been in maintenance for {}: it gets no sessions", span(server.since())),
                    end_of_maintenance(&service.name, &server),
                ]
            }
            (None, _) if server.is_down() => {
                vec![format!(
                    "has been down for {}: health checks of {} fail",
                    span(server.since()),
                    server.address
                )]
            }
            (None, _) => {
                vec![format!(
                    "has been up for {}: dormouse does not start {}",
                    span(server.since()),
                    server.address
                )]
            }
        };
        let check = server.view.as_ref().and_then(|view| view.last_check.as_ref());
        if let Some(check) = check.filter(|check| server.is_down() && !check.text.is_empty()) {
            sentences.push(format!("its last check: {}", check.text));
        }
        match (server.admin(), server.slot_state()) {
            (AdminState::Ready, _) | (_, SlotState::Empty) => {}
            (_, SlotState::Draining) => {
                sentences.push("the DNS name no longer has it: it gets no new sessions".to_owned());
            }
            (AdminState::Drain, _) => {
                sentences.push("an administrator drains it: it gets no new sessions".to_owned());
                sentences.push(end_of_drain(&name));
            }
            (AdminState::Maint, _) if server.wakeable().is_none() => {}
            (AdminState::Maint, _) => {
                sentences.push("it is in maintenance: it gets no sessions".to_owned());
                sentences.push(end_of_maintenance(&service.name, &server));
            }
        }
        for (number, line) in sentences.iter().enumerate() {
            let indent = if number == 0 { name.as_str() } else { " " };
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{indent} {}{}", Escaped(line), full_stop(line));
        }
    }
    if vacant_count > 0 {
        let _ = writeln!(
            text,
            "{} has {vacant_count} vacant slots: the DNS names have no addresses for them.",
            service.name
        );
    }
    text
}

/// Returns the sentences about a server with a workload.
fn of_workload(
    running: &Running,
    service: &RunningService,
    server: &RunningServer<'_>,
    wakeable: &WakeableServer,
) -> Vec<String> {
    let (now, (state, since, cold_start)) = (Instant::now(), wakeable.state());
    let snapshot = wakeable.snapshot();
    let since = now.saturating_duration_since(since);
    let mut sentences = vec![match state {
        State::Failed => format!("failed {} ago", span(since)),
        _ => format!("has been {state} for {}", span(since)),
    }];
    if server.is_down() {
        sentences.push(format!(
            "it has been down for {}: health checks of {} fail",
            span(server.since()),
            server.address
        ));
    }
    if let Some(woken) = wakeable.woken() {
        let took = match cold_start {
            Some(took) => format!(", and the last start took {:.3} s", took.as_secs_f64()),
            None => String::new(),
        };
        sentences.push(format!("it was last woken by {woken}, at {}{took}", local(woken.at)));
    } else if snapshot.foreign {
        sentences.push("it was not started by dormouse".to_owned());
    } else if state == State::Stopped {
        sentences.push("it has not been started yet; the next client starts it".to_owned());
    }
    if let Some(reason) = wakeable.reason() {
        sentences.push(format!("its last start or end: {reason}"));
    }
    let sharers = Sharers::of(wakeable);
    if let Some(others) = sharers.others() {
        sentences.push(format!("it shares its workload with {others}, and sleeps when all of them are idle"));
    }
    sentences.extend(kept_awake_by(running, service, &sharers, &snapshot, state, now));
    sentences.push(next_step(&snapshot, state, server, &sharers, now));
    sentences
}

/// Returns the reasons that keep the workload awake.
fn kept_awake_by(
    running: &Running,
    service: &RunningService,
    sharers: &Sharers,
    snapshot: &Snapshot,
    state: State,
    now: Instant,
) -> Vec<String> {
    let mut sentences = Vec::new();
    if snapshot.held > 0 {
        sentences.push(format!("{}{}", clients(snapshot.held), sharers.of_each(|sharer| sharer.held)));
    }
    if snapshot.leases > 0 {
        let quiet = match snapshot.leases - snapshot.in_use.min(snapshot.leases) {
            0 => String::new(),
            quiet => format!(", {quiet} of them quiet, which does not count"),
        };
        let of_each = sharers.of_each(|sharer| sharer.leases);
        sentences.push(format!("{} held by {}{of_each}{quiet}", is_awake(state), sessions(snapshot.leases)));
        sentences.extend(oldest(running, service, sharers));
    }
    if snapshot.keep_warm {
        sentences.push("it is kept warm at this time of day (keep_warm)".to_owned());
    }
    if !snapshot.may_stop && matches!(state, State::Ready | State::Idle | State::Frozen) {
        let stop_foreign = service.shared.spelling.call("wake.stop_foreign");
        sentences.push(format!(
            "dormouse did not start it, so it is not stopped; stop it yourself (and disable a unit that is enabled), or set \
             {stop_foreign}"
        ));
    }
    let evicted = |reason| snapshot.evictions.contains(reason) && matches!(state, State::Ready | State::Idle);
    if evicted(Eviction::ExclusiveGroup) {
        sentences.push("another service of its group waits to start (exclusive)".to_owned());
    }
    if evicted(Eviction::ConfigChanged) {
        sentences
            .push("a reload changed how it is started, so it stops as soon as no session uses it".to_owned());
    }
    if snapshot.minimum_uptime_ends > now && state == State::Idle {
        let left = span(snapshot.minimum_uptime_ends.saturating_duration_since(now));
        sentences.push(format!("it stays awake for {left} because of its minimum uptime"));
    }
    sentences
}

fn is_awake(state: State) -> &'static str {
    if matches!(state, State::Ready | State::Idle) { "it is kept awake," } else { "it is" }
}

/// Returns the oldest session of a workload, if it is among the oldest sessions of the process.
fn oldest(running: &Running, service: &RunningService, sharers: &Sharers) -> Option<String> {
    const LIMIT: usize = 1024;
    let entries = running.sessions()?.after(0, LIMIT);
    let oldest = entries
        .iter()
        .find(|entry| entry.server().is_some_and(|server| sharers.has(&entry.service, &server.name)))?;
    let of = if *oldest.service == *service.name { String::new() } else { format!(" of {}", oldest.service) };
    Some(format!(
        "the oldest is 0x{:x}{of} from {}, {} old",
        oldest.id,
        oldest.client,
        span(oldest.began.elapsed())
    ))
}

/// Returns the sentence about what happens next.
fn next_step(
    snapshot: &Snapshot,
    state: State,
    server: &RunningServer<'_>,
    sharers: &Sharers,
    now: Instant,
) -> String {
    let (admin, stops) = (server.admin(), server.stop_verb);
    let after =
        |span: Option<Duration>| span.map(|after| TimeSpan::Finite(after).to_string()).unwrap_or_default();
    match (next_action(snapshot, state, stops, now), state) {
        (Some(next), _) => match next.at {
            Some(at) => format!("next: it {} in {}", next.what, span(at.saturating_duration_since(now))),
            None if !snapshot.evictions.is_empty() => {
                format!("next: it {stops} when the last session has ended")
            }
            None => {
                let after =
                    after(if next.what == "freezes" { snapshot.freeze_after } else { snapshot.stop_after });
                format!("next: it {} {after} after the last session", next.what)
            }
        },
        (None, State::Stopped) if admin == AdminState::Ready => {
            "next: it starts when a client comes".to_owned()
        }
        (None, State::Failed) if admin == AdminState::Ready => "next: the next client starts it".to_owned(),
        // The others are not drained.
        (None, State::Stopped | State::Failed)
            if sharers.others().is_some() && !snapshot.evictions.contains(Eviction::Admin) =>
        {
            "next: it starts when a client of another service comes".to_owned()
        }
        (None, State::Freezing) => "next: it is frozen".to_owned(),
        (None, State::Thawing) => "next: it is awake".to_owned(),
        (None, State::Stopping) => "next: it is stopped".to_owned(),
        (None, State::Stopped | State::Failed) => match admin {
            AdminState::Maint => "next: it stays as it is until the maintenance ends".to_owned(),
            AdminState::Ready | AdminState::Drain => {
                "next: it stays as it is until the drain ends".to_owned()
            }
        },
        (None, _) => "next: it stays as it is".to_owned(),
    }
}

fn clients(number: usize) -> String {
    if number == 1 { "1 client waits for it".to_owned() } else { format!("{number} clients wait for it") }
}

fn sessions(number: usize) -> String {
    if number == 1 { "1 session".to_owned() } else { format!("{number} sessions") }
}

/// Returns the full stop that a sentence lacks. A message of another program may already end with one.
fn full_stop(sentence: &str) -> &'static str {
    if sentence.ends_with(['.', '?', '!']) { "" } else { "." }
}

/// Formats a moment in local time, to the second.
fn local(moment: SystemTime) -> String {
    let seconds = moment.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    match i64::try_from(seconds).ok().and_then(local_time::from_unix) {
        Some(LocalTime { year, month, day, hour, minute, second }) => {
            format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
        }
        None => "an unknown time".to_owned(),
    }
}

/// Formats a span: the shorter it is, the more precisely.
fn span(span: Duration) -> String {
    let millis = span.as_millis();
    match (millis / 1000, millis % 1000 / 100) {
        (0, _) if millis == 0 => "0s".to_owned(),
        (0, _) => format!("{millis}ms"),
        (seconds @ 1..10, tenths @ 1..) => format!("{seconds}.{tenths}s"),
        _ => TimeSpan::Finite(Duration::from_secs(span.as_secs())).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_end_once() {
        for (sentence, end) in
            [("it is", "."), ("is it?", ""), ("it is.", ""), ("no (is it?)", "."), ("", ".")]
        {
            assert_eq!(full_stop(sentence), end, "{sentence}");
        }
    }

    #[test]
    fn spans_are_rounded() {
        for (micros, text) in [
            (0, "0s"),
            (900, "0s"),
            (293_999, "293ms"),
            (1_000_000, "1s"),
            (1_050_000, "1s"),
            (6_293_000, "6.2s"),
            (9_999_999, "9.9s"),
            (10_900_000, "10s"),
            (90_500_000, "1min 30s"),
        ] {
            assert_eq!(span(Duration::from_micros(micros)), text);
        }
    }
}
