//! One server among others.

use std::num::NonZeroU32;
use std::time::Instant;

use super::health::{Admin, Health, Status};

/// Whether somebody is there. A name of the DNS has a fixed number of slots, and servers come and leave; an
/// administrator's word is of the slot, whoever has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Presence {
    /// A server is there.
    #[default]
    Here,
    /// It goes when its last session has ended, and gets no new ones.
    Leaving,
    /// Nobody is there, and nothing is to be checked.
    Vacant,
}

/// One server.
#[derive(Debug)]
pub struct Member {
    pub(super) health: Health,
    presence: Presence,
    pub(super) weight: u32,
    pub(super) backup: bool,
    pub(super) maxconn: Option<NonZeroU32>,
    pub(super) awake: bool,
    pub(super) sessions: u32,
}

impl Member {
    /// A server without sessions.
    pub fn new(health: Health, weight: u32, backup: bool, maxconn: Option<NonZeroU32>) -> Self {
        let presence = Presence::default();
        Self { health, presence, weight, backup, maxconn, awake: true, sessions: 0 }
    }

    /// The same, as far as somebody is there.
    #[must_use]
    pub fn with(self, presence: Presence) -> Self {
        Self { presence, ..self }
    }

    /// What is known of its health.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// Whether somebody is there.
    pub fn presence(&self) -> Presence {
        self.presence
    }

    /// What an administrator lets it have, or what comes to the same: who leaves is drained, and an empty slot is in
    /// maintenance, as `HAProxy` has it.
    pub fn admin(&self) -> Admin {
        match (self.presence, self.health.admin()) {
            (Presence::Vacant, _) | (_, Admin::Maint) => Admin::Maint,
            (Presence::Leaving, _) | (_, Admin::Drain) => Admin::Drain,
            (Presence::Here, Admin::Ready) => Admin::Ready,
        }
    }

    /// Where it stands.
    pub fn status(&self) -> Status {
        match (self.health.status(), self.admin()) {
            (_, Admin::Maint) => Status::Maint,
            (Status::Down, _) => Status::Down,
            (_, Admin::Drain) => Status::Drain,
            (status, Admin::Ready) => status,
        }
    }

    /// Whether it is there, and can serve as far as checks tell.
    pub fn is_up(&self) -> bool {
        self.presence != Presence::Vacant && self.health.is_up()
    }

    /// Whether it gets new sessions, as far as it has room and a share.
    pub fn takes_sessions(&self) -> bool {
        self.presence == Presence::Here && self.health.takes_sessions()
    }

    /// Its share of the sessions; 0: none.
    pub fn weight(&self) -> u32 {
        self.weight
    }

    /// Whether it is only used while no other can be.
    pub fn is_backup(&self) -> bool {
        self.backup
    }

    /// How many sessions it may have.
    pub fn maxconn(&self) -> Option<NonZeroU32> {
        self.maxconn
    }

    /// How many it has.
    pub fn sessions(&self) -> u32 {
        self.sessions
    }

    pub(super) fn has_room(&self) -> bool {
        self.maxconn.is_none_or(|max| self.sessions < max.get())
    }

    pub(super) fn may_be_used(&self) -> bool {
        self.weight > 0 && self.takes_sessions()
    }

    /// Whether it is tried where all are down and the rules say so.
    pub(super) fn opens_anyway(&self) -> bool {
        self.weight > 0 && self.admin() == Admin::Ready
    }

    /// When it is to be checked next; `wanted`: somebody waits, and nobody else is there.
    pub(super) fn check_due(&self, wanted: bool) -> Option<Instant> {
        if self.presence == Presence::Vacant { None } else { self.health.due(wanted) }
    }

    /// What was found of one server says nothing of the next.
    pub(super) fn set_presence(&mut self, now: Instant, presence: Presence) {
        if (self.presence == Presence::Vacant) != (presence == Presence::Vacant) {
            self.health.begin(now);
        }
        self.presence = presence;
    }

    pub(super) fn take(&mut self) {
        self.sessions += 1;
    }
}
