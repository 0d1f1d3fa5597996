//! The table of open sessions, for the control socket. Its size is bounded by the session limits.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

use super::ServerStats;
use super::count::Counter;
use crate::client::Peer;

/// The table of open sessions.
#[derive(Debug, Default)]
pub struct SessionTable {
    open: Mutex<BTreeMap<u64, Arc<SessionEntry>>>,
    last: AtomicU64,
}

/// An open session.
#[derive(Debug)]
pub struct SessionEntry {
    /// The unique number of the session.
    pub id: u64,
    /// The name of the service.
    pub service: Arc<str>,
    /// The client.
    pub client: Peer,
    /// The time of the accept.
    pub began: Instant,
    /// The server; none while the session is held.
    server: OnceLock<Arc<ServerStats>>,
    /// Bytes to the server and to the client so far.
    up: Counter,
    down: Counter,
    killed: AtomicBool,
    kill: Notify,
}

impl SessionTable {
    /// Adds a session, which stays in the table until [`Self::end`].
    pub fn begin(&self, service: &Arc<str>, client: Peer, began: Instant) -> Arc<SessionEntry> {
        let id = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let entry = Arc::new(SessionEntry {
            id,
            service: Arc::clone(service),
            client,
            began,
            server: OnceLock::new(),
            up: Counter::default(),
            down: Counter::default(),
            killed: AtomicBool::new(false),
            kill: Notify::new(),
        });
        self.lock().insert(id, Arc::clone(&entry));
        entry
    }

    /// Removes a session.
    pub fn end(&self, entry: &SessionEntry) {
        self.lock().remove(&entry.id);
    }

    /// Returns the session with a number.
    pub fn get(&self, id: u64) -> Option<Arc<SessionEntry>> {
        self.lock().get(&id).cloned()
    }

    /// Returns the highest number so far.
    pub fn last(&self) -> u64 {
        self.last.load(Ordering::Relaxed)
    }

    /// Returns up to `most` sessions after a number, in the order of their start.
    pub fn after(&self, id: u64, most: usize) -> Vec<Arc<SessionEntry>> {
        let beyond = (std::ops::Bound::Excluded(id), std::ops::Bound::Unbounded);
        self.lock().range(beyond).take(most).map(|(_, entry)| Arc::clone(entry)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<SessionEntry>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SessionEntry {
    /// Returns the server.
    pub fn server(&self) -> Option<&Arc<ServerStats>> {
        self.server.get()
    }

    /// Sets the server.
    pub fn served(&self, server: &Arc<ServerStats>) {
        // A session gets one server.
        let _ = self.server.set(Arc::clone(server));
    }

    /// Returns the bytes to the server and to the client so far.
    pub fn bytes(&self) -> (u64, u64) {
        (self.up.get(), self.down.get())
    }

    /// Sets the bytes moved so far, and returns the difference to the last call.
    pub fn moved(&self, up: u64, down: u64) -> (u64, u64) {
        let news = (up.saturating_sub(self.up.get()), down.saturating_sub(self.down.get()));
        self.up.set(up);
        self.down.set(down);
        news
    }

    /// Asks the session to end.
    pub fn kill(&self) {
        self.killed.store(true, Ordering::Release);
        self.kill.notify_one();
    }

    /// Waits until [`Self::kill`] is called. For the session itself.
    pub async fn killed(&self) {
        while !self.killed.load(Ordering::Acquire) {
            self.kill.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lists_sessions_in_order_and_kills_them() {
        let sessions = SessionTable::default();
        let service = Arc::from("web");
        let begin = || sessions.begin(&service, Peer::unknown(), Instant::now());
        let (first, second, third) = (begin(), begin(), begin());
        sessions.end(&second);
        let ids: Vec<_> = sessions.after(0, 10).iter().map(|entry| entry.id).collect();
        assert_eq!(ids, [first.id, third.id]);
        assert_eq!(sessions.after(first.id, 10).len(), 1);
        assert!(sessions.get(second.id).is_none());
        third.kill();
        tokio::time::timeout(std::time::Duration::from_secs(5), third.killed()).await.unwrap();
        assert_eq!(third.moved(5, 7), (5, 7));
        assert_eq!((third.moved(6, 7), third.bytes()), ((1, 0), (6, 7)));
    }
}
