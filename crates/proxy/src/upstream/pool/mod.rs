//! Several servers behind one service, or one that is checked or limited: the machine of the core, those who wait for a
//! place, and the tasks that check.
//!
//! A session gets its place here without a word to another task. The lock is never held over a wait.

mod check;
mod lease;
mod named;
mod slot;
mod trouble;
mod view;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dormouse_config::model::{ServerConfig, ServiceConfig};
use dormouse_core::address::Target;
use dormouse_core::pool::{
    self as core, Assignment, Balance, CheckSettings, Grant, Health, HealthChange, Member, Pick, PickContext,
    PoolSettings, SlotState, Status, WaiterId,
};
use dormouse_core::timespan::TimeSpan;
use dormouse_log::{Level, Log};
use dormouse_relay::AbortReason;
use tokio::sync::{Notify, oneshot, watch};

use super::Words;
use super::sleeper::Sleeper;
use crate::stats::wake::WokenBy;
pub(super) use check::Checker;
pub(super) use slot::{Place, Queued};
pub use trouble::Tally;
use trouble::{Trouble, Troubles};
pub use view::{LastCheck, ServerHandle, ServerView};

/// Several servers.
#[derive(Debug)]
pub(super) struct Pool {
    name: String,
    log: Log,
    inner: Mutex<Inner>,
    slots: Vec<Slot>,
    /// Counts the changes of health and of what an administrator wants.
    changes: watch::Sender<u64>,
    /// How many sessions have their server for good.
    settled: AtomicUsize,
    /// Somebody who waited does not any more.
    room: Arc<Notify>,
    tries: Tries,
}

/// How often and how long servers are tried.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tries {
    retries: u32,
    redispatch: bool,
    queue_timeout: TimeSpan,
    /// Before a server that refused is given up, it is tried for so long.
    turn_around: Duration,
}

#[derive(Debug)]
struct Inner {
    machine: core::Pool,
    waiters: HashMap<WaiterId, oneshot::Sender<Pick>>,
    last_checks: Vec<Option<LastCheck>>,
    /// For when the tasks that check are armed.
    armed: Vec<Option<Instant>>,
    random: u64,
    outages: Outages,
}

/// Whether there is a server that takes sessions, since when that is so, and how often and how long there was none.
#[derive(Debug, Clone, Copy)]
pub struct Outages {
    served: bool,
    /// Since when it is as it is.
    pub since: Instant,
    /// How often all servers together ceased to take sessions.
    pub count: u64,
    before: Duration,
}

/// What belongs to one server, besides its numbers.
#[derive(Debug)]
struct Slot {
    name: String,
    address: Mutex<String>,
    sleeper: Option<Arc<Sleeper>>,
    is_checked: bool,
    ends_sessions: bool,
    /// Its next check is due sooner than was thought.
    nudge: Notify,
    /// Ends all sessions that it has.
    cut: watch::Sender<Option<AbortReason>>,
    troubles: Troubles,
}

/// What a session gets that asks for a place.
pub(super) enum Asked {
    Granted(Place),
    Queued(Queued),
    Refused,
}

