//! The sessions that are under way, where the two peers of one find each other: both live in this process.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    fmt,
    rc::Rc,
};

use tokio::sync::Notify;

use super::{
    content::{Content, HEADER},
    plan::{Habits, Plan, Role},
};

/// A session under way.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) number: u64,
    pub(crate) seed: u64,
    pub(crate) plan: Plan,
    pub(crate) client: Peer,
    pub(crate) server: Peer,
}

/// What one peer has done so far, told by itself.
#[derive(Debug, Default)]
pub(crate) struct Peer {
    pub(crate) sent: Cell<u64>,
    pub(crate) received: Cell<u64>,
    /// It has shut its side down.
    pub(crate) finished: Cell<bool>,
    /// It has broken the session off, with so many bytes unread at that moment.
    pub(crate) broke_off: Cell<Option<u64>>,
    begun: Event,
    over: Event,
}

impl Session {
    pub(crate) fn new(number: u64, seed: u64) -> Rc<Self> {
        let plan = Plan::new(seed);
        Rc::new(Self { number, seed, plan, client: Peer::default(), server: Peer::default() })
    }

    pub(crate) fn of(&self, role: Role) -> &Peer {
        match role {
            Role::Client => &self.client,
            Role::Server => &self.server,
        }
    }

    pub(crate) fn habits(&self, role: Role) -> &Habits {
        self.plan.of(role)
    }

    /// How much has been sent and received so far, by both.
    pub(crate) fn bytes_moved(&self) -> u64 {
        [&self.client, &self.server].iter().map(|peer| peer.sent.get() + peer.received.get()).sum()
    }

    /// What the peer in this role sends.
    pub(crate) fn content(&self, role: Role) -> Content {
        Content::new(self.header_of(role).then_some(self.number), self.plan.of(role).offset)
    }

    /// How many bytes of it are the header.
    pub(crate) fn header_length(&self, role: Role) -> u64 {
        if self.header_of(role) { HEADER as u64 } else { 0 }
    }

    fn header_of(&self, role: Role) -> bool {
        role == Role::Client && self.plan.has_header
    }
}

impl Peer {
    /// Says that this peer is there and knows the session.
    pub(crate) fn begin(&self) {
        self.begun.happen();
    }

    /// Waits for that.
    pub(crate) async fn has_begun(&self) {
        self.begun.happened().await;
    }

    /// Says that this peer is through with the session.
    pub(crate) fn end(&self) {
        self.over.happen();
    }

    /// Waits for that.
    pub(crate) async fn is_over(&self) {
        self.over.happened().await;
    }
}

/// Something that happens once.
#[derive(Debug, Default)]
pub(crate) struct Event {
    done: Cell<bool>,
    told: Notify,
}

impl Event {
    pub(crate) fn happen(&self) {
        self.done.set(true);
        self.told.notify_waiters();
    }

    pub(crate) async fn happened(&self) {
        while !self.done.get() {
            self.told.notified().await;
        }
    }
}

/// All sessions through one program.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    by_number: RefCell<HashMap<u64, Rc<Session>>>,
    /// The one without a header that comes next.
    next: RefCell<Option<Rc<Session>>>,
    failures: RefCell<Vec<String>>,
    /// Connections that the server is busy with.
    pub(crate) busy: Cell<usize>,
    /// Connections whose client had left before it said who it was.
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
