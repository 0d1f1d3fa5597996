//! The servers of a service together.

use std::num::NonZeroU32;
use std::time::Instant;

use super::balance::{Balance, Balancer, Candidate, Pick, PickContext};
use super::health::{AdminState, Health, HealthChange};
use super::member::{Member, SlotState};
use super::queue::{Queue, WaiterId};

/// The rules for all servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolSettings {
    /// How servers are chosen.
    pub balance: Balance,
    /// How many may wait.
    pub queue_max: usize,
    /// Where all servers are down, all are tried.
    pub fail_open: bool,
}

/// All servers, and who waits for them.
#[derive(Debug)]
pub struct Pool {
    members: Vec<Member>,
    balancer: Balancer,
    queue: Queue,
    fail_open: bool,
    /// Kept from one choice to the next for its memory.
    candidates: Vec<Candidate>,
}

/// What a session gets that asks for a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a place has to be released, a waiter to be left"]
pub enum Assignment {
    /// A place at this server.
    Granted(Pick),
    /// A place in the queue; a [`Grant`] follows.
    Queued(WaiterId),
    /// Nothing: as many wait as may.
    Refused,
}

/// Somebody who waited has a place now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// Who.
    pub waiter: WaiterId,
    /// Where.
    pub pick: Pick,
}

impl Pool {
    /// Servers with their names, in the order in which they are listed.
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

    /// Its servers.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// How servers are chosen.
    pub fn balance(&self) -> Balance {
        self.balancer.balance()
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Whether one more may wait.
    pub fn can_queue(&self) -> bool {
        !self.queue.is_full()
    }

    /// Whether there is a server that takes sessions, with room or without.
    pub fn has_usable_server(&self) -> bool {
        self.members.iter().any(Member::is_usable) || self.fails_open()
    }

    /// Whether a server takes sessions, as far as there is room.
    pub fn takes_sessions(&self, server: usize) -> bool {
        let Some(member) = self.members.get(server) else { return false };
        let anyway = || self.fail_open && !self.members.iter().any(Member::is_usable);
        member.is_usable() || member.fails_open() && anyway()
    }

    /// Somebody asks for a server. With nobody in front it gets one at once, if there is one with room.
    pub fn request(&mut self, now: Instant, context: PickContext) -> Assignment {
        match self.pick_other(now, context, &[]) {
            Some(pick) => Assignment::Granted(pick),
            None => self.queue.enter(context).map_or(Assignment::Refused, Assignment::Queued),
        }
    }

    /// A place at a server other than those that somebody tried already, marked in the order of the list. Never waits.
    pub fn pick_other(&mut self, now: Instant, context: PickContext, tried: &[bool]) -> Option<Pick> {
        if !self.queue.is_empty() {
            return None;
        }
        let pick = self.choose(now, context, tried)?;
        self.take(pick);
        Some(pick)
    }

    /// Somebody who waited left. False if a grant was already on its way.
    pub fn cancel(&mut self, waiter: WaiterId) -> bool {
        self.queue.cancel(waiter)
    }

    /// A session gives its place back.
    pub fn release(&mut self, now: Instant, server: usize, out: &mut Vec<Grant>) {
        if let Some(member) = self.members.get_mut(server) {
            member.sessions = member.sessions.saturating_sub(1);
        }
        self.grant_waiting(now, out);
    }

    /// Changes a server's health, and lets those in who can be served by that. Where nobody is, nothing changes.
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

    /// An administrator wants something else of a server, or of whoever will be there.
    pub fn set_admin(&mut self, now: Instant, server: usize, admin: AdminState, out: &mut Vec<Grant>) {
        if let Some(member) = self.members.get_mut(server) {
            member.health.set_admin(now, admin);
        }
        self.grant_waiting(now, out);
    }

    /// A server comes, leaves, or is gone.
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

    /// Another weight for a server.
    pub fn set_weight(&mut self, now: Instant, server: usize, weight: u32, out: &mut Vec<Grant>) {
        if let Some(member) = self.members.get_mut(server) {
            member.weight = weight;
        }
        self.grant_waiting(now, out);
    }

    /// Whether a server only serves while no other does.
    pub fn set_backup(&mut self, now: Instant, server: usize, backup: bool, out: &mut Vec<Grant>) {
        if let Some(member) = self.members.get_mut(server) {
            member.backup = backup;
        }
        self.grant_waiting(now, out);
    }

    /// Another limit for a server. Sessions above it stay.
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

    /// Whether somebody would have to wake this server.
    pub fn set_awake(&mut self, server: usize, awake: bool) {
        if let Some(member) = self.members.get_mut(server) {
            member.awake = awake;
        }
    }

    /// When a server is to be checked next.
    pub fn next_check(&self, server: usize) -> Option<Instant> {
        let wanted = !self.queue.is_empty() && !self.members.iter().any(Member::is_usable);
        self.members.get(server)?.next_check(wanted)
    }

    /// Lets in who can be served, in the order in which they came.
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