impl Pool {
    /// The pool of a service, if it needs one: several servers, or one with rules.
    pub(super) fn of(
        config: &ServiceConfig,
        words: &Words,
        sleepers: impl IntoIterator<Item = Option<Arc<Sleeper>>>,
        room: &Arc<Notify>,
        log: &Log,
    ) -> Option<Arc<Self>> {
        if matches!(config.servers.as_slice(), [only] if !only.has_rules()) {
            return None;
        }
        let (now, mut random) = (Instant::now(), RandomState::new().hash_one(&config.name));
        let count = u32::try_from(config.servers.len()).unwrap_or(u32::MAX);
        let members = (0u32..).zip(&config.servers).map(|(index, server)| {
            let checks = server.check.as_ref().map(|check| check.rules.clone());
            let offset =
                checks.as_ref().map_or(Duration::ZERO, |checks| offset(checks, index, count, &mut random));
            let vacant = matches!(server.to, Target::Slot { .. });
            let presence = if vacant { SlotState::Empty } else { SlotState::Active };
            let health = Health::new(checks, words.admin(server), now, offset);
            let member = Member::new(health, words.weight(server), server.backup, server.maxconn);
            (server.name.as_str(), member.with_slot_state(presence))
        });
        let members: Vec<_> = members.collect();
        let rules = PoolSettings {
            balance: config.balance,
            queue_max: usize::try_from(config.queue.max.get()).unwrap_or(usize::MAX),
            fail_open: config.fail_open,
        };
        let slot = |(server, sleeper): (&ServerConfig, _)| Slot {
            name: server.name.clone(),
            address: Mutex::new(server.to.to_string()),
            sleeper,
            is_checked: server.check.is_some(),
            ends_sessions: server.check.as_ref().is_some_and(|check| check.ends_sessions),
            nudge: Notify::new(),
            cut: watch::Sender::new(None),
            troubles: Troubles::default(),
        };
        let (last_checks, armed) = (vec![None; members.len()], vec![None; members.len()]);
        let machine = core::Pool::new(rules, members);
        let outages =
            Outages { served: machine.has_usable_server(), since: now, count: 0, before: Duration::ZERO };
        let inner = Inner { waiters: HashMap::new(), last_checks, armed, random, machine, outages };
        Some(Arc::new(Self {
            name: config.name.clone(),
            log: log.clone(),
            inner: Mutex::new(inner),
            slots: config.servers.iter().zip(sleepers).map(slot).collect(),
            changes: watch::Sender::new(0),
            settled: AtomicUsize::new(0),
            room: Arc::clone(room),
            tries: Tries {
                retries: config.retries,
                redispatch: config.redispatch,
                queue_timeout: config.queue.timeout,
                turn_around: config.timeouts.connect.unwrap_or(TURN_AROUND).min(TURN_AROUND),
            },
        }))
    }

    /// Asks for a place; `client` stands for who asks.
    pub(super) fn ask(self: &Arc<Self>, client: u64) -> Asked {
        self.step(|inner, now, _| {
            let draw = inner.draw(client);
            match inner.machine.request(now, draw) {
                Assignment::Granted(pick) => Asked::Granted(self.place(pick)),
                Assignment::Queued(ticket) => {
                    let (tell, answer) = oneshot::channel();
                    inner.waiters.insert(ticket, tell);
                    Asked::Queued(Queued::new(Arc::clone(self), ticket, answer))
                }
                Assignment::Refused => Asked::Refused,
            }
        })
    }

    /// A place at another server, if one has room.
    pub(super) fn another(self: &Arc<Self>, client: u64, tried: &[bool]) -> Option<Place> {
        self.step(|inner, now, _| {
            let draw = inner.draw(client);
            inner.machine.pick_other(now, draw, tried).map(|pick| self.place(pick))
        })
    }

    /// How many sessions have their server for good.
    pub(super) fn settled(&self) -> usize {
        self.settled.load(Ordering::Relaxed)
    }

    /// Whether clients may still be let in who would have to wait.
    pub(super) fn may_wait(&self) -> bool {
        self.lock().machine.can_queue()
    }

    /// Whether the choice depends on where a client comes from.
    pub(super) fn needs_client(&self) -> bool {
        self.balance().uses_client_address()
    }

    fn balance(&self) -> Balance {
        self.lock().machine.balance()
    }

    /// Whether there is a server that takes sessions, with room or without.
    fn is_served(&self) -> bool {
        self.lock().machine.has_usable_server()
    }

    /// Whether this server takes sessions.
    fn takes_sessions(&self, server: usize) -> bool {
        self.lock().machine.takes_sessions(server)
    }

    /// A session got through to a server, or did not.
    fn observed(&self, server: usize, got_through: bool) {
        if !self.slots.get(server).is_some_and(|slot| slot.is_checked) {
            return;
        }
        self.change(server, "sessions do not get through", |health, now| {
            health.record_session(now, got_through)
        });
    }

    /// Changes a server's health; `why` says what brought a change for the worse.
    fn change(
        &self,
        server: usize,
        why: &str,
        act: impl FnOnce(&mut Health, Instant) -> Option<HealthChange>,
    ) {
        let before = self.status(server);
        let change = self
            .step(|inner, now, out| inner.machine.update_health(now, server, out, |health| act(health, now)));
        let ended =
            self.slots.get(server).filter(|slot| change == Some(HealthChange::Down) && slot.ends_sessions);
        if let Some(slot) = ended {
            slot.cut.send_replace(Some(AbortReason::ServerDown));
        }
        self.told(server, before, why);
    }

    /// Tells where a server stands now, if that has changed.
    fn told(&self, server: usize, before: Option<Status>, why: &str) {
        if let (Some(before), Some(after)) = (before, self.status(server)) {
            if before != after {
                self.tell(server, before, after, why);
                self.changes.send_modify(|changes| *changes = changes.wrapping_add(1));
            }
        }
    }

