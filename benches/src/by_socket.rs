//! What belongs to each socket, found by its descriptor's number: nothing is searched and nothing hashed in a load's loop.

use std::os::fd::{AsRawFd as _, OwnedFd};

/// The number of a socket, which is its token in an epoll set, too.
pub(crate) fn number(socket: &OwnedFd) -> u64 {
    u64::try_from(socket.as_raw_fd()).unwrap_or_default()
}

pub(crate) struct BySocket<T>(Vec<Option<T>>);

impl<T> BySocket<T> {
    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn put(&mut self, number: u64, what: T) {
        let Ok(index) = usize::try_from(number) else { return };
        if self.0.len() <= index {
            self.0.resize_with(index + 1, || None);
        }
        if let Some(slot) = self.0.get_mut(index) {
            *slot = Some(what);
        }
    }

    pub(crate) fn get(&self, number: u64) -> Option<&T> {
        self.0.get(usize::try_from(number).ok()?)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, number: u64) -> Option<&mut T> {
        self.0.get_mut(usize::try_from(number).ok()?)?.as_mut()
    }

    pub(crate) fn take(&mut self, number: u64) -> Option<T> {
        self.0.get_mut(usize::try_from(number).ok()?)?.take()
    }
}
