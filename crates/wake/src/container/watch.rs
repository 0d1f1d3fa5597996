//! Hints that something may have happened to a container: its engine's events, and the end of its process.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use tokio::time::{Instant, sleep_until};

use super::engine::{Engine, EngineError, Following, encode};
use super::process::Process;

/// What may have happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hint {
    /// Something: ask the engine.
    Look,
    /// Its process has ended; the engine may not know yet.
    Ended,
    /// Its health check fails.
    Unhealthy,
}

/// After the engine's events broke off, they are asked for again after so long, growing to [`SLOWEST`].
const QUICKEST: Duration = Duration::from_millis(100);
const SLOWEST: Duration = Duration::from_secs(10);
/// An engine that has no events is looked at so often.
const WITHOUT_EVENTS: Duration = Duration::from_secs(5);
/// What is kept of an unfinished line; an event has about a thousand bytes.
const LINE: usize = 1 << 16;

/// What watches a container.
#[derive(Debug)]
pub(super) struct Watch {
    path: String,
    events: Option<Events>,
    process: Option<(u32, Process)>,
    /// When to ask for events next, where there are none.
    again: Instant,
    pause: Duration,
}

#[derive(Debug)]
struct Events {
    following: Following,
    unfinished: Vec<u8>,
}

impl Watch {
    pub(super) fn new(name: &str) -> Self {
        let filters = serde_json::json!({ "container": [name], "type": ["container"] });
        Self {
            path: format!("/events?filters={}", encode(&filters.to_string())),
            events: None,
            process: None,
            again: Instant::now(),
            pause: QUICKEST,
        }
    }

    /// The process to watch now, if it can be told from others.
    pub(super) fn follow_process(&mut self, pid: Option<u32>, id: &str) {
        match (pid, &self.process) {
            (Some(pid), Some((watched, _))) if pid == *watched => {}
            (Some(pid), _) => self.process = Process::of(pid, id).map(|process| (pid, process)),
            (None, _) => self.process = None,
        }
    }

    /// Waits for the next hint. Nothing is lost when it is dropped.
    pub(super) async fn next(&mut self, engine: &mut Engine) -> Hint {
        loop {
            tokio::select! {
                () = ended(self.process.as_ref()) => {
                    self.process = None;
                    return Hint::Ended;
                }
                piece = next_piece(self.events.as_mut()) => {
                    let Some(piece) = piece else {
                        self.events = None;
                        self.later();
                        continue;
                    };
                    if let Some(hint) = self.take(&piece) {
                        return hint;
                    }
                }
                opened = open(engine, &self.path, self.again), if self.events.is_none() => match opened {
                    Ok(following) => {
                        self.events = Some(Events { following, unfinished: Vec::new() });
                        return Hint::Look;
                    }
                    Err(EngineError::Said(..)) => {
                        self.again = Instant::now() + WITHOUT_EVENTS;
                        return Hint::Look;
                    }
                    Err(_) => self.later(),
                },
            }
        }
    }

    fn later(&mut self) {
        self.again = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(SLOWEST);
    }

    fn take(&mut self, piece: &[u8]) -> Option<Hint> {
        self.pause = QUICKEST;
        let events = self.events.as_mut()?;
        let mut hint = None;
        for line in piece.split_inclusive(|byte| *byte == b'\n') {
            events.unfinished.extend_from_slice(line);
            if events.unfinished.len() > LINE {
                events.unfinished.clear();
                hint = Some(Hint::Look);
            } else if line.ends_with(b"\n") {
                let said = meaning(&events.unfinished);
                events.unfinished.clear();
                // What happened to it matters more than how it felt meanwhile.
                hint = if hint == Some(Hint::Look) { hint } else { said.or(hint) };
            }
        }
        hint
    }
}

async fn ended(process: Option<&(u32, Process)>) {
    match process {
        Some((_, process)) => process.ended().await,
        None => std::future::pending().await,
    }
}

async fn next_piece(events: Option<&mut Events>) -> Option<hyper::body::Bytes> {
    match events {
        Some(events) => events.following.next().await,
        None => std::future::pending().await,
    }
}

async fn open(engine: &mut Engine, path: &str, at: Instant) -> Result<Following, EngineError> {
    sleep_until(at).await;
    // From a moment ago on: an engine may begin to listen after it has begun to answer.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs().saturating_sub(1);
    engine.follow(&format!("{path}&since={since}")).await
}

/// What an event says; `None` if it changes nothing.
fn meaning(line: &[u8]) -> Option<Hint> {
    #[derive(Deserialize)]
    struct Event<'a> {
        #[serde(rename = "Action", borrow)]
        action: std::borrow::Cow<'a, str>,
        #[serde(rename = "HealthStatus", default, borrow)]
        health: std::borrow::Cow<'a, str>,
    }
    const CHANGES: [&str; 12] = [
        "start", "die", "died", "exited", "stop", "pause", "unpause", "restart", "remove", "destroy", "oom",
        "cleanup",
    ];
    if line.trim_ascii().is_empty() {
        return None;
    }
    let Ok(event) = serde_json::from_slice::<Event<'_>>(line) else { return Some(Hint::Look) };
    if let Some(status) = event.action.strip_prefix("health_status") {
        // Docker writes it behind the action, Podman beside it.
        let unhealthy = status.ends_with("unhealthy") || event.health == "unhealthy";
        return Some(if unhealthy { Hint::Unhealthy } else { Hint::Look });
    }
    CHANGES.contains(&event.action.as_ref()).then_some(Hint::Look)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_both_engines() {
        let of = |text: &str| meaning(text.as_bytes());
        assert_eq!(of(r#"{"Action":"die","Type":"container"}"#), Some(Hint::Look));
        assert_eq!(of(r#"{"Action":"exec_died"}"#), None);
        assert_eq!(of(r#"{"Action":"exec_create: /bin/sh"}"#), None);
        assert_eq!(of(r#"{"Action":"health_status: unhealthy"}"#), Some(Hint::Unhealthy));
        assert_eq!(of(r#"{"Action":"health_status: healthy"}"#), Some(Hint::Look));
        assert_eq!(of(r#"{"Action":"health_status","HealthStatus":"unhealthy"}"#), Some(Hint::Unhealthy));
        assert_eq!(of("\n"), None);
        assert_eq!(of("nonsense"), Some(Hint::Look));
    }
}
