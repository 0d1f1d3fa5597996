//! What a session holds while it has a server.

use std::task::{Context, Poll};

use dormouse_relay::AbortReason;

use super::select::ConnectionSlot;
use super::wakeable::Lease;

/// What a session holds while it has a server. Dropping it reports the end of the session to the service.
#[derive(Debug)]
pub enum ServerGuard {
    /// A lease on the only server, which is wakeable.
    Lease(Lease),
    /// A slot at one of several servers. Boxed, so that a session without a slot stays small.
    Pooled(Box<PooledGuard>),
}

/// A slot at one of several servers, and a lease if the server is wakeable.
#[derive(Debug)]
pub struct PooledGuard {
    // The lease is dropped before the slot.
    lease: Option<Lease>,
    slot: ConnectionSlot,
}

impl ServerGuard {
    pub(super) fn pooled(lease: Option<Lease>, slot: ConnectionSlot) -> Self {
        Self::Pooled(Box::new(PooledGuard { lease, slot }))
    }

    /// Returns the number of the server in its service.
    pub fn server(&self) -> usize {
        match self {
            Self::Lease(_) => 0,
            Self::Pooled(pooled) => pooled.slot.server(),
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

    /// Marks the session as idle: it no longer counts as use of the server.
    pub fn mark_idle(&mut self) {
        if let Some(lease) = self.lease_mut() {
            lease.mark_idle();
        }
    }

    /// Marks the session as active: it moves bytes again.
    pub fn mark_active(&mut self) {
        if let Some(lease) = self.lease_mut() {
            lease.mark_active();
        }
    }

    /// Marks the session as served: the server sent something, or the client ended it.
    pub fn mark_served(&mut self) {
        if let Some(lease) = self.lease_mut() {
            lease.mark_served();
        }
    }

    /// Marks the session as established: it keeps this server to its end.
    pub(super) fn mark_established(&mut self) {
        if let Self::Pooled(pooled) = self {
            pooled.slot.mark_established();
        }
    }

    /// Polls for a reason to end the session now, such as a server that went down.
    pub fn poll_abort(&mut self, cx: &mut Context<'_>) -> Poll<AbortReason> {
        match self {
            Self::Lease(_) => Poll::Pending,
            Self::Pooled(pooled) => pooled.slot.poll_abort(cx),
        }
    }
}
