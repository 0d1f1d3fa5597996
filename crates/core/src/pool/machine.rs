//! The servers of a service together.

use std::num::NonZeroU32;
use std::time::Instant;

use super::balance::{Balance, Balancer, Candidate, Draw, Pick};
use super::health::{Admin, Change, Health};
use super::member::{Member, Presence};
use super::queue::{Queue, Ticket};

/// The rules for all servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
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
#[must_use = "a place has to be released, a ticket to be left"]
pub enum Arrival {
    /// A place at this server.
    Granted(Pick),
    /// A place in the queue; a [`Grant`] follows.
    Queued(Ticket),
    /// Nothing: as many wait as may.
    Refused,
}

/// Somebody who waited has a place now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// Who.
    pub ticket: Ticket,
    /// Where.
    pub pick: Pick,
}

impl Pool {
    /// Servers with their names, in the order in which they are listed.
    pub fn new<'a>(rules: Rules, servers: impl IntoIterator<Item = (&'a str, Member)>) -> Self {
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
    pub fn may_wait(&self) -> bool {
        !self.queue.is_full()
    }

    /// Whether there is a server that takes sessions, with room or without.
    pub fn is_served(&self) -> bool {
        self.members.iter().any(Member::may_be_used) || self.opens_anyway()
    }

    /// Whether a server takes sessions, as far as there is room.
    pub fn takes_sessions(&self, server: usize) -> bool {
        let Some(member) = self.members.get(server) else { return false };
        let anyway = || self.fail_open && !self.members.iter().any(Member::may_be_used);
        member.may_be_used() || member.opens_anyway() && anyway()
    }

    /// Somebody asks for a server. With nobody in front it gets one at once, if there is one with room.
    pub fn arrive(&mut self, now: Instant, draw: Draw) -> Arrival {
        match self.another(now, draw, &[]) {
            Some(pick) => Arrival::Granted(pick),
            None => self.queue.enter(draw).map_or(Arrival::Refused, Arrival::Queued),
        }
    }

    /// A place at a server other than those that somebody tried already, marked in the order of the list. Never waits.
    pub fn another(&mut self, now: Instant, draw: Draw, tried: &[bool]) -> Option<Pick> {
        if !self.queue.is_empty() {
            return None;
        }
        let pick = self.choose(now, draw, tried)?;
        self.take(pick);
        Some(pick)
    }

    /// Somebody who waited left. False if a grant was already on its way.
    pub fn leave(&mut self, ticket: Ticket) -> bool {
        self.queue.leave(ticket)
    }

    /// A session gives its place back.
    pub fn release(&mut self, now: Instant, server: usize, out: &mut Vec<Grant>) {
        if let Some(member) = self.members.get_mut(server) {
            member.sessions = member.sessions.saturating_sub(1);
        }
        self.serve(now, out);
    }

    /// Changes a server's health, and lets those in who can be served by that. Where nobody is, nothing changes.
    pub fn change(
        &mut self,
        now: Instant,
        server: usize,
        out: &mut Vec<Grant>,
        act: impl FnOnce(&mut Health) -> Option<Change>,
    ) -> Option<Change> {
        let member = self.members.get_mut(server).filter(|member| member.presence() != Presence::Vacant)?;
        let change = act(&mut member.health);
        self.serve(now, out);
        change
    }

    /// An administrator wants something else of a server, or of whoever will be there.
    pub fn set_admin(&mut self, now: Instant, server: usize, admin: Admin, out: &mut Vec<Grant>) {
        if let Some(member) = self.members.get_mut(server) {
            member.health.set_admin(now, admin);
        }
        self.serve(now, out);
    }

    /// A server comes, leaves, or is gone.
    pub fn set_presence(&mut self, now: Instant, server: usize, presence: Presence, out: &mut Vec<Grant>) {
        if let Some(member) = self.members.get_mut(server) {
            member.set_presence(now, presence);
        }
        self.serve(now, out);
    }

    /// Another weight for a server.
    pub fn set_weight(&mut self, now: Instant, server: usize, weight: u32, out: &mut Vec<Grant>) {
        if let Some(member) = self.members.get_mut(server) {
            member.weight = weight;
        }
        self.serve(now, out);
    }

    /// Whether a server only serves while no other does.
    pub fn set_backup(&mut self, now: Instant, server: usize, backup: bool, out: &mut Vec<Grant>) {
        if let Some(member) = self.members.get_mut(server) {
            member.backup = backup;
        }
        self.serve(now, out);
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
        self.serve(now, out);
    }

    /// Whether somebody would have to wake this server.
    pub fn set_awake(&mut self, server: usize, awake: bool) {
        if let Some(member) = self.members.get_mut(server) {
            member.awake = awake;
        }
    }

    /// When a server is to be checked next.
    pub fn check_due(&self, server: usize) -> Option<Instant> {
        let wanted = !self.queue.is_empty() && !self.members.iter().any(Member::may_be_used);
        self.members.get(server)?.check_due(wanted)
    }

    /// Lets in who can be served, in the order in which they came.
    fn serve(&mut self, now: Instant, out: &mut Vec<Grant>) {
        while let Some((ticket, draw)) = self.queue.first() {
            let Some(pick) = self.choose(now, draw, &[]) else { return };
            self.queue.leave(ticket);
            self.take(pick);
            out.push(Grant { ticket, pick });
        }
    }

    fn take(&mut self, pick: Pick) {
        if let Some(member) = self.members.get_mut(pick.server) {
            member.take();
        }
    }

    fn choose(&mut self, now: Instant, draw: Draw, tried: &[bool]) -> Option<Pick> {
        let regular = self.members.iter().any(|member| !member.backup && member.may_be_used());
        let backup = || self.members.iter().position(|member| member.backup && member.may_be_used());
        let backup = if regular { None } else { backup() };
        let anyway = !regular && backup.is_none() && self.opens_anyway();
        self.candidates.clear();
        self.candidates.extend(self.members.iter().enumerate().map(|(server, member)| {
            let used = match (regular, backup) {
                (true, _) => !member.backup && member.may_be_used(),
                (false, Some(backup)) => server == backup,
                (false, None) => anyway && member.opens_anyway(),
            };
            let tried = tried.get(server).copied().unwrap_or(false);
            Candidate {
                open: used && !tried && member.has_room(),
                awake: member.awake,
                weight: member.health.effective_weight(member.weight, now),
                sessions: member.sessions,
            }
        }));
        self.balancer.pick(&self.candidates, draw)
    }

    fn opens_anyway(&self) -> bool {
        self.fail_open && self.members.iter().any(Member::opens_anyway)
    }
}
