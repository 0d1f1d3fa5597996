//! Several servers behind one service: the choice among them, their health, and the queue.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test's helpers fail as its body does"
)]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "a test's numbers are small"
)]

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use dormouse_core::pool::{
    Admin, Arrival, Balance, Balancer, Candidate, Change, Checks, Draw, Finding, Grant, Health, Init, Member,
    Observe, OnError, Pool, Presence, Rules, Status, Ticket, hash,
};
use proptest::prelude::*;

const SECOND: Duration = Duration::from_secs(1);

fn number(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|index| format!("server{index}")).collect()
}

fn balancer(balance: Balance, count: usize) -> Balancer {
    Balancer::new(balance, names(count).iter().map(String::as_str))
}

fn idle(weight: u64) -> Candidate {
    Candidate { open: true, awake: true, weight, sessions: 0 }
}

/// Numbers as they would be drawn.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        hash(&self.0.to_le_bytes())
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }

    fn draw(&mut self) -> Draw {
        Draw { client: self.next(), random: self.next() }
    }
}

/// How many of so many sessions each server got.
fn distribute(balance: Balance, weights: &[u64], sessions: usize, seed: u64, keep: bool) -> Vec<usize> {
    let (mut balancer, mut chance) = (balancer(balance, weights.len()), Chance(seed));
    let mut candidates: Vec<Candidate> = weights.iter().map(|weight| idle(*weight)).collect();
    let mut got = vec![0; weights.len()];
    for _ in 0..sessions {
        let server = balancer.pick(&candidates, chance.draw()).unwrap().server;
        got[server] += 1;
        candidates[server].sessions += u32::from(keep);
    }
    got
}

/// The largest part of all sessions by which a server has more or less than its weight says.
fn deviation(got: &[usize], weights: &[u64]) -> f64 {
    let (sessions, total): (usize, u64) = (got.iter().sum(), weights.iter().sum());
    let parts = got
        .iter()
        .zip(weights)
        .map(|(got, weight)| (*got as f64 / sessions as f64 - *weight as f64 / total as f64).abs());
    parts.fold(0.0, f64::max)
}

