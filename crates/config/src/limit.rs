//! The limit of sessions, and the treatment of further clients.

use std::num::NonZeroU32;

/// The largest number of sessions at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cap(NonZeroU32);

impl From<NonZeroU32> for Cap {
    fn from(sessions: NonZeroU32) -> Self {
        Self(sessions)
    }
}

impl Cap {
    /// The default of systemd-socket-proxyd, 256.
    pub const DEFAULT: Self = match NonZeroU32::new(256) {
        Some(cap) => Self(cap),
        None => Self(NonZeroU32::MIN),
    };

    /// Returns a limit of this many sessions; `None` for 0.
    pub fn new(sessions: u32) -> Option<Self> {
        NonZeroU32::new(sessions).map(Self)
    }

    /// Returns the number of sessions.
    pub fn get(self) -> u32 {
        self.0.get()
    }
}

/// The treatment of a client beyond a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtLimit {
    /// It is accepted and closed, as by systemd-socket-proxyd.
    Refuse,
    /// It stays in the backlog of the listener.
    Queue,
}
