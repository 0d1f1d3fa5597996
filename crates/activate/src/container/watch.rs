//! Hints that a container may have changed: the events of its engine, and the end of its process.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use tokio::time::{Instant, sleep_until};

use super::engine::{Engine, ResponseStream, encode};
use super::engine_error::EngineError;
use super::process::Process;

/// A hint that the container may have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hint {
    /// The container may have changed: inspect it.
    Changed,
    /// The main process has ended. The engine may not have noticed yet.
    ProcessEnded,
    /// The health check fails.
    Unhealthy,
}

/// The first pause before a new request for events, after the stream has ended.
const MIN_PAUSE: Duration = Duration::from_millis(100);
/// The longest such pause.
const MAX_PAUSE: Duration = Duration::from_secs(10);
/// The interval of inspections with an engine that rejects requests for events.
const POLL_INTERVAL: Duration = Duration::from_secs(5);
/// The longest event, in bytes. An event usually has about a thousand bytes.
const MAX_EVENT: usize = 1 << 16;

/// Watches one container.
#[derive(Debug)]
pub(super) struct Watch {
    path: String,
    events: Option<Events>,
    process: Option<(u32, Process)>,
    /// The time of the next request for events, while there is no stream.
    retry_at: Instant,
    pause: Duration,
}

#[derive(Debug)]
struct Events {
    stream: ResponseStream,
    partial: Vec<u8>,
}

impl Watch {
    pub(super) fn new(name: &str) -> Self {
        let filters = serde_json::json!({ "container": [name], "type": ["container"] });
        Self {
            path: format!("/events?filters={}", encode(&filters.to_string())),
            events: None,
            process: None,
            retry_at: Instant::now(),
            pause: MIN_PAUSE,
        }
    }

    /// Sets the main process to watch, if it certainly belongs to the container `id`.
    pub(super) fn follow_process(&mut self, pid: Option<u32>, id: &str) {
        match (pid, &self.process) {
            (Some(pid), Some((watched, _))) if pid == *watched => {}
            (Some(pid), _) => self.process = Process::open(pid, id).map(|process| (pid, process)),
            (None, _) => self.process = None,
        }
    }

    /// Waits for the next hint. Cancel safe.
    pub(super) async fn next(&mut self, engine: &mut Engine) -> Hint {
        loop {
            tokio::select! {
                () = process_ended(self.process.as_ref()) => {
                    self.process = None;
                    return Hint::ProcessEnded;
                }
                chunk = next_chunk(self.events.as_mut()) => {
                    let Some(chunk) = chunk else {
                        self.events = None;
                        self.schedule_retry();
                        continue;
                    };
                    if let Some(hint) = self.handle_chunk(&chunk) {
                        return hint;
                    }
                }
                opened = open_events(engine, &self.path, self.retry_at), if self.events.is_none() => match opened {
                    Ok(stream) => {
                        self.events = Some(Events { stream, partial: Vec::new() });
                        return Hint::Changed;
                    }
                    Err(EngineError::Rejected(..)) => {
                        self.retry_at = Instant::now() + POLL_INTERVAL;
                        return Hint::Changed;
                    }
                    Err(_) => self.schedule_retry(),
                },
            }
        }
    }

    fn schedule_retry(&mut self) {
        self.retry_at = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(MAX_PAUSE);
    }

    fn handle_chunk(&mut self, chunk: &[u8]) -> Option<Hint> {
        self.pause = MIN_PAUSE;
        let events = self.events.as_mut()?;
        let mut hint = None;
        for line in chunk.split_inclusive(|byte| *byte == b'\n') {
            events.partial.extend_from_slice(line);
            if events.partial.len() > MAX_EVENT {
                events.partial.clear();
                hint = Some(Hint::Changed);
            } else if line.ends_with(b"\n") {
                let meaning = hint_of(&events.partial);
                events.partial.clear();
                // A change matters more than a health status.
                hint = if hint == Some(Hint::Changed) { hint } else { meaning.or(hint) };
            }
        }
        hint
    }
}

async fn process_ended(process: Option<&(u32, Process)>) {
    match process {
        Some((_, process)) => process.ended().await,
        None => std::future::pending().await,
    }
}

async fn next_chunk(events: Option<&mut Events>) -> Option<hyper::body::Bytes> {
    match events {
        Some(events) => events.stream.next().await,
        None => std::future::pending().await,
    }
}

async fn open_events(engine: &mut Engine, path: &str, at: Instant) -> Result<ResponseStream, EngineError> {
    sleep_until(at).await;
    // From one second ago: the engine may begin the response before it begins to collect events.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs().saturating_sub(1);
    engine.stream(&format!("{path}&since={since}")).await
}

/// Returns the hint in an event; `None` if the event changes nothing.
fn hint_of(line: &[u8]) -> Option<Hint> {
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
    let Ok(event) = serde_json::from_slice::<Event<'_>>(line) else { return Some(Hint::Changed) };
    if let Some(status) = event.action.strip_prefix("health_status") {
        // Docker appends the status to the action, Podman has a field of its own.
        let unhealthy = status.ends_with("unhealthy") || event.health == "unhealthy";
        return Some(if unhealthy { Hint::Unhealthy } else { Hint::Changed });
    }
    CHANGES.contains(&event.action.as_ref()).then_some(Hint::Changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_both_engines_are_understood() {
        let of = |text: &str| hint_of(text.as_bytes());
        assert_eq!(of(r#"{"Action":"die","Type":"container"}"#), Some(Hint::Changed));
        assert_eq!(of(r#"{"Action":"exec_died"}"#), None);
        assert_eq!(of(r#"{"Action":"exec_create: /bin/sh"}"#), None);
        assert_eq!(of(r#"{"Action":"health_status: unhealthy"}"#), Some(Hint::Unhealthy));
        assert_eq!(of(r#"{"Action":"health_status: healthy"}"#), Some(Hint::Changed));
        assert_eq!(of(r#"{"Action":"health_status","HealthStatus":"unhealthy"}"#), Some(Hint::Unhealthy));
        assert_eq!(of("\n"), None);
        assert_eq!(of("nonsense"), Some(Hint::Changed));
    }
}
