//! What a session holds on to while it has a server.

use std::task::{Context, Poll};

use dormouse_relay::AbortReason;

use super::pool::Place;
use super::sleeper::Lease;

/// What a session holds on to while it has a server. Dropping it is how the service learns that the session ended.
#[derive(Debug)]
pub enum ServerGuard {
    /// A lease on the one server, which sleeps.
    Lease(Lease),
    /// A place among several servers. Boxed: a session that has none of it stays small.
    Pooled(Box<Pooled>),
}

/// A place at one of several servers.
#[derive(Debug)]
pub struct Pooled {
    lease: Option<Lease>,
    place: Place,
}

impl ServerGuard {
    pub(super) fn pooled(lease: Option<Lease>, place: Place) -> Self {
        Self::Pooled(Box::new(Pooled { lease, place }))
    }

    /// Which of the service's servers it is.
    pub fn server(&self) -> usize {
        match self {
            Self::Lease(_) => 0,
            Self::Pooled(pooled) => pooled.place.server(),
        }
    }

    pub(super) fn lease(&self) -> Option<&Lease> {
        match self {
            Self::Lease(lease) => Some(lease),
            Self::Pooled(pooled) => pooled.lease.as_ref(),
        }
    }

    fn lease_mut(&mut self) -> Option<&mut Lease> {
        match self {
            Self::Lease(lease) => Some(lease),
            Self::Pooled(pooled) => pooled.lease.as_mut(),
        }
    }

    /// The session has moved nothing for long, and is no use.
    pub fn quiet(&mut self) {
        if let Some(lease) = self.lease_mut() {
            lease.quiet();
        }
    }

    /// The session has its server for good.
    pub(super) fn settle(&mut self) {
        if let Self::Pooled(pooled) = self {
            pooled.place.settle();
        }
    }

    /// The session moves bytes again.
    pub fn busy(&mut self) {
        if let Some(lease) = self.lease_mut() {
            lease.busy();
        }
    }

    /// Whether the session is to end now, because of its server.
    pub fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<AbortReason> {
        match self {
            Self::Lease(_) => Poll::Pending,
            Self::Pooled(pooled) => pooled.place.poll_cut(cx),
        }
    }
}
