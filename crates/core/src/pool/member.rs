//! One server among others.

use std::num::NonZeroU32;
use std::time::Instant;

use super::health::{AdminState, Health, Status};

/// Whether somebody is there. A name of the DNS has a fixed number of slots, and servers come and leave; an
/// administrator's word is of the slot, whoever has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SlotState {
    /// A server is there.
    #[default]
    Active,
    /// It goes when its last session has ended, and gets no new ones.
    Draining,
    /// Nobody is there, and nothing is to be checked.
    Empty,
}

/// One server.
#[derive(Debug)]
pub struct Member {
    pub(super) health: Health,
    slot_state: SlotState,
    pub(super) weight: u32,
    pub(super) backup: bool,
    pub(super) maxconn: Option<NonZeroU32>,
    pub(super) awake: bool,
    pub(super) sessions: u32,
}

impl Member {
    /// A server without sessions.
    pub fn new(health: Health, weight: u32, backup: bool, maxconn: Option<NonZeroU32>) -> Self {
        let slot_state = SlotState::default();
        Self { health, slot_state, weight, backup, maxconn, awake: true, sessions: 0 }
    }

    /// The same, as far as somebody is there.
    #[must_use]
    pub fn with_slot_state(self, slot_state: SlotState) -> Self {
        Self { slot_state, ..self }
    }

    /// What is known of its health.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// Whether somebody is there.
    pub fn slot_state(&self) -> SlotState {
        self.slot_state
    }

    /// What an administrator lets it have, or what comes to the same: who leaves is drained, and an empty slot is in
    /// maintenance, as `HAProxy` has it.
    pub fn admin(&self) -> AdminState {
        match (self.slot_state, self.health.admin()) {
            (SlotState::Empty, _) | (_, AdminState::Maint) => AdminState::Maint,
            (SlotState::Draining, _) | (_, AdminState::Drain) => AdminState::Drain,
            (SlotState::Active, AdminState::Ready) => AdminState::Ready,
        }
    }

    /// Where it stands.
    pub fn status(&self) -> Status {
        match (self.health.status(), self.admin()) {
            (_, AdminState::Maint) => Status::Maint,
            (Status::Down, _) => Status::Down,
            (_, AdminState::Drain) => Status::Drain,
            (status, AdminState::Ready) => status,
        }
    }

    /// Whether it is there, and can serve as far as checks tell.
    pub fn is_up(&self) -> bool {
        self.slot_state != SlotState::Empty && self.health.is_up()
    }

    /// Whether it gets new sessions, as far as it has room and a share.
    pub fn takes_sessions(&self) -> bool {
        self.slot_state == SlotState::Active && self.health.takes_sessions()
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

    pub(super) fn has_capacity(&self) -> bool {
        self.maxconn.is_none_or(|max| self.sessions < max.get())
    }

    pub(super) fn is_usable(&self) -> bool {
        self.weight > 0 && self.takes_sessions()
    }

    /// Whether it is tried where all are down and the rules say so.
    pub(super) fn fails_open(&self) -> bool {
        self.weight > 0 && self.admin() == AdminState::Ready
    }

    /// When it is to be checked next; `wanted`: somebody waits, and nobody else is there.
    pub(super) fn next_check(&self, wanted: bool) -> Option<Instant> {
        if self.slot_state == SlotState::Empty { None } else { self.health.next_check(wanted) }
    }

    /// What was found of one server says nothing of the next.
    pub(super) fn set_slot_state(&mut self, now: Instant, slot_state: SlotState) {
        if (self.slot_state == SlotState::Empty) != (slot_state == SlotState::Empty) {
            self.health.reset(now);
        }
        self.slot_state = slot_state;
    }

    pub(super) fn take(&mut self) {
        self.sessions += 1;
    }
}
