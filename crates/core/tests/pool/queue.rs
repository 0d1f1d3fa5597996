//! All servers, who waits for them, and slots that are taken and left.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use dormouse_core::pool::{
    Admin, Arrival, Balance, Change, Draw, Finding, Grant, Health, Member, Pool, Presence, Rules, Status,
    Ticket,
};
use proptest::prelude::*;

use super::{Chance, SECOND, checks, names, number};

fn member(now: Instant, backup: bool, maxconn: Option<u32>) -> Member {
    let health = Health::new(Some(checks()), Admin::Ready, now, SECOND);
    Member::new(health, 1, backup, maxconn.map(number))
}

fn pool(members: Vec<Member>, fail_open: bool) -> Pool {
    let rules = Rules { balance: Balance::RoundRobin, queue_max: 1000, fail_open };
    let names = names(members.len());
    Pool::new(rules, names.iter().map(String::as_str).zip(members))
}

fn down(pool: &mut Pool, now: Instant, server: usize) {
    let change = pool.change(now, server, &mut Vec::new(), |health| health.force(now, false));
    assert_eq!(change, Some(Change::Down));
}

fn granted(pool: &mut Pool, now: Instant) -> Option<usize> {
    match pool.arrive(now, Draw::default()) {
        Arrival::Granted(pick) => Some(pick.server),
        Arrival::Queued(_) | Arrival::Refused => None,
    }
}

#[test]
fn backups_serve_only_while_nobody_else_does_and_the_first_of_them_alone() {
    let now = Instant::now();
    let of = |backup| member(now, backup, None);
    let mut pool = pool(vec![of(false), of(true), of(true)], false);
    assert_eq!([(); 2].map(|()| granted(&mut pool, now)), [Some(0); 2]);
    down(&mut pool, now, 0);
    assert_eq!([(); 2].map(|()| granted(&mut pool, now)), [Some(1); 2]);
    down(&mut pool, now, 1);
    assert_eq!(granted(&mut pool, now), Some(2));
}

#[test]
fn all_down_is_all_tried_only_where_that_was_asked_for() {
    let now = Instant::now();
    for fail_open in [false, true] {
        let mut pool = pool(vec![member(now, false, None), member(now, false, None)], fail_open);
        down(&mut pool, now, 0);
        down(&mut pool, now, 1);
        assert_eq!(pool.is_served(), fail_open);
        assert_eq!(granted(&mut pool, now).is_some(), fail_open);
    }
}

#[test]
fn whoever_waits_is_served_when_a_server_comes_back() {
    let now = Instant::now();
    let mut pool = pool(vec![member(now, false, Some(1))], false);
    down(&mut pool, now, 0);
    let Arrival::Queued(ticket) = pool.arrive(now, Draw::default()) else { panic!("not queued") };
    assert_eq!(pool.check_due(0), Some(now + SECOND / 20));
    let mut out = Vec::new();
    pool.change(now, 0, &mut out, |health| health.force(now, true));
    let tickets: Vec<Ticket> = out.iter().map(|grant| grant.ticket).collect();
    assert_eq!(tickets, [ticket]);
}

#[test]
fn nobody_gets_an_empty_slot_whatever_an_administrator_says_of_it() {
    let now = Instant::now();
    for fail_open in [false, true] {
        let mut pool = pool(vec![member(now, false, None).with(Presence::Vacant)], fail_open);
        let mut out = Vec::new();
        for admin in [Admin::Drain, Admin::Maint, Admin::Ready] {
            pool.set_admin(now, 0, admin, &mut out);
            let slot = &pool.members()[0];
            assert_eq!((slot.status(), slot.admin(), slot.is_up()), (Status::Maint, Admin::Maint, false));
            assert_eq!((pool.check_due(0), pool.is_served()), (None, false));
            pool.change(now, 0, &mut out, |_| panic!("what a check finds there is of nobody"));
        }
        let Arrival::Queued(ticket) = pool.arrive(now, Draw::default()) else { panic!("not queued") };
        pool.set_presence(now, 0, Presence::Here, &mut out);
        assert_eq!(out.iter().map(|grant| grant.ticket).collect::<Vec<_>>(), [ticket]);
        assert!(pool.check_due(0).is_some());
    }
}

#[test]
fn an_administrators_word_on_a_slot_stays_whoever_sits_there() {
    let now = Instant::now();
    let mut pool = pool(vec![member(now, false, None)], true);
    let mut out = Vec::new();
    for (admin, status) in [(Admin::Maint, Status::Maint), (Admin::Drain, Status::Drain)] {
        pool.set_admin(now, 0, admin, &mut out);
        // It has another share, leaves, comes back, goes, and another comes.
        pool.set_weight(now, 0, 7, &mut out);
        for presence in [Presence::Here, Presence::Leaving, Presence::Here, Presence::Vacant, Presence::Here]
        {
            pool.set_presence(now, 0, presence, &mut out);
            assert!(!pool.takes_sessions(0));
        }
        assert_eq!((pool.members()[0].status(), granted(&mut pool, now)), (status, None));
    }
}

