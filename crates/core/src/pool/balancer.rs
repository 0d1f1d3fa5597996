//! The choice of a server among the candidates.

use std::num::NonZeroU32;

use super::balance::{Balance, Candidate, Pick, PickContext, hash, mix};

/// Chooses servers, and keeps the state that the algorithms need between two choices.
#[derive(Debug)]
pub struct Balancer {
    balance: Balance,
    servers: Vec<ServerState>,
    picks: u64,
}

#[derive(Debug)]
struct ServerState {
    /// The hash of the server name, so that the order of the list does not matter.
    hash: u64,
    /// The credit since the last choice (the current weight of smooth weighted round robin).
    credit: i128,
    /// The number of the choice in which the server was last chosen.
    last_pick: u64,
}

impl Balancer {
    /// Creates a balancer for servers of these names.
    pub fn new<'a>(balance: Balance, names: impl IntoIterator<Item = &'a str>) -> Self {
        let turn = |name: &str| ServerState { hash: hash(name.as_bytes()), credit: 0, last_pick: 0 };
        Self { balance, servers: names.into_iter().map(turn).collect(), picks: 0 }
    }

    /// The algorithm.
    pub fn balance(&self) -> Balance {
        self.balance
    }

    /// Chooses one of the candidates, which are in the order of the names.
    pub fn pick(&mut self, candidates: &[Candidate], context: PickContext) -> Option<Pick> {
        let plain = |server| Pick { server, wake: None };
        let pick = match self.balance {
            Balance::RoundRobin => self.pick_round_robin(candidates).map(plain),
            Balance::LeastConn => self.least_loaded(eligible(candidates)).map(plain),
            Balance::First { soft } => pick_first(candidates, soft),
            Balance::Source => self.pick_source(candidates, context.client_hash).map(plain),
            Balance::Random => self.pick_random(candidates, context.random).map(plain),
        }?;
        self.picks += 1;
        if let Some(turn) = self.servers.get_mut(pick.server) {
            turn.last_pick = self.picks;
        }
        Some(pick)
    }

    /// Smooth weighted round robin: each server gains its weight; the server with the most credit is chosen, and pays
    /// the sum of all weights.
    fn pick_round_robin(&mut self, candidates: &[Candidate]) -> Option<usize> {
        let mut total = 0;
        let mut best: Option<(usize, i128)> = None;
        for (server, candidate) in eligible(candidates) {
            let Some(turn) = self.servers.get_mut(server) else { continue };
            let weight = i128::from(candidate.weight);
            total += weight;
            turn.credit += weight;
            if best.is_none_or(|(_, credit)| turn.credit > credit) {
                best = Some((server, turn.credit));
            }
        }
        let (server, _) = best?;
        if let Some(turn) = self.servers.get_mut(server) {
            turn.credit -= total;
        }
        Some(server)
    }

    /// The server with the lowest load after one more session. Of equal servers, the one not chosen for the longest time.
    fn least_loaded<'a>(&self, candidates: impl Iterator<Item = (usize, &'a Candidate)>) -> Option<usize> {
        let last = |server: usize| self.servers.get(server).map_or(0, |turn| turn.last_pick);
        let fewest = candidates.min_by(|(a, one), (b, other)| {
            let (one, other) = (load(one, other), load(other, one));
            one.cmp(&other).then_with(|| last(*a).cmp(&last(*b)))
        });
        fewest.map(|(server, _)| server)
    }

    /// Weighted rendezvous hashing: each server has a score for the client, which does not depend on the other servers.
    fn pick_source(&self, candidates: &[Candidate], client: u64) -> Option<usize> {
        let value = |server: usize, candidate: &Candidate| {
            let turn = self.servers.get(server)?;
            Some(weight(candidate) / -unit(mix(turn.hash ^ client)).ln())
        };
        eligible(candidates)
            .filter_map(|(server, candidate)| Some((server, value(server, candidate)?)))
            .max_by(|(_, one), (_, other)| one.total_cmp(other))
            .map(|(server, _)| server)
    }

    fn pick_random(&self, candidates: &[Candidate], random: u64) -> Option<usize> {
        let total: u64 = eligible(candidates).map(|(_, candidate)| candidate.weight).sum();
        let drawn = |number: u64| {
            let mut mark = below(number, total);
            eligible(candidates).find(|(_, candidate)| match mark.checked_sub(candidate.weight) {
                Some(rest) => {
                    mark = rest;
                    false
                }
                None => true,
            })
        };
        let two = [drawn(mix(random)), drawn(mix(random ^ u64::MAX))];
        self.least_loaded(two.into_iter().flatten())
    }
}

/// The first server with free capacity. If all awake servers have `soft` sessions, the next server is woken, and the
/// session goes to an awake one meanwhile.
fn pick_first(candidates: &[Candidate], soft: Option<NonZeroU32>) -> Option<Pick> {
    let plain = |server| Pick { server, wake: None };
    let Some(soft) = soft.map(NonZeroU32::get) else {
        return eligible(candidates).next().map(|(server, _)| plain(server));
    };
    let of = |awake: bool| eligible(candidates).filter(move |(_, candidate)| candidate.awake == awake);
    let mut below_soft = of(true).filter(|(_, candidate)| candidate.sessions < soft);
    if let Some((server, _)) = below_soft.next() {
        return Some(plain(server));
    }
    let fewest = |awake| of(awake).min_by_key(|(_, candidate)| candidate.sessions).map(|(server, _)| server);
    // A server that is starting and has room left, or the next that sleeps.
    let next = of(false).find(|(_, candidate)| candidate.sessions < soft).map(|(server, _)| server);
    match (fewest(true), next) {
        (Some(server), wake) => Some(Pick { server, wake }),
        (None, Some(server)) => Some(plain(server)),
        (None, None) => fewest(false).map(plain),
    }
}

fn eligible(candidates: &[Candidate]) -> impl Iterator<Item = (usize, &Candidate)> {
    candidates.iter().enumerate().filter(|(_, candidate)| candidate.eligible && candidate.weight > 0)
}

/// The load of `one` with one more session, in a unit that is comparable with the load of `other`.
fn load(one: &Candidate, other: &Candidate) -> u128 {
    (u128::from(one.sessions) + 1) * u128::from(other.weight)
}

/// Maps a random number to `0..limit`.
fn below(number: u64, limit: u64) -> u64 {
    u64::try_from((u128::from(number) * u128::from(limit)) >> 64).unwrap_or_default()
}

/// Maps a random number to the open interval from 0 to 1.
#[expect(clippy::cast_precision_loss, reason = "52 bits are kept, which a double holds")]
fn unit(number: u64) -> f64 {
    const STEPS: f64 = (1u64 << 52) as f64;
    ((number >> 12) as f64 + 0.5) / STEPS
}

#[expect(clippy::cast_precision_loss, reason = "weights are small")]
fn weight(candidate: &Candidate) -> f64 {
    candidate.weight as f64
}
