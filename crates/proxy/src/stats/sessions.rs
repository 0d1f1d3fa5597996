//! The sessions that are open, one by one: for whoever asks on the control socket. There are never more than are
//! admitted.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

use super::ServerStats;
use super::count::Counter;
use crate::client::Peer;

/// The sessions that are open.
#[derive(Debug, Default)]
pub struct SessionTable {
    open: Mutex<BTreeMap<u64, Arc<SessionEntry>>>,
    last: AtomicU64,
}

/// One of them.
#[derive(Debug)]
pub struct SessionEntry {
    /// Its number, never used twice.
    pub id: u64,
    /// Its service.
    pub service: Arc<str>,
    /// Who it is.
    pub client: Peer,
    /// When it was accepted.
    pub began: Instant,
    /// Which server it has; none while it is held.
    server: OnceLock<Arc<ServerStats>>,
    /// Bytes to the server and to the client so far.
    up: Counter,
    down: Counter,
    killed: AtomicBool,
    kill: Notify,
}

impl SessionTable {
    /// A session begins. It stays here until the entry is taken out again by [`Self::end`].
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

    /// A session has ended.
    pub fn end(&self, entry: &SessionEntry) {
        self.lock().remove(&entry.id);
    }

    /// The session of this number.
    pub fn get(&self, id: u64) -> Option<Arc<SessionEntry>> {
        self.lock().get(&id).cloned()
    }

    /// The number of the session that began last.
    pub fn last(&self) -> u64 {
        self.last.load(Ordering::Relaxed)
    }

    /// The next sessions after this number, in the order in which they began.
    pub fn after(&self, id: u64, most: usize) -> Vec<Arc<SessionEntry>> {
        let beyond = (std::ops::Bound::Excluded(id), std::ops::Bound::Unbounded);
        self.lock().range(beyond).take(most).map(|(_, entry)| Arc::clone(entry)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<SessionEntry>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SessionEntry {
    /// Which server it has.
    pub fn server(&self) -> Option<&Arc<ServerStats>> {
        self.server.get()
    }

    /// It got a server.
    pub fn served(&self, server: &Arc<ServerStats>) {
        // A session gets one server.
        let _ = self.server.set(Arc::clone(server));
    }

    /// Bytes to the server and to the client so far.
    pub fn bytes(&self) -> (u64, u64) {
        (self.up.get(), self.down.get())
    }

    /// So many bytes were moved by now; gives those that were not known yet.
    pub fn moved(&self, up: u64, down: u64) -> (u64, u64) {
        let news = (up.saturating_sub(self.up.get()), down.saturating_sub(self.down.get()));
        self.up.set(up);
        self.down.set(down);
        news
    }

    /// Ends it.
    pub fn kill(&self) {
        self.killed.store(true, Ordering::Release);
        self.kill.notify_one();
    }

    /// Waits until it is to end. For the session itself.
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
    async fn who_is_open_is_found_in_order_and_ends_once_asked_to() {
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
