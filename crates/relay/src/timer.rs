//! The timer that ends a session by its limits.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use crate::limits::{Limits, WaitState};
use crate::report::End;

/// Ends a session that is inactive or lasts for too long. The timer exists only while a limit could end the session.
#[derive(Debug)]
pub(crate) struct SessionTimer {
    limits: Arc<Limits>,
    inactivity: Option<Inactivity>,
    /// When the session reaches its longest time, active or not.
    deadline: Option<Instant>,
}

#[derive(Debug)]
struct Inactivity {
    timer: Pin<Box<Sleep>>,
    last_progress: Instant,
    /// The progress that the session had made at that time.
    progress: u64,
}

impl SessionTimer {
    pub(crate) fn new(limits: Arc<Limits>) -> Self {
        Self { limits, inactivity: None, deadline: None }
    }

    /// Counts the longest time of a session from this instant.
    pub(crate) fn start(&mut self, started: Instant) {
        self.deadline = self.limits.session.map(|longest| saturating_add(started, longest));
    }

    /// Resolves when a session that is blocked in this state has reached a limit.
    ///
    /// `progress` is a number that changes with each byte and each end of stream, which restart the inactivity.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, wait: WaitState, progress: u64) -> Poll<End> {
        let inactivity_limit = self.limits.inactivity(wait);
        let session_limit = self.deadline.zip(self.limits.session);
        if inactivity_limit.is_none() && session_limit.is_none() {
            return Poll::Pending;
        }
        let due = |last_progress| {
            let inactivity = inactivity_limit.map(|(limit, end)| (saturating_add(last_progress, limit), end));
            let session = session_limit.map(|(deadline, longest)| (deadline, End::SessionTimeout(longest)));
            inactivity.into_iter().chain(session).min_by_key(|(deadline, _)| *deadline)
        };
        let inactivity = self.inactivity.get_or_insert_with(|| {
            let now = Instant::now();
            let deadline = due(now).map_or(now, |(deadline, _)| deadline);
            Inactivity { timer: Box::pin(sleep_until(deadline)), last_progress: now, progress }
        });
        if inactivity.progress != progress {
            inactivity.progress = progress;
            inactivity.last_progress = Instant::now();
        }
        let Some((deadline, end)) = due(inactivity.last_progress) else { return Poll::Pending };
        let timer = &mut inactivity.timer;
        loop {
            // Progress only postpones the deadline. The timer is reset when it fires, not for each byte.
            if timer.deadline() > deadline {
                timer.as_mut().reset(deadline);
            }
            ready!(timer.as_mut().poll(cx));
            if Instant::now() >= deadline {
                return Poll::Ready(end);
            }
            timer.as_mut().reset(deadline);
        }
    }

    /// Returns how a session ends that has reached its longest time while bytes still move.
    pub(crate) fn session_timeout(&self) -> Option<End> {
        let (deadline, longest) = self.deadline.zip(self.limits.session)?;
        (Instant::now() >= deadline).then_some(End::SessionTimeout(longest))
    }
}

/// Adds a span to an instant. A span that the clock cannot represent counts as 30 years, or as an hour if even those
/// are out of range.
fn saturating_add(from: Instant, span: Duration) -> Instant {
    const MAX_SPAN: Duration = Duration::from_secs(30 * 365 * 24 * 3600);
    from.checked_add(span.min(MAX_SPAN)).unwrap_or(from + Duration::from_secs(3600))
}
