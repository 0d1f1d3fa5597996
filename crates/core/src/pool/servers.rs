//! The pool: the servers of a service, and the sessions that wait for them.

use std::num::NonZeroU32;
use std::time::Instant;

use super::balance::{Balance, Candidate, Pick, PickContext};
use super::balancer::Balancer;
use super::health::Health;
use super::member::{Member, SlotState};
use super::queue::{Queue, WaiterId};
use super::status::{AdminState, HealthChange};

/// The settings of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolSettings {
    /// The balance algorithm.
    pub balance: Balance,
    /// The largest number of waiting sessions.
    pub queue_max: usize,
    /// Whether all servers are tried while all are down.
    pub fail_open: bool,
}

/// The servers of a service, and the sessions that wait for them.
#[derive(Debug)]
pub struct Pool {
    members: Vec<Member>,
    balancer: Balancer,
    queue: Queue,
    fail_open: bool,
    /// Scratch space, kept to avoid an allocation per choice.
    candidates: Vec<Candidate>,
}

/// The answer to a request for a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a place has to be released, a waiter to be left"]
pub enum Assignment {
    /// The session has a place at this server.
    Granted(Pick),
    /// The session waits; a [`Grant`] follows.
    Queued(WaiterId),
    /// The queue is full.
    Refused,
}

/// A waiting session got a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// The session.
    pub waiter: WaiterId,
    /// The server.
    pub pick: Pick,
}

