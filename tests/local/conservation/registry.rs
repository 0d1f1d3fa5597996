//! The registry of running sessions, through which the two peers of a session share state: both run in this
//! process.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    fmt,
    rc::Rc,
};

use tokio::sync::Notify;

use super::{
    content::{Content, HEADER},
    plan::{PeerPlan, Plan, Role},
};

/// A running session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) number: u64,
    pub(crate) seed: u64,
    pub(crate) plan: Plan,
    pub(crate) client: PeerState,
    pub(crate) server: PeerState,
}

/// The progress of one peer, which the peer records itself.
#[derive(Debug, Default)]
pub(crate) struct PeerState {
    pub(crate) sent: Cell<u64>,
    pub(crate) received: Cell<u64>,
    /// Whether the peer has shut down its sending side.
    pub(crate) finished: Cell<bool>,
    /// The number of unread bytes at the moment at which the peer aborted the session.
    pub(crate) aborted: Cell<Option<u64>>,
    begun: Event,
    over: Event,
}

impl Session {
    pub(crate) fn new(number: u64, seed: u64) -> Rc<Self> {
        let plan = Plan::new(seed);
        Rc::new(Self { number, seed, plan, client: PeerState::default(), server: PeerState::default() })
    }

    pub(crate) fn of(&self, role: Role) -> &PeerState {
        match role {
            Role::Client => &self.client,
            Role::Server => &self.server,
        }
    }

    pub(crate) fn peer_plan(&self, role: Role) -> &PeerPlan {
        self.plan.of(role)
    }

    /// The number of bytes that both peers have sent and received so far.
    pub(crate) fn bytes_moved(&self) -> u64 {
        [&self.client, &self.server].iter().map(|peer| peer.sent.get() + peer.received.get()).sum()
    }

    /// The content that the peer in this role sends.
    pub(crate) fn content(&self, role: Role) -> Content {
        Content::new(self.header_of(role).then_some(self.number), self.plan.of(role).offset)
    }

    /// The length of the header in this content.
    pub(crate) fn header_length(&self, role: Role) -> u64 {
        if self.header_of(role) { HEADER as u64 } else { 0 }
    }

    fn header_of(&self, role: Role) -> bool {
        role == Role::Client && self.plan.has_header
    }
}

impl PeerState {
    /// Records that this peer has joined the session.
    pub(crate) fn begin(&self) {
        self.begun.happen();
    }

    /// Waits for the event.
    pub(crate) async fn has_begun(&self) {
        self.begun.happened().await;
    }

    /// Records that this peer has finished the session.
    pub(crate) fn end(&self) {
        self.over.happen();
    }

    /// Waits for the event.
    pub(crate) async fn is_over(&self) {
        self.over.happened().await;
    }
}

/// An event that happens once.
#[derive(Debug, Default)]
pub(crate) struct Event {
    done: Cell<bool>,
    notify: Notify,
}

impl Event {
    pub(crate) fn happen(&self) {
        self.done.set(true);
        self.notify.notify_waiters();
    }

    pub(crate) async fn happened(&self) {
        while !self.done.get() {
            self.notify.notified().await;
        }
    }
}

/// All sessions through one process.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    by_number: RefCell<HashMap<u64, Rc<Session>>>,
    /// The next session without a header.
    next: RefCell<Option<Rc<Session>>>,
    failures: RefCell<Vec<String>>,
    /// The number of open connections of the server.
    pub(crate) busy: Cell<usize>,
    /// The number of connections that ended before they were identified.
    pub(crate) orphans: Cell<u64>,
}

impl Registry {
    pub(crate) fn expect(&self, session: &Rc<Session>) {
        if session.plan.has_header {
            self.by_number.borrow_mut().insert(session.number, Rc::clone(session));
        } else {
            *self.next.borrow_mut() = Some(Rc::clone(session));
        }
    }

    pub(crate) fn next_without_header(&self) -> Option<Rc<Session>> {
        self.next.borrow_mut().take()
    }

    pub(crate) fn by_number(&self, number: u64) -> Option<Rc<Session>> {
        self.by_number.borrow().get(&number).map(Rc::clone)
    }

    pub(crate) fn fail(&self, failure: impl fmt::Display) {
        self.failures.borrow_mut().push(failure.to_string());
    }

    pub(crate) fn failures(&self) -> Vec<String> {
        self.failures.borrow().clone()
    }
}
