//! All servers that sleep, each with the task that owns it. A server stays the same one while services come, change and
//! go, as long as one of them, or one of their sessions, wants it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use dormouse_activate::ActivatorConfig;
use dormouse_core::activation::Policy;
use dormouse_log::Log;
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinSet;

use super::driver::{Driver, Habits};
use super::group::{Group, Groups};
use super::sleeper::Sleeper;

/// The servers that sleep.
#[derive(Debug, Default)]
pub struct Dormitory {
    beds: HashMap<Key, Bed>,
    groups: Groups,
    drivers: JoinSet<()>,
    /// What is told when somebody who waited for a service does not any more.
    rooms: HashMap<String, Arc<Notify>>,
    /// Those that are being put to sleep for good.
    leaving: HashMap<Key, oneshot::Receiver<()>>,
    /// What we have woken is other than it was.
    changed: Arc<Notify>,
    /// What we had woken before we were started again.
    remembered: HashSet<Woken>,
}

/// A server that runs because of us, and goes on running when we end.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Woken {
    /// Its service.
    pub service: String,
    /// Its address.
    pub to: String,
    /// Which one of those at this address it is.
    pub number: usize,
    /// What it was woken as.
    pub wake: String,
}

/// What makes a server the same one: its service, its address, and which one of these it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) service: String,
    pub(super) to: String,
    pub(super) number: usize,
}

impl Key {
    fn woken(&self, wake: &ActivatorConfig) -> Woken {
        let Self { service, to, number } = self.clone();
        Woken { service, to, number, wake: wake.to_string() }
    }
}

#[derive(Debug)]
struct Bed {
    sleeper: Arc<Sleeper>,
    habits: watch::Sender<Arc<Habits>>,
    end: Arc<Notify>,
    gone: oneshot::Receiver<()>,
    claim: Arc<()>,
}

/// A server is wanted for as long as one of these is there.
#[derive(Debug)]
pub(super) struct Wanted(#[expect(dead_code, reason = "held to be counted")] Arc<()>);

impl Dormitory {
    /// The server of this key: the one that is there, with other habits from now on, or a new one called `name`.
    pub(super) fn bed(
        &mut self,
        key: &Key,
        name: &str,
        policy: Policy,
        habits: Habits,
        log: &Log,
    ) -> (Arc<Sleeper>, Wanted) {
        if let Some(bed) = self.beds.get(key) {
            bed.sleeper.set_policy(policy);
            // The driver takes them when it has time.
            bed.habits.send_replace(Arc::new(habits));
            return (Arc::clone(&bed.sleeper), Wanted(Arc::clone(&bed.claim)));
        }
        let woken = key.woken(&habits.wake);
        let (room, changed) = (self.room(&key.service), Arc::clone(&self.changed));
        let sleeper = Sleeper::new(name.to_owned(), policy, room, changed, log.clone());
        let (habits, taken) = watch::channel(Arc::new(habits));
        let (tell_gone, gone) = oneshot::channel();
        let end = Arc::new(Notify::new());
        let driver = Driver {
            sleeper: Arc::clone(&sleeper),
            habits: taken,
            log: log.clone(),
            before: self.leaving.remove(key),
            ours: self.remembered.remove(&woken),
            gone: tell_gone,
        };
        self.drivers.spawn(driver.run(Arc::clone(&end)));
        let claim = Arc::new(());
        let bed = Bed { sleeper: Arc::clone(&sleeper), habits, end, gone, claim: Arc::clone(&claim) };
        self.beds.insert(key.clone(), bed);
        (sleeper, Wanted(claim))
    }

    /// What is told when somebody who waited for this service does not any more.
    pub(super) fn room(&mut self, service: &str) -> Arc<Notify> {
        Arc::clone(self.rooms.entry(service.to_owned()).or_default())
    }

    pub(super) fn group(&mut self, name: &str) -> Arc<Group> {
        self.groups.get(name)
    }

    /// Puts to sleep, for good, what nobody wants any more.
    pub fn sweep(&mut self) {
        while self.drivers.try_join_next().is_some() {}
        self.leaving.retain(|_, gone| matches!(gone.try_recv(), Err(oneshot::error::TryRecvError::Empty)));
        let wanted = |bed: &Bed| Arc::strong_count(&bed.claim) > 1;
        let unwanted: Vec<Key> =
            self.beds.iter().filter(|(_, bed)| !wanted(bed)).map(|(key, _)| key.clone()).collect();
        for key in unwanted {
            if let Some(Bed { end, gone, .. }) = self.beds.remove(&key) {
                end.notify_one();
                self.leaving.insert(key, gone);
                self.changed.notify_one();
            }
        }
        self.rooms.retain(|_, room| Arc::strong_count(room) > 1);
        self.groups.sweep();
    }

    /// What was woken by us before we were started again is ours still. To be told before there are servers.
    pub fn remember(&mut self, woken: Vec<Woken>) {
        self.remembered.extend(woken);
    }

    /// Forgets what we had woken and no service has.
    pub fn forget(&mut self) {
        self.remembered.clear();
    }

    /// What runs because of us, and goes on running when we end: a process of ours does not.
    pub fn woken(&self) -> Vec<Woken> {
        let woken = self.beds.iter().filter(|(_, bed)| bed.sleeper.is_ours_to_stop());
        let woken = woken.map(|(key, bed)| (key, bed.habits.borrow().wake.clone()));
        let mut woken: Vec<_> = woken
            .filter(|(_, wake)| wake.properties().survives_crash)
            .map(|(key, wake)| key.woken(&wake))
            .collect();
        woken.sort();
        woken
    }

    /// Waits until that has changed.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Puts everything to sleep that we have woken.
    pub async fn end(mut self) {
        for bed in self.beds.values() {
            bed.end.notify_one();
        }
        while self.drivers.join_next().await.is_some() {}
    }
}
