//! How far an admin client has come. This decides which client gives way when all places are taken.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A client that does not take its answer for this long may give way.
const MAX_STALL: Duration = Duration::from_secs(1);

/// How far a client has come.
#[derive(Debug, Clone)]
pub(super) struct Progress(Arc<Mutex<Stage>>);

#[derive(Debug, Clone, Copy)]
enum Stage {
    /// The client has not sent a complete request since it has connected at this time.
    Connected(Instant),
    /// The client has had an answer at this time, and may send another request.
    Answered(Instant),
    /// The client gets its answer; the time since it does not take it.
    Answering { stalled: Option<Instant> },
}

/// The order in which clients give way, the first one first: those without a request before those that had an answer
/// before those that do not take it, and each in the order of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank(u8, Instant);

impl Progress {
    /// Returns the progress of a client that has just connected.
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Stage::Connected(Instant::now()))))
    }

    /// The client has sent a complete request.
    pub(super) fn begin_answer(&self) {
        self.set(Stage::Answering { stalled: None });
    }

    /// The client has got its answer.
    pub(super) fn end_answer(&self) {
        self.set(Stage::Answered(Instant::now()));
    }

    /// Returns the rank of a client that may give way now.
    pub(super) fn rank(&self, now: Instant) -> Option<Rank> {
        match self.get() {
            Stage::Connected(since) => Some(Rank(0, since)),
            Stage::Answered(since) => Some(Rank(1, since)),
            Stage::Answering { stalled } => stalled
                .filter(|since| now.saturating_duration_since(*since) >= MAX_STALL)
                .map(|since| Rank(2, since)),
        }
    }

    /// Records whether the client takes what is sent to it.
    fn record_write(&self, is_taken: bool) {
        if let Stage::Answering { stalled } = self.get() {
            let stalled = if is_taken { None } else { stalled.or_else(|| Some(Instant::now())) };
            self.set(Stage::Answering { stalled });
        }
    }

    fn get(&self) -> Stage {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, stage: Stage) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = stage;
    }
}

/// The stream of a client, which records when the client does not take its answer.
#[derive(Debug)]
pub(super) struct Watched<S> {
    stream: S,
    progress: Progress,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, progress: Progress) -> Self {
        Self { stream, progress }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.progress.record_write(written.is_ready());
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_give_way_by_what_they_have_said_and_then_by_age() {
        let now = Instant::now();
        let later = now + MAX_STALL * 2;
        let (first, second, answered, stalled, busy) =
            (Progress::new(), Progress::new(), Progress::new(), Progress::new(), Progress::new());
        for progress in [&answered, &stalled, &busy] {
            progress.begin_answer();
        }
        answered.end_answer();
        stalled.record_write(false);
        // A second attempt does not begin the time again.
        let before = stalled.rank(later);
        stalled.record_write(false);
        assert_eq!(stalled.rank(later), before);
        busy.record_write(false);
        busy.record_write(true);
        assert!(busy.rank(later).is_none() && stalled.rank(now).is_none());
        let mut ranks = [&stalled, &answered, &second, &first].map(|progress| progress.rank(later).unwrap());
        ranks.sort_unstable();
        let expected = [&first, &second, &answered, &stalled].map(|progress| progress.rank(later).unwrap());
        assert_eq!(ranks, expected);
    }
}
