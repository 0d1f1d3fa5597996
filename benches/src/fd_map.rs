//! A map from sockets to values, indexed by descriptor number, so that lookups need neither search nor hashing.

use std::os::fd::{AsRawFd as _, OwnedFd};

/// Returns the descriptor number of a socket, which is also its token in an epoll set.
pub(crate) fn token_of(socket: &OwnedFd) -> u64 {
    u64::try_from(socket.as_raw_fd()).unwrap_or_default()
}

/// A map from tokens to values.
pub(crate) struct FdMap<T>(Vec<Option<T>>);

impl<T> FdMap<T> {
    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn put(&mut self, token: u64, value: T) {
        let Ok(index) = usize::try_from(token) else { return };
        if self.0.len() <= index {
            self.0.resize_with(index + 1, || None);
        }
        if let Some(slot) = self.0.get_mut(index) {
            *slot = Some(value);
        }
    }

    pub(crate) fn get(&self, token: u64) -> Option<&T> {
        self.0.get(usize::try_from(token).ok()?)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, token: u64) -> Option<&mut T> {
        self.0.get_mut(usize::try_from(token).ok()?)?.as_mut()
    }

    pub(crate) fn take(&mut self, token: u64) -> Option<T> {
        self.0.get_mut(usize::try_from(token).ok()?)?.take()
    }
}