    fn status(&self, server: usize) -> Option<Status> {
        Some(self.lock().machine.members().get(server)?.status())
    }

    fn tell(&self, server: usize, before: Status, after: Status, why: &str) {
        let Some(slot) = self.slots.get(server) else { return };
        let (left, sessions, waiting) = {
            let inner = self.lock();
            let members = inner.machine.members();
            let left = members.iter().filter(|member| member.takes_sessions()).count();
            (left, members.get(server).map_or(0, Member::sessions), inner.machine.waiting())
        };
        let level = if after == Status::Down { Level::Warning } else { Level::Notice };
        let why = if why.is_empty() { String::new() } else { format!(": {why}") };
        self.log.line(
            level,
            format_args!(
                "{}/{}: {before} → {after}{why}; {sessions} sessions on it, {left} of {} servers take more, {waiting} waiting.",
                self.name,
                slot.name,
                self.slots.len(),
            ),
        );
    }

    /// Gives the place at a server that was picked to a session.
    fn place(self: &Arc<Self>, pick: Pick) -> Place {
        let sleeper = pick.wake.and_then(|server| self.slots.get(server)?.sleeper.as_ref());
        if let Some(sleeper) = sleeper {
            sleeper.wake(WokenBy::Load);
        }
        Place::new(Arc::clone(self), pick.server)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One step of the machine, and all that follows from it.
    fn step<R>(&self, act: impl FnOnce(&mut Inner, Instant, &mut Vec<Grant>) -> R) -> R {
        let now = Instant::now();
        let mut inner = self.lock();
        for (server, sleeper) in self.sleepers() {
            inner.machine.set_awake(server, sleeper.is_up());
        }
        let (waiting, mut out) = (inner.machine.waiting(), Vec::new());
        let result = act(&mut inner, now, &mut out);
        // What nobody takes any more goes to the next.
        while !out.is_empty() {
            let mut further = Vec::new();
            for Grant { waiter, pick } in out {
                let taken = inner.waiters.remove(&waiter).is_some_and(|tell| tell.send(pick).is_ok());
                if !taken {
                    inner.machine.release(now, pick.server, &mut further);
                }
            }
            out = further;
        }
        self.arm(&mut inner);
        let served = inner.machine.has_usable_server();
        inner.outages.note(now, served);
        let freed = inner.machine.waiting() < waiting;
        drop(inner);
        if freed {
            self.room.notify_waiters();
        }
        result
    }

    /// Tells the tasks that check of what is due sooner than they think.
    fn arm(&self, inner: &mut Inner) {
        for (server, slot) in self.slots.iter().enumerate() {
            let due = inner.machine.next_check(server);
            let Some(armed) = inner.armed.get_mut(server) else { continue };
            if due.is_some_and(|due| armed.is_none_or(|armed| due < armed)) {
                *armed = due;
                slot.nudge.notify_one();
            }
        }
    }

    fn sleepers(&self) -> impl Iterator<Item = (usize, &Arc<Sleeper>)> {
        self.slots.iter().enumerate().filter_map(|(server, slot)| Some((server, slot.sleeper.as_ref()?)))
    }
}

/// `HAProxy`'s time before a server that refused is tried again.
const TURN_AROUND: Duration = Duration::from_secs(1);

impl Outages {
    /// For how long there was none, the present time included.
    pub fn lasted(&self, now: Instant) -> Duration {
        let present = if self.served { Duration::ZERO } else { now.saturating_duration_since(self.since) };
        self.before + present
    }

    fn note(&mut self, now: Instant, served: bool) {
        if served != self.served {
            self.before = self.lasted(now);
            self.count += u64::from(!served);
            (self.served, self.since) = (served, now);
        }
    }
}

impl Inner {
    fn draw(&mut self, client: u64) -> PickContext {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        PickContext { client_hash: client, random: core::hash(&self.random.to_le_bytes()) }
    }
}

/// The first checks of servers are spread over an interval, and those of services by chance.
fn offset(checks: &CheckSettings, index: u32, count: u32, random: &mut u64) -> Duration {
    *random = core::hash(&random.to_le_bytes());
    let thousandths = u32::try_from(*random % 1000).unwrap_or_default();
    let step = checks.inter / count.max(1);
    step.saturating_mul(index).saturating_add(step / 1000 * thousandths)
}

#[cfg(test)]
mod tests;
