//! What an administrator wants of a server.

use std::sync::atomic::{AtomicU8, Ordering};

use dormouse_core::control::Admin;

/// An administrator's word on a server: it takes sessions until told otherwise.
#[derive(Debug, Default)]
pub struct AdminState(AtomicU8);

impl AdminState {
    /// The word.
    pub fn get(&self) -> Admin {
        match self.0.load(Ordering::Relaxed) {
            0 => Admin::Ready,
            1 => Admin::Drain,
            _ => Admin::Maint,
        }
    }

    /// Gives it.
    pub fn set(&self, admin: Admin) {
        let code = match admin {
            Admin::Ready => 0,
            Admin::Drain => 1,
            Admin::Maint => 2,
        };
        self.0.store(code, Ordering::Relaxed);
    }

    /// Whether it takes new sessions.
    pub fn takes_sessions(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}