proptest! {
    #[test]
    fn turns_and_the_fewest_sessions_follow_the_weights(
        weights in prop::collection::vec(1u64..=256, 1..8),
        seed: u64,
    ) {
        for (balance, keep) in [(Balance::RoundRobin, false), (Balance::LeastConn, true)] {
            let got = distribute(balance, &weights, 4000, seed, keep);
            prop_assert!(deviation(&got, &weights) < 0.01, "{balance:?}: {got:?} for {weights:?}");
        }
    }

    #[test]
    fn two_that_are_drawn_even_out_what_they_hold(
        weights in prop::collection::vec(1u64..=256, 1..8),
        seed: u64,
    ) {
        let got = distribute(Balance::Random, &weights, 20_000, seed, true);
        prop_assert!(deviation(&got, &weights) < 0.01, "{got:?} for {weights:?}");
    }

    #[test]
    fn a_server_that_leaves_moves_only_its_own_clients(
        count in 2usize..12,
        gone in any::<prop::sample::Index>(),
        seed: u64,
    ) {
        const CLIENTS: usize = 4000;
        let gone = gone.index(count);
        let mut balancer = balancer(Balance::Source, count);
        let all = vec![idle(1); count];
        let mut rest = all.clone();
        rest[gone].open = false;
        let mut moved = 0;
        for client in 0..CLIENTS {
            let draw = Draw { client: hash(&(seed ^ client as u64).to_le_bytes()), random: 0 };
            let before = balancer.pick(&all, draw).unwrap().server;
            let after = balancer.pick(&rest, draw).unwrap().server;
            prop_assert!(before == after || before == gone);
            moved += usize::from(before != after);
        }
        prop_assert!(moved <= CLIENTS / count + CLIENTS / 20, "{moved} of {CLIENTS} moved, {count} servers");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn clients_spread_by_weight(weights in prop::collection::vec(1u64..=8, 1..8), seed: u64) {
        let got = distribute(Balance::Source, &weights, 60_000, seed, false);
        prop_assert!(deviation(&got, &weights) < 0.01, "{got:?} for {weights:?}");
    }
}

#[test]
fn turns_are_smooth() {
    let mut balancer = balancer(Balance::RoundRobin, 3);
    let candidates = [idle(4), idle(2), idle(1)];
    let order: Vec<usize> =
        (0..7).map(|_| balancer.pick(&candidates, Draw::default()).unwrap().server).collect();
    assert_eq!(order, [0, 1, 0, 2, 0, 1, 0]);
}

#[test]
fn equals_take_turns_where_the_fewest_sessions_count() {
    let mut balancer = balancer(Balance::LeastConn, 3);
    let order: Vec<usize> =
        (0..6).map(|_| balancer.pick(&[idle(1); 3], Draw::default()).unwrap().server).collect();
    assert_eq!(order, [0, 1, 2, 0, 1, 2]);
}

#[test]
fn nothing_that_is_not_open_or_has_no_weight_is_chosen() {
    let closed = Candidate { open: false, ..idle(1) };
    for balance in [
        Balance::RoundRobin,
        Balance::LeastConn,
        Balance::First { soft: None },
        Balance::First { soft: Some(number(1)) },
        Balance::Source,
        Balance::Random,
    ] {
        let mut balancer = balancer(balance, 3);
        assert_eq!(balancer.pick(&[closed, idle(0), closed], Draw::default()), None, "{balance:?}");
        let pick = balancer.pick(&[closed, idle(0), idle(1)], Draw::default()).unwrap();
        assert_eq!((pick.server, pick.wake), (2, None), "{balance:?}");
    }
}

#[test]
fn the_next_server_is_woken_when_all_that_are_awake_have_enough() {
    let mut balancer = balancer(Balance::First { soft: Some(number(2)) }, 3);
    let asleep = Candidate { awake: false, ..idle(1) };
    let busy = |sessions| Candidate { sessions, ..idle(1) };
    let mut pick = |candidates: [Candidate; 3]| {
        let pick = balancer.pick(&candidates, Draw::default()).unwrap();
        (pick.server, pick.wake)
    };
    assert_eq!(pick([busy(1), asleep, asleep]), (0, None));
    assert_eq!(pick([busy(2), asleep, asleep]), (0, Some(1)));
    assert_eq!(pick([busy(3), busy(2), busy(2)]), (1, None));
    assert_eq!(pick([asleep, asleep, asleep]), (0, None));
    let waking = Candidate { awake: false, ..busy(2) };
    assert_eq!(pick([waking, asleep, asleep]), (1, None));
    assert_eq!(pick([waking, waking, waking]), (0, None));
}

fn checks() -> Checks {
    Checks { fastinter: SECOND / 2, downinter: SECOND * 5, init: Init::FullyUp, ..Checks::default() }
}

fn health(checks: Checks, now: Instant) -> Health {
    Health::new(Some(checks), Admin::Ready, now, SECOND)
}

#[test]
fn three_failures_take_it_down_and_two_successes_bring_it_back() {
    let now = Instant::now();
    let mut health = health(checks(), now);
    let due = |health: &Health| health.due(false).unwrap() - now;
    assert_eq!(due(&health), SECOND);
    assert_eq!(health.checked(now, Finding::Failed), None);
    assert_eq!(due(&health), SECOND / 2);
    assert_eq!(health.checked(now, Finding::Passed), None);
    assert_eq!(due(&health), SECOND * 2);
    assert_eq!([(); 3].map(|()| health.checked(now, Finding::Failed)), [None, None, Some(Change::Down)]);
    assert_eq!((health.status(), health.takes_sessions(), health.downs()), (Status::Down, false, 1));
    assert_eq!(due(&health), SECOND * 5);
    assert_eq!(health.checked(now, Finding::Passed), None);
    assert_eq!(due(&health), SECOND / 2);
    assert_eq!(health.checked(now, Finding::Failed), None);
    assert_eq!(due(&health), SECOND * 5);
    assert_eq!([(); 2].map(|()| health.checked(now, Finding::Passed)), [None, Some(Change::Up)]);
    assert_eq!(health.status(), Status::Up);
}

#[test]
fn the_first_checks_count_as_the_initial_state_says() {
    let now = Instant::now();
    let until_change = |init, finding| {
        let mut health = health(Checks { init, ..checks() }, now);
        (1..10).find(|_| health.checked(now, finding).is_some()).unwrap()
    };
    assert_eq!(until_change(Init::Up, Finding::Failed), 1);
    assert_eq!(until_change(Init::FullyUp, Finding::Failed), 3);
    assert_eq!(until_change(Init::Down, Finding::Passed), 1);
    assert_eq!(until_change(Init::FullyDown, Finding::Passed), 2);
}

#[test]
fn traffic_that_fails_does_what_it_is_told_to() {
    let now = Instant::now();
    let after_errors = |on_error, errors: usize| {
        let observe = Some(Observe { error_limit: number(10), on_error });
        let mut health = health(Checks { observe, ..checks() }, now);
        for _ in 0..errors {
            health.observed(now, false);
        }
        (health.is_up(), health.due(false).unwrap() - now, health)
    };
    let (up, ..) = after_errors(OnError::FailCheck, 9);
    assert!(up);
    let (up, due, mut once) = after_errors(OnError::FastInter, 10);
    assert!(up && due < SECOND / 2 && once.checked(now, Finding::Failed).is_none());
    let (up, _, mut once) = after_errors(OnError::FailCheck, 10);
    assert!(
        up && once.checked(now, Finding::Failed).is_none()
            && once.checked(now, Finding::Failed) == Some(Change::Down)
    );
    let (up, _, mut once) = after_errors(OnError::SuddenDeath, 10);
    assert!(up && once.checked(now, Finding::Failed) == Some(Change::Down));
    let (up, _, _) = after_errors(OnError::MarkDown, 10);
    assert!(!up);
    let (up, ..) = after_errors(OnError::FailCheck, 30);
    assert!(!up);
}

#[test]
fn one_session_that_gets_through_ends_a_series_of_errors() {
    let now = Instant::now();
    let observe = Some(Observe { error_limit: number(2), on_error: OnError::MarkDown });
    let mut health = health(Checks { observe, ..checks() }, now);
    for _ in 0..10 {
        assert_eq!(health.observed(now, false), None);
        assert_eq!(health.observed(now, true), None);
    }
}

#[test]
fn traffic_that_gets_through_spares_the_checks_and_one_that_does_not_calls_for_one() {
    let now = Instant::now();
    let mut health = health(Checks { passive: true, ..checks() }, now);
    health.observed(now + SECOND / 2, true);
    assert_eq!(health.due(false), Some(now + SECOND * 5 / 2));
    health.observed(now + SECOND, false);
    assert_eq!(health.due(false), Some(now + SECOND));
    // One check for many of them.
    health.checked(now + SECOND, Finding::Failed);
    health.observed(now + SECOND, false);
    assert_eq!(health.due(false), Some(now + SECOND * 3 / 2));
}

#[test]
fn the_first_that_does_not_get_through_calls_for_a_check_but_not_for_one_upon_another() {
    let now = Instant::now();
    let mut health = health(checks(), now);
    health.observed(now, false);
    assert_eq!(health.due(false), Some(now + SECOND / 20));
    health.checked(now + SECOND / 20, Finding::Passed);
    health.observed(now + SECOND / 2, false);
    assert_eq!(health.due(false), Some(now + SECOND / 2));
    // What a check has confirmed takes its usual course.
    health.checked(now + SECOND / 2, Finding::Failed);
    health.observed(now + SECOND, false);
    assert_eq!(health.due(false), Some(now + SECOND));
    assert!(health.is_up());
}

#[test]
fn a_suspicion_is_no_failure_but_calls_for_a_check() {
    let now = Instant::now();
    let mut health = health(checks(), now);
    for _ in 0..5 {
        health.suspect(now);
    }
    assert!(health.is_up());
    assert_eq!(health.due(false), Some(now + SECOND / 2));
}

#[test]
fn what_sleeps_or_is_in_maintenance_is_not_checked() {
    let now = Instant::now();
    let mut health = health(checks(), now);
    health.checked(now, Finding::Failed);
    assert_eq!(health.asleep(now + SECOND), None);
    assert_eq!(health.due(false), Some(now + SECOND * 3));
    health.set_admin(now, Admin::Maint);
    assert_eq!((health.due(true), health.status()), (None, Status::Maint));
    assert_eq!(health.checked(now, Finding::Failed), None);
    health.set_admin(now, Admin::Drain);
    assert_eq!((health.status(), health.takes_sessions()), (Status::Drain, false));
    assert!(health.due(false).is_some());
    health.set_admin(now, Admin::Ready);
    assert!(health.takes_sessions());
}

#[test]
fn a_server_that_came_back_gets_its_share_by_and_by() {
    let now = Instant::now();
    let mut health = health(Checks { slowstart: SECOND * 10, ..checks() }, now);
    assert_eq!(health.effective_weight(10, now), 2560);
    assert_eq!(health.force(now, false), Some(Change::Down));
    assert_eq!(health.force(now, true), Some(Change::Up));
    let at = |seconds| health.effective_weight(10, now + SECOND * seconds);
    assert_eq!([at(0), at(1), at(5), at(10), at(11)], [1, 256, 1280, 2560, 2560]);
    assert_eq!(health.effective_weight(0, now + SECOND), 0);
}

#[test]
fn whoever_waits_for_a_server_that_is_down_has_it_looked_at_often() {
    let now = Instant::now();
    let mut health = health(checks(), now);
    health.force(now, false);
    health.checked(now, Finding::Failed);
    assert_eq!(health.due(false), Some(now + SECOND * 5));
    assert_eq!(health.due(true), Some(now + SECOND / 20));
}

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
fn nobody_gets_an_empty_seat_whatever_an_administrator_says_of_it() {
    let now = Instant::now();
    for fail_open in [false, true] {
        let mut pool = pool(vec![member(now, false, None).with(Presence::Vacant)], fail_open);
        let mut out = Vec::new();
        for admin in [Admin::Drain, Admin::Maint, Admin::Ready] {
            pool.set_admin(now, 0, admin, &mut out);
            let seat = &pool.members()[0];
            assert_eq!((seat.status(), seat.admin(), seat.is_up()), (Status::Maint, Admin::Maint, false));
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
fn an_administrators_word_on_a_seat_stays_whoever_sits_there() {
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
