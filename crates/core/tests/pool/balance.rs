//! The balance algorithms.

use dormouse_core::pool::{Balance, Balancer, Candidate, PickContext, hash};
use proptest::prelude::*;

use super::{CASES, Chance, names, number};

fn balancer(balance: Balance, count: usize) -> Balancer {
    Balancer::new(balance, names(count).iter().map(String::as_str))
}

fn idle(weight: u64) -> Candidate {
    Candidate { eligible: true, awake: true, weight, sessions: 0 }
}

/// Distributes a number of sessions, and returns the number of sessions of each server.
fn distribute(balance: Balance, weights: &[u64], sessions: usize, seed: u64, keep: bool) -> Vec<usize> {
    let (mut balancer, mut chance) = (balancer(balance, weights.len()), Chance(seed));
    let mut candidates: Vec<Candidate> = weights.iter().map(|weight| idle(*weight)).collect();
    let mut got = vec![0; weights.len()];
    for _ in 0..sessions {
        let server = balancer.pick(&candidates, chance.context()).unwrap().server;
        got[server] += 1;
        candidates[server].sessions += u32::from(keep);
    }
    got
}

/// The largest difference between a server's share of the sessions and its share of the weights.
fn deviation(got: &[usize], weights: &[u64]) -> f64 {
    let (sessions, total): (usize, u64) = (got.iter().sum(), weights.iter().sum());
    let parts = got
        .iter()
        .zip(weights)
        .map(|(got, weight)| (*got as f64 / sessions as f64 - *weight as f64 / total as f64).abs());
    parts.fold(0.0, f64::max)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn roundrobin_and_leastconn_follow_the_weights(
        weights in prop::collection::vec(1u64..=256, 1..8),
        seed: u64,
    ) {
        for (balance, keep) in [(Balance::RoundRobin, false), (Balance::LeastConn, true)] {
            let got = distribute(balance, &weights, 4000, seed, keep);
            prop_assert!(deviation(&got, &weights) < 0.01, "{balance:?}: {got:?} for {weights:?}");
        }
    }

    #[test]
    fn random_follows_the_weights(
        weights in prop::collection::vec(1u64..=256, 1..8),
        seed: u64,
    ) {
        let got = distribute(Balance::Random, &weights, 20_000, seed, true);
        prop_assert!(deviation(&got, &weights) < 0.01, "{got:?} for {weights:?}");
    }

    #[test]
    fn source_moves_only_the_clients_of_a_removed_server(
        count in 2usize..12,
        gone in any::<prop::sample::Index>(),
        seed: u64,
    ) {
        const CLIENTS: usize = 4000;
        let gone = gone.index(count);
        let mut balancer = balancer(Balance::Source, count);
        let all = vec![idle(1); count];
        let mut rest = all.clone();
        rest[gone].eligible = false;
        let mut moved = 0;
        for client in 0..CLIENTS {
            let context = PickContext { client_hash: hash(&(seed ^ client as u64).to_le_bytes()), random: 0 };
            let before = balancer.pick(&all, context).unwrap().server;
            let after = balancer.pick(&rest, context).unwrap().server;
            prop_assert!(before == after || before == gone);
            moved += usize::from(before != after);
        }
        prop_assert!(moved <= CLIENTS / count + CLIENTS / 20, "{moved} of {CLIENTS} moved, {count} servers");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn source_follows_the_weights(weights in prop::collection::vec(1u64..=8, 1..8), seed: u64) {
        let got = distribute(Balance::Source, &weights, 60_000, seed, false);
        prop_assert!(deviation(&got, &weights) < 0.01, "{got:?} for {weights:?}");
    }
}

#[test]
fn roundrobin_is_smooth() {
    let mut balancer = balancer(Balance::RoundRobin, 3);
    let candidates = [idle(4), idle(2), idle(1)];
    let order: Vec<usize> =
        (0..7).map(|_| balancer.pick(&candidates, PickContext::default()).unwrap().server).collect();
    assert_eq!(order, [0, 1, 0, 2, 0, 1, 0]);
}

#[test]
fn leastconn_alternates_between_equal_servers() {
    let mut balancer = balancer(Balance::LeastConn, 3);
    let order: Vec<usize> =
        (0..6).map(|_| balancer.pick(&[idle(1); 3], PickContext::default()).unwrap().server).collect();
    assert_eq!(order, [0, 1, 2, 0, 1, 2]);
}

#[test]
fn ineligible_servers_and_servers_without_weight_are_not_chosen() {
    let closed = Candidate { eligible: false, ..idle(1) };
    for balance in [
        Balance::RoundRobin,
        Balance::LeastConn,
        Balance::First { soft: None },
        Balance::First { soft: Some(number(1)) },
        Balance::Source,
        Balance::Random,
    ] {
        let mut balancer = balancer(balance, 3);
        assert_eq!(balancer.pick(&[closed, idle(0), closed], PickContext::default()), None, "{balance:?}");
        let pick = balancer.pick(&[closed, idle(0), idle(1)], PickContext::default()).unwrap();
        assert_eq!((pick.server, pick.wake), (2, None), "{balance:?}");
    }
}

#[test]
fn first_wakes_the_next_server_when_all_awake_ones_have_soft_sessions() {
    let mut balancer = balancer(Balance::First { soft: Some(number(2)) }, 3);
    let asleep = Candidate { awake: false, ..idle(1) };
    let busy = |sessions| Candidate { sessions, ..idle(1) };
    let mut pick = |candidates: [Candidate; 3]| {
        let pick = balancer.pick(&candidates, PickContext::default()).unwrap();
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
