//! How many sessions a service takes, and what happens to the next client.

use std::num::NonZeroU32;

/// The most sessions there may be at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cap(NonZeroU32);

impl Cap {
    /// The original's default, 256.
    pub const DEFAULT: Self = match NonZeroU32::new(256) {
        Some(cap) => Self(cap),
        None => Self(NonZeroU32::MIN),
    };

    /// A cap of so many; none would serve nobody.
    pub fn new(sessions: u32) -> Option<Self> {
        NonZeroU32::new(sessions).map(Self)
    }

    /// How many.
    pub fn get(self) -> u32 {
        self.0.get()
    }
}

/// What happens to a client that arrives at the cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtLimit {
    /// It is accepted and closed, as the original does.
    Refuse,
    /// It waits in the listener's backlog.
    Queue,
}
