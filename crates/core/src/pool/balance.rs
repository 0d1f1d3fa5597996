//! Which of several servers a session gets.

use std::num::NonZeroU32;

/// How servers are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Balance {
    /// In turn, each as often as its weight says, and never twice where another is due.
    RoundRobin,
    /// The one with the fewest sessions for its weight.
    LeastConn,
    /// The first that has room, so that the last ones can sleep.
    First {
        /// How many sessions each holds before the next that sleeps is woken. `None`: all that it can.
        soft: Option<NonZeroU32>,
    },
    /// The same for the same client. A server that leaves moves only its own clients.
    Source,
    /// Of two that are drawn, the one with the fewer sessions for its weight.
    Random,
}

impl Balance {
    /// Whether it matters where a client comes from.
    pub fn uses_client_address(self) -> bool {
        self == Self::Source
    }

    /// Whether a client that failed to connect loses nothing with another server, as in `HAProxy`.
    pub fn redispatches_at_once(self) -> bool {
        matches!(self, Self::RoundRobin | Self::Random)
    }
}

/// What the choice may depend on, besides the servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PickContext {
    /// Stands for the client: [`hash`] of where it comes from.
    pub client_hash: u64,
    /// Any number, each with the same chance.
    pub random: u64,
}

/// A server, as far as the choice goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// It may get this session.
    pub eligible: bool,
    /// Nobody has to wake it.
    pub awake: bool,
    /// Its share, in any unit that is the same for all.
    pub weight: u64,
    /// Sessions that it has.
    pub sessions: u32,
}

/// The choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pick {
    /// The server's place in the list.
    pub server: usize,
    /// One that is to be woken besides, for those who come later.
    pub wake: Option<usize>,
}

/// Chooses, and remembers whose turn it was.
#[derive(Debug)]
pub struct Balancer {
    balance: Balance,
    servers: Vec<Turn>,
    picks: u64,
}

#[derive(Debug)]
struct Turn {
    /// Stands for the server among others, wherever it is in the list.
    hash: u64,
    /// What it has credit up since it was last chosen.
    credit: i128,
    /// When it was chosen last, counted in choices.
    last_pick: u64,
}

impl Balancer {
    /// For servers of these names.
    pub fn new<'a>(balance: Balance, names: impl IntoIterator<Item = &'a str>) -> Self {
        let turn = |name: &str| Turn { hash: hash(name.as_bytes()), credit: 0, last_pick: 0 };
        Self { balance, servers: names.into_iter().map(turn).collect(), picks: 0 }
    }

    /// How it chooses.
    pub fn balance(&self) -> Balance {
        self.balance
    }

    /// Chooses one of the candidates, which stand in the order of the names.
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

    /// Smooth weighted round robin: each saves up its weight, the richest is chosen and pays for all.
    fn pick_round_robin(&mut self, candidates: &[Candidate]) -> Option<usize> {
        let mut total = 0;
        let mut richest: Option<(usize, i128)> = None;
        for (server, candidate) in eligible(candidates) {
            let Some(turn) = self.servers.get_mut(server) else { continue };
            let weight = i128::from(candidate.weight);
            total += weight;
            turn.credit += weight;
            if richest.is_none_or(|(_, credit)| turn.credit > credit) {
                richest = Some((server, turn.credit));
            }
        }
        let (server, _) = richest?;
        if let Some(turn) = self.servers.get_mut(server) {
            turn.credit -= total;
        }
        Some(server)
    }

    /// The least loaded with one more session; of equals the one that waits longest.
    fn least_loaded<'a>(&self, candidates: impl Iterator<Item = (usize, &'a Candidate)>) -> Option<usize> {
        let last = |server: usize| self.servers.get(server).map_or(0, |turn| turn.last_pick);
        let fewest = candidates.min_by(|(a, one), (b, other)| {
            let (one, other) = (load(one, other), load(other, one));
            one.cmp(&other).then_with(|| last(*a).cmp(&last(*b)))
        });
        fewest.map(|(server, _)| server)
    }

    /// The server that values this client most (rendezvous hashing): what the others think does not change with one
    /// that comes or leaves.
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

/// The first with room. Where all that are awake hold as many sessions as they should, the next one is woken, and the
/// client does not wait for it.
fn pick_first(candidates: &[Candidate], soft: Option<NonZeroU32>) -> Option<Pick> {
    let plain = |server| Pick { server, wake: None };
    let Some(soft) = soft.map(NonZeroU32::get) else {
        return eligible(candidates).next().map(|(server, _)| plain(server));
    };
    let of = |awake: bool| eligible(candidates).filter(move |(_, candidate)| candidate.awake == awake);
    let mut roomy = of(true).filter(|(_, candidate)| candidate.sessions < soft);
    if let Some((server, _)) = roomy.next() {
        return Some(plain(server));
    }
    let fewest = |awake| of(awake).min_by_key(|(_, candidate)| candidate.sessions).map(|(server, _)| server);
    // On its way up, with room left; or the next that sleeps.
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

/// The load of one with a further session, in a unit that makes it comparable with the other's.
fn load(one: &Candidate, other: &Candidate) -> u128 {
    (u128::from(one.sessions) + 1) * u128::from(other.weight)
}

/// Stands for these bytes. The same everywhere and for ever, so that clients stay with their server over a restart.
pub fn hash(bytes: &[u8]) -> u64 {
    // FNV-1a, 64 bits.
    let folded = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    mix(folded)
}

/// Spreads what differs in a few bits over all of them (the finalizer of `SplitMix64`).
fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// A number from 0 to below the limit.
fn below(number: u64, limit: u64) -> u64 {
    u64::try_from((u128::from(number) * u128::from(limit)) >> 64).unwrap_or_default()
}

/// A number above 0 and below 1.
#[expect(clippy::cast_precision_loss, reason = "52 bits are kept, which a double holds")]
fn unit(number: u64) -> f64 {
    const STEPS: f64 = (1u64 << 52) as f64;
    ((number >> 12) as f64 + 0.5) / STEPS
}

#[expect(clippy::cast_precision_loss, reason = "weights are small")]
fn weight(candidate: &Candidate) -> f64 {
    candidate.weight as f64
}
