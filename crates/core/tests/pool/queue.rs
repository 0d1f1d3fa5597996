//! The pool: backups, the queue, and slots whose servers change.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use dormouse_core::pool::{
    AdminState, Assignment, Balance, CheckResult, Grant, Health, HealthChange, Member, PickContext, Pool,
    PoolSettings, SlotState, Status, WaiterId,
};
use proptest::prelude::*;

use super::{CASES, Chance, SECOND, checks, names, number};

fn member(now: Instant, backup: bool, maxconn: Option<u32>) -> Member {
    let health = Health::new(Some(checks()), AdminState::Ready, now, SECOND);
    Member::new(health, 1, backup, maxconn.map(number))
}

fn pool(members: Vec<Member>, fail_open: bool) -> Pool {
    let rules = PoolSettings { balance: Balance::RoundRobin, queue_max: 1000, fail_open };
    let names = names(members.len());
    Pool::new(rules, names.iter().map(String::as_str).zip(members))
}

fn down(pool: &mut Pool, now: Instant, server: usize) {
    let change = pool.update_health(now, server, &mut Vec::new(), |health| health.force(now, false));
    assert_eq!(change, Some(HealthChange::Down));
}

fn granted(pool: &mut Pool, now: Instant) -> Option<usize> {
    match pool.request(now, PickContext::default()) {
        Assignment::Granted(pick) => Some(pick.server),
        Assignment::Queued(_) | Assignment::Refused => None,
    }
}

