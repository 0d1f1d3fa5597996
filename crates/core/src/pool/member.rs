//! One server of a pool.

use std::num::NonZeroU32;
use std::time::Instant;

use super::health::Health;
use super::status::{AdminState, Status};

/// The state of a server slot. A DNS name has a fixed number of slots, and its servers change. The administrator's
/// state belongs to the slot, not to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SlotState {
    /// The slot has a server.
    #[default]
    Active,
    /// The server gets no new sessions, and leaves the slot when its last session ends.
    Draining,
    /// The slot has no server, and is not checked.
    Empty,
}

/// One server of a pool.
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
    /// Creates a server without sessions.
    pub fn new(health: Health, weight: u32, backup: bool, maxconn: Option<NonZeroU32>) -> Self {
        let slot_state = SlotState::default();
        Self { health, slot_state, weight, backup, maxconn, awake: true, sessions: 0 }
    }

    /// Sets the state of the slot.
    #[must_use]
    pub fn with_slot_state(self, slot_state: SlotState) -> Self {
        Self { slot_state, ..self }
    }

    /// The health of the server.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// The state of the slot.
    pub fn slot_state(&self) -> SlotState {
        self.slot_state
    }

    /// The effective administrator's state: a draining slot counts as drained, an empty slot as in maintenance, as in
    /// `HAProxy`.
    pub fn admin(&self) -> AdminState {
        match (self.slot_state, self.health.admin()) {
            (SlotState::Empty, _) | (_, AdminState::Maint) => AdminState::Maint,
            (SlotState::Draining, _) | (_, AdminState::Drain) => AdminState::Drain,
            (SlotState::Active, AdminState::Ready) => AdminState::Ready,
        }
    }

    /// The effective status.
    pub fn status(&self) -> Status {
        match (self.health.status(), self.admin()) {
            (_, AdminState::Maint) => Status::Maint,
            (Status::Down, _) => Status::Down,
            (_, AdminState::Drain) => Status::Drain,
            (status, AdminState::Ready) => status,
        }
    }

    /// Whether the slot has a server that is up according to its checks.
    pub fn is_up(&self) -> bool {
        self.slot_state != SlotState::Empty && self.health.is_up()
    }

    /// Whether the server gets new sessions, apart from its capacity and weight.
    pub fn takes_sessions(&self) -> bool {
        self.slot_state == SlotState::Active && self.health.takes_sessions()
    }

    /// The share of the sessions. 0: none.
    pub fn weight(&self) -> u32 {
        self.weight
    }

    /// Whether the server is only used while no other server is usable.
    pub fn is_backup(&self) -> bool {
        self.backup
    }

    /// The largest number of sessions.
    pub fn maxconn(&self) -> Option<NonZeroU32> {
        self.maxconn
    }

    /// The number of current sessions.
    pub fn sessions(&self) -> u32 {
        self.sessions
    }

    pub(super) fn has_capacity(&self) -> bool {
        self.maxconn.is_none_or(|max| self.sessions < max.get())
    }

    pub(super) fn is_usable(&self) -> bool {
        self.weight > 0 && self.takes_sessions()
    }

    /// Whether the server is tried with `fail_open` while all servers are down.
    pub(super) fn fails_open(&self) -> bool {
        self.weight > 0 && self.admin() == AdminState::Ready
    }

    /// The time of the next check. `wanted`: whether a session waits and no server is usable.
    pub(super) fn next_check(&self, wanted: bool) -> Option<Instant> {
        if self.slot_state == SlotState::Empty { None } else { self.health.next_check(wanted) }
    }

    /// Sets the state of the slot. A new server does not inherit the health of the previous one.
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