#[test]
fn who_leaves_gets_no_more_sessions_and_who_comes_begins_anew() {
    let now = Instant::now();
    let mut pool = pool(vec![member(now, false, None)], true);
    let mut out = Vec::new();
    down(&mut pool, now, 0);
    pool.set_presence(now, 0, Presence::Leaving, &mut out);
    assert_eq!((pool.members()[0].status(), granted(&mut pool, now)), (Status::Down, None));
    assert!(pool.check_due(0).is_some());
    // The same comes back: what is known of it is of it still.
    pool.set_presence(now, 0, Presence::Here, &mut out);
    assert_eq!(pool.members()[0].status(), Status::Down);
    pool.set_presence(now, 0, Presence::Vacant, &mut out);
    pool.set_presence(now + SECOND, 0, Presence::Here, &mut out);
    assert_eq!((pool.members()[0].status(), pool.check_due(0)), (Status::Up, Some(now + SECOND)));
    pool.set_presence(now, 0, Presence::Leaving, &mut out);
    assert_eq!(pool.members()[0].status(), Status::Drain);
}

/// A random life of a pool. After every step: no server above its limit, nobody waits whom a server could take, those
/// that wait are served in the order in which they came, and each of them once.
#[derive(Debug)]
struct Life {
    pool: Pool,
    now: Instant,
    chance: Chance,
    /// Which server each session has.
    open: Vec<usize>,
    queue: VecDeque<Ticket>,
    limits: Vec<Option<u32>>,
}

impl std::fmt::Debug for Chance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl Life {
    fn new(seed: u64) -> Self {
        let (now, mut chance) = (Instant::now(), Chance(seed));
        let count = 1 + chance.below(5);
        let limits: Vec<_> =
            (0..count).map(|_| (chance.below(4) > 0).then(|| 1 + (chance.next() % 3) as u32)).collect();
        let members: Vec<_> = limits.iter().map(|limit| member(now, chance.below(4) == 0, *limit)).collect();
        let balance = [
            Balance::RoundRobin,
            Balance::LeastConn,
            Balance::First { soft: None },
            Balance::First { soft: Some(number(2)) },
            Balance::Source,
            Balance::Random,
        ][chance.below(6)];
        let rules = Rules { balance, queue_max: 20, fail_open: chance.below(8) == 0 };
        let names = names(count);
        let pool = Pool::new(rules, names.iter().map(String::as_str).zip(members));
        Self { pool, now, chance, open: Vec::new(), queue: VecDeque::new(), limits }
    }

    fn step(&mut self) {
        self.now += Duration::from_millis(self.chance.next() % 700);
        let (now, mut out) = (self.now, Vec::new());
        let server = self.chance.below(self.limits.len());
        match self.chance.below(13) {
            0..=3 => match self.pool.arrive(now, self.chance.draw()) {
                Arrival::Granted(pick) => {
                    assert!(self.queue.is_empty(), "{} were overtaken", self.queue.len());
                    self.open.push(pick.server);
                }
                Arrival::Queued(ticket) => self.queue.push_back(ticket),
                Arrival::Refused => assert!(!self.pool.may_wait()),
            },
            4..=6 if !self.open.is_empty() => {
                let server = self.open.swap_remove(self.chance.below(self.open.len()));
                self.pool.release(now, server, &mut out);
            }
            7 if !self.queue.is_empty() => {
                let left = self.queue.remove(self.chance.below(self.queue.len())).unwrap();
                assert!(self.pool.leave(left));
                assert!(!self.pool.leave(left));
            }
            8 => {
                let up = self.chance.below(2) == 0;
                self.pool.change(now, server, &mut out, |health| {
                    health.checked(now, if up { Finding::Passed } else { Finding::Failed })
                });
            }
            9 => {
                let admin = [Admin::Ready, Admin::Ready, Admin::Drain, Admin::Maint][self.chance.below(4)];
                self.pool.set_admin(now, server, admin, &mut out);
            }
            10 => {
                let weight = (self.chance.next() % 4) as u32;
                self.pool.set_weight(now, server, weight, &mut out);
            }
            11 => {
                let tried: Vec<bool> = self.limits.iter().map(|_| self.chance.below(2) == 0).collect();
                if let Some(pick) = self.pool.another(now, self.chance.draw(), &tried) {
                    assert!(!tried[pick.server] && self.queue.is_empty());
                    self.open.push(pick.server);
                }
            }
            12 => {
                let presences = [Presence::Here, Presence::Here, Presence::Leaving, Presence::Vacant];
                self.pool.set_presence(now, server, presences[self.chance.below(4)], &mut out);
            }
            _ => {}
        }
        for Grant { ticket, pick } in out {
            assert_eq!(Some(ticket), self.queue.pop_front(), "out of turn");
            self.open.push(pick.server);
        }
        self.holds();
    }

    fn holds(&mut self) {
        assert_eq!(self.pool.waiting(), self.queue.len());
        for (index, (member, limit)) in self.pool.members().iter().zip(&self.limits).enumerate() {
            let sessions = self.open.iter().filter(|server| **server == index).count();
            assert_eq!(member.sessions() as usize, sessions);
            assert!(limit.is_none_or(|limit| member.sessions() <= limit), "{sessions} above {limit:?}");
            assert!(member.presence() == Presence::Here || !self.pool.takes_sessions(index));
        }
        if !self.queue.is_empty() {
            let roomy = |member: &Member| {
                !member.is_backup()
                    && member.weight() > 0
                    && member.takes_sessions()
                    && member.maxconn().is_none_or(|limit| member.sessions() < limit.get())
            };
            assert!(!self.pool.members().iter().any(roomy), "somebody waits beside a server with room");
        }
    }
}

proptest! {
    #[test]
    fn whatever_happens_the_queue_is_just_and_no_server_has_too_many(seed: u64) {
        let mut life = Life::new(seed);
        for _ in 0..400 {
            life.step();
        }
    }
}