impl Pool {
    /// Creates a pool of named servers, in the order of the configuration.
    pub fn new<'a>(rules: PoolSettings, servers: impl IntoIterator<Item = (&'a str, Member)>) -> Self {
        let (names, members): (Vec<_>, Vec<_>) = servers.into_iter().unzip();
        Self {
            candidates: Vec::with_capacity(members.len()),
            members,
            balancer: Balancer::new(rules.balance, names),
            queue: Queue::new(rules.queue_max),
            fail_open: rules.fail_open,
        }
    }

    /// The servers.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The balance algorithm.
    pub fn balance(&self) -> Balance {
        self.balancer.balance()
    }

    /// The number of waiting sessions.
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Whether the queue has room for one more session.
    pub fn can_queue(&self) -> bool {
        !self.queue.is_full()
    }

    /// Whether a server accepts sessions, with or without free capacity.
    pub fn has_usable_server(&self) -> bool {
        self.members.iter().any(Member::is_usable) || self.fails_open()
    }

    /// Whether this server accepts sessions, with or without free capacity.
    pub fn takes_sessions(&self, server: usize) -> bool {
        let Some(member) = self.members.get(server) else { return false };
        let anyway = || self.fail_open && !self.members.iter().any(Member::is_usable);
        member.is_usable() || member.fails_open() && anyway()
    }

    /// Requests a server for a session. If no session waits and a server has free capacity, the session gets it at
    /// once.
    pub fn request(&mut self, now: Instant, context: PickContext) -> Assignment {
        match self.pick_other(now, context, &[]) {
            Some(pick) => Assignment::Granted(pick),
            None => self.queue.enter(context).map_or(Assignment::Refused, Assignment::Queued),
        }
    }

    /// Requests another server after failed attempts. `tried` marks the failed servers, in the order of the list. The
    /// session never waits.
    pub fn pick_other(&mut self, now: Instant, context: PickContext, tried: &[bool]) -> Option<Pick> {
        if !self.queue.is_empty() {
            return None;
        }
        let pick = self.choose(now, context, tried)?;
        self.take(pick);
        Some(pick)
    }

    /// A waiting session left. Returns false if a grant is already on its way.
    pub fn cancel(&mut self, waiter: WaiterId) -> bool {
        self.queue.cancel(waiter)
    }

    /// A session ended.
    pub fn release(&mut self, now: Instant, server: usize, out: &mut Vec<Grant>) {
        if let Some(member) = self.members.get_mut(server) {
            member.sessions = member.sessions.saturating_sub(1);
        }
        self.grant_waiting(now, out);
    }

    /// Changes the health of a server, and grants waiting sessions a place if that became possible. An empty slot has
    /// no health.
    pub fn update_health(
        &mut self,
        now: Instant,
        server: usize,
        out: &mut Vec<Grant>,
        act: impl FnOnce(&mut Health) -> Option<HealthChange>,
    ) -> Option<HealthChange> {
        let member = self.members.get_mut(server).filter(|member| member.slot_state() != SlotState::Empty)?;
        let change = act(&mut member.health);
        self.grant_waiting(now, out);
        change
    }

    /// Sets the administrator's state of a server or an empty slot.
    pub fn set_admin(&mut self, now: Instant, server: usize, admin: AdminState, out: &mut Vec<Grant>) {
        if let Some(member) = self.members.get_mut(server) {
            member.health.set_admin(now, admin);
        }
        self.grant_waiting(now, out);
    }

    /// Sets the state of a slot.
    pub fn set_slot_state(
        &mut self,
        now: Instant,
        server: usize,
        slot_state: SlotState,
        out: &mut Vec<Grant>,
    ) {
        if let Some(member) = self.members.get_mut(server) {
            member.set_slot_state(now, slot_state);
        }
        self.grant_waiting(now, out);
    }

    /// Sets the weight of a server.
    pub fn set_weight(&mut self, now: Instant, server: usize, weight: u32, out: &mut Vec<Grant>) {
        if let Some(member) = self.members.get_mut(server) {
            member.weight = weight;
        }
        self.grant_waiting(now, out);
    }

    /// Sets whether a server is only used while no other server is usable.
    pub fn set_backup(&mut self, now: Instant, server: usize, backup: bool, out: &mut Vec<Grant>) {
        if let Some(member) = self.members.get_mut(server) {
            member.backup = backup;
        }
        self.grant_waiting(now, out);
    }

    /// Sets the session limit of a server. Current sessions above the limit continue.
    pub fn set_maxconn(
        &mut self,
        now: Instant,
        server: usize,
        maxconn: Option<NonZeroU32>,
        out: &mut Vec<Grant>,
    ) {
        if let Some(member) = self.members.get_mut(server) {
            member.maxconn = maxconn;
        }
        self.grant_waiting(now, out);
    }

    /// Sets whether a server is awake.
    pub fn set_awake(&mut self, server: usize, awake: bool) {
        if let Some(member) = self.members.get_mut(server) {
            member.awake = awake;
        }
    }

    /// The time of the next check of a server.
    pub fn next_check(&self, server: usize) -> Option<Instant> {
        let wanted = !self.queue.is_empty() && !self.members.iter().any(Member::is_usable);
        self.members.get(server)?.next_check(wanted)
    }

    /// Grants places to waiting sessions, in their order.
    fn grant_waiting(&mut self, now: Instant, out: &mut Vec<Grant>) {
        while let Some((waiter, context)) = self.queue.first() {
            let Some(pick) = self.choose(now, context, &[]) else { return };
            self.queue.cancel(waiter);
            self.take(pick);
            out.push(Grant { waiter, pick });
        }
    }

    fn take(&mut self, pick: Pick) {
        if let Some(member) = self.members.get_mut(pick.server) {
            member.take();
        }
    }

    fn choose(&mut self, now: Instant, context: PickContext, tried: &[bool]) -> Option<Pick> {
        let regular = self.members.iter().any(|member| !member.backup && member.is_usable());
        let backup = || self.members.iter().position(|member| member.backup && member.is_usable());
        let backup = if regular { None } else { backup() };
        let anyway = !regular && backup.is_none() && self.fails_open();
        self.candidates.clear();
        self.candidates.extend(self.members.iter().enumerate().map(|(server, member)| {
            let used = match (regular, backup) {
                (true, _) => !member.backup && member.is_usable(),
                (false, Some(backup)) => server == backup,
                (false, None) => anyway && member.fails_open(),
            };
            let tried = tried.get(server).copied().unwrap_or(false);
            Candidate {
                eligible: used && !tried && member.has_capacity(),
                awake: member.awake,
                weight: member.health.effective_weight(member.weight, now),
                sessions: member.sessions,
            }
        }));
        self.balancer.pick(&self.candidates, context)
    }

    fn fails_open(&self) -> bool {
        self.fail_open && self.members.iter().any(Member::fails_open)
    }
}
