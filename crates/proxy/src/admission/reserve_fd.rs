//! One descriptor kept for bad times. When clients have taken all that there are and none is left for a server, it
//! is let go, so that one session after another can still be served.

use std::fs::File;
use std::sync::{Mutex, PoisonError};

/// The descriptor, while times are good.
#[derive(Debug)]
pub(super) struct ReserveFd(Mutex<Option<File>>);

impl ReserveFd {
    pub(super) fn keep() -> Self {
        Self(Mutex::new(open()))
    }

    /// Lets it go; whoever asks next gets it.
    pub(super) fn release(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Takes one back, if there is one again.
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
