//! A reserve descriptor. When clients use all descriptors and none is left for a server, it is closed, so that one
//! session after the other can still be served.

use std::fs::File;
use std::sync::{Mutex, PoisonError};

/// The reserve descriptor; `None` after its release.
#[derive(Debug)]
pub(super) struct ReserveFd(Mutex<Option<File>>);

impl ReserveFd {
    pub(super) fn keep() -> Self {
        Self(Mutex::new(open()))
    }

    /// Closes the descriptor; the next open gets it.
    pub(super) fn release(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Opens a reserve descriptor again, if possible.
    pub(super) fn restore(&self) {
        let mut reserve_fd = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if reserve_fd.is_none() {
            *reserve_fd = open();
        }
    }
}

fn open() -> Option<File> {
    File::open("/dev/null").ok()
}