#[test]
fn only_the_first_backup_serves_and_only_while_no_other_server_does() {
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
fn servers_that_are_down_are_tried_only_with_fail_open() {
    let now = Instant::now();
    for fail_open in [false, true] {
        let mut pool = pool(vec![member(now, false, None), member(now, false, None)], fail_open);
        down(&mut pool, now, 0);
        down(&mut pool, now, 1);
        assert_eq!(pool.has_usable_server(), fail_open);
        assert_eq!(granted(&mut pool, now).is_some(), fail_open);
    }
}

#[test]
fn a_waiting_session_is_granted_when_a_server_comes_up() {
    let now = Instant::now();
    let mut pool = pool(vec![member(now, false, Some(1))], false);
    down(&mut pool, now, 0);
    let Assignment::Queued(waiter) = pool.request(now, PickContext::default()) else { panic!("not queued") };
    assert_eq!(pool.next_check(0), Some(now + SECOND / 20));
    let mut out = Vec::new();
    pool.update_health(now, 0, &mut out, |health| health.force(now, true));
    let tickets: Vec<WaiterId> = out.iter().map(|grant| grant.waiter).collect();
    assert_eq!(tickets, [waiter]);
}

#[test]
fn an_empty_slot_gets_no_sessions_in_any_admin_state() {
    let now = Instant::now();
    for fail_open in [false, true] {
        let mut pool = pool(vec![member(now, false, None).with_slot_state(SlotState::Empty)], fail_open);
        let mut out = Vec::new();
        for admin in [AdminState::Drain, AdminState::Maint, AdminState::Ready] {
            pool.set_admin(now, 0, admin, &mut out);
            let slot = &pool.members()[0];
            assert_eq!(
                (slot.status(), slot.admin(), slot.is_up()),
                (Status::Maint, AdminState::Maint, false)
            );
            assert_eq!((pool.next_check(0), pool.has_usable_server()), (None, false));
            pool.update_health(now, 0, &mut out, |_| panic!("an empty slot has no health"));
        }
        let Assignment::Queued(waiter) = pool.request(now, PickContext::default()) else {
            panic!("not queued")
        };
        pool.set_slot_state(now, 0, SlotState::Active, &mut out);
        assert_eq!(out.iter().map(|grant| grant.waiter).collect::<Vec<_>>(), [waiter]);
        assert!(pool.next_check(0).is_some());
    }
}

#[test]
fn the_admin_state_of_a_slot_survives_a_change_of_its_server() {
    let now = Instant::now();
    let mut pool = pool(vec![member(now, false, None)], true);
    let mut out = Vec::new();
    for (admin, status) in [(AdminState::Maint, Status::Maint), (AdminState::Drain, Status::Drain)] {
        pool.set_admin(now, 0, admin, &mut out);
        // The server gets another weight, drains, returns, leaves, and another server comes.
        pool.set_weight(now, 0, 7, &mut out);
        for slot_state in
            [SlotState::Active, SlotState::Draining, SlotState::Active, SlotState::Empty, SlotState::Active]
        {
            pool.set_slot_state(now, 0, slot_state, &mut out);
            assert!(!pool.takes_sessions(0));
        }
        assert_eq!((pool.members()[0].status(), granted(&mut pool, now)), (status, None));
    }
}

#[test]
fn a_draining_slot_gets_no_sessions_and_a_new_server_starts_without_history() {
    let now = Instant::now();
    let mut pool = pool(vec![member(now, false, None)], true);
    let mut out = Vec::new();
    down(&mut pool, now, 0);
    pool.set_slot_state(now, 0, SlotState::Draining, &mut out);
    assert_eq!((pool.members()[0].status(), granted(&mut pool, now)), (Status::Down, None));
    assert!(pool.next_check(0).is_some());
    // The same server returns and keeps its health.
    pool.set_slot_state(now, 0, SlotState::Active, &mut out);
    assert_eq!(pool.members()[0].status(), Status::Down);
    pool.set_slot_state(now, 0, SlotState::Empty, &mut out);
    pool.set_slot_state(now + SECOND, 0, SlotState::Active, &mut out);
    assert_eq!((pool.members()[0].status(), pool.next_check(0)), (Status::Up, Some(now + SECOND)));
    pool.set_slot_state(now, 0, SlotState::Draining, &mut out);
    assert_eq!(pool.members()[0].status(), Status::Drain);
}

/// A random simulation of a pool. After every step, no server exceeds its limit, no session waits that a server could
/// take, and the waiting sessions are granted in their order, each once.
#[derive(Debug)]
struct Simulation {
    pool: Pool,
    now: Instant,
    chance: Chance,
    /// The server of each session.
    open: Vec<usize>,
    queue: VecDeque<WaiterId>,
    limits: Vec<Option<u32>>,
}

impl std::fmt::Debug for Chance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl Simulation {
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
        let rules = PoolSettings { balance, queue_max: 20, fail_open: chance.below(8) == 0 };
        let names = names(count);
        let pool = Pool::new(rules, names.iter().map(String::as_str).zip(members));
        Self { pool, now, chance, open: Vec::new(), queue: VecDeque::new(), limits }
    }

    fn step(&mut self) {
        self.now += Duration::from_millis(self.chance.next() % 700);
        let (now, mut out) = (self.now, Vec::new());
        let server = self.chance.below(self.limits.len());
        match self.chance.below(13) {
            0..=3 => match self.pool.request(now, self.chance.context()) {
                Assignment::Granted(pick) => {
                    assert!(self.queue.is_empty(), "{} waiting sessions were overtaken", self.queue.len());
                    self.open.push(pick.server);
                }
                Assignment::Queued(waiter) => self.queue.push_back(waiter),
                Assignment::Refused => assert!(!self.pool.can_queue()),
            },
            4..=6 if !self.open.is_empty() => {
                let server = self.open.swap_remove(self.chance.below(self.open.len()));
                self.pool.release(now, server, &mut out);
            }
            7 if !self.queue.is_empty() => {
                let left = self.queue.remove(self.chance.below(self.queue.len())).unwrap();
                assert!(self.pool.cancel(left));
                assert!(!self.pool.cancel(left));
            }
            8 => {
                let up = self.chance.below(2) == 0;
                self.pool.update_health(now, server, &mut out, |health| {
                    health.record_check(now, if up { CheckResult::Passed } else { CheckResult::Failed })
                });
            }
            9 => {
                let admin = [AdminState::Ready, AdminState::Ready, AdminState::Drain, AdminState::Maint]
                    [self.chance.below(4)];
                self.pool.set_admin(now, server, admin, &mut out);
            }
            10 => {
                let weight = (self.chance.next() % 4) as u32;
                self.pool.set_weight(now, server, weight, &mut out);
            }
            11 => {
                let tried: Vec<bool> = self.limits.iter().map(|_| self.chance.below(2) == 0).collect();
                if let Some(pick) = self.pool.pick_other(now, self.chance.context(), &tried) {
                    assert!(!tried[pick.server] && self.queue.is_empty());
                    self.open.push(pick.server);
                }
            }
            12 => {
                let states = [SlotState::Active, SlotState::Active, SlotState::Draining, SlotState::Empty];
                self.pool.set_slot_state(now, server, states[self.chance.below(4)], &mut out);
            }
            _ => {}
        }
        for Grant { waiter, pick } in out {
            assert_eq!(Some(waiter), self.queue.pop_front(), "out of turn");
            self.open.push(pick.server);
        }
        self.check_invariants();
    }

    fn check_invariants(&mut self) {
        assert_eq!(self.pool.waiting(), self.queue.len());
        for (index, (member, limit)) in self.pool.members().iter().zip(&self.limits).enumerate() {
            let sessions = self.open.iter().filter(|server| **server == index).count();
            assert_eq!(member.sessions() as usize, sessions);
            assert!(limit.is_none_or(|limit| member.sessions() <= limit), "{sessions} above {limit:?}");
            assert!(member.slot_state() == SlotState::Active || !self.pool.takes_sessions(index));
        }
        if !self.queue.is_empty() {
            let has_capacity = |member: &Member| {
                !member.is_backup()
                    && member.weight() > 0
                    && member.takes_sessions()
                    && member.maxconn().is_none_or(|limit| member.sessions() < limit.get())
            };
            assert!(
                !self.pool.members().iter().any(has_capacity),
                "a session waits although a server has capacity"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn the_queue_is_fair_and_no_server_exceeds_its_limit(seed: u64) {
        let mut simulation = Simulation::new(seed);
        for _ in 0..400 {
            simulation.step();
        }
    }
}
