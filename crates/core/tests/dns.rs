//! DNS servers: the meaning of answers, the hold times, and the times of the queries.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use dormouse_core::dns::{
    Answer, MAX_SERVERS, MAX_WEIGHT, NameEvent, NameState, Server, ServerDiff, ServiceRecord, SlotChange,
    Slots, Source, SourceError, servers_from_addresses, servers_from_records,
};
use proptest::prelude::*;

fn ip(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

fn servers(last: impl IntoIterator<Item = u8>) -> Vec<Server> {
    servers_from_addresses(last.into_iter().map(ip), 80)
}

fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

#[test]
fn each_address_is_one_server_of_equal_weight() {
    let found = servers_from_addresses([ip(2), ip(1), ip(2)], 80);
    assert_eq!(
        found.iter().map(|server| server.address).collect::<Vec<_>>(),
        [SocketAddr::new(ip(1), 80), SocketAddr::new(ip(2), 80)]
    );
    assert!(found.iter().all(|server| (server.priority, server.weight) == (0, 1)));
}

#[test]
fn service_records_give_ports_weights_and_priorities() {
    let service = |priority, weight, port, last: u8| ServiceRecord {
        priority,
        weight,
        port,
        addresses: vec![ip(last)],
    };
    let found = servers_from_records(&[
        service(20, 5, 81, 3),
        service(10, 60000, 80, 1),
        service(10, 30000, 82, 2),
        service(10, 0, 0, 9),
    ]);
    let found: Vec<_> =
        found.iter().map(|server| (server.priority, server.address.port(), server.weight)).collect();
    assert_eq!(found, [(10, 80, MAX_WEIGHT), (10, 82, MAX_WEIGHT / 2), (20, 81, 1)]);
    // Weights within the limit are not scaled; 0 becomes the smallest weight.
    let found = servers_from_records(&[service(1, 100, 80, 1), service(1, 0, 80, 2)]);
    assert_eq!(found.iter().map(|server| server.weight).collect::<Vec<_>>(), [100, 1]);
    // Of two records for the same server, the better priority wins.
    let found = servers_from_records(&[service(2, 7, 80, 1), service(1, 3, 80, 1)]);
    assert_eq!(found, [Server { priority: 1, address: SocketAddr::new(ip(1), 80), weight: 3 }]);
    let many: Vec<_> = (1..=u16::MAX).map(|port| service(0, 1, port, 1)).collect();
    assert_eq!(servers_from_records(&many).len(), MAX_SERVERS);
}

#[test]
fn the_query_interval_is_the_ttl_within_limits() {
    let now = Instant::now();
    let mut state = NameState::new(now);
    assert_eq!(state.next_query(), now);
    for (ttl, pause) in [(0, 1), (5, 5), (300, 10)] {
        state.record_answer(now, Answer::Servers(servers([1]), seconds(ttl)));
        assert_eq!(state.next_query(), now + seconds(pause), "TTL {ttl}");
    }
}

#[test]
fn a_server_missing_in_the_answer_is_removed_at_once() {
    let now = Instant::now();
    let mut state = NameState::new(now);
    assert_eq!(state.record_answer(now, Answer::Servers(servers([1, 2]), seconds(1))), [NameEvent::Changed]);
    assert_eq!(state.record_answer(now, Answer::Servers(servers([2, 1]), seconds(1))), []);
    let before = state.servers().to_vec();
    assert_eq!(state.record_answer(now, Answer::Servers(servers([2, 3]), seconds(1))), [NameEvent::Changed]);
    let diff = ServerDiff::between(&before, state.servers());
    assert_eq!((diff.added, diff.removed), (servers([3]), servers([1])));
}

#[test]
fn a_name_without_servers_loses_them_after_the_hold_time() {
    let start = Instant::now();
    let mut state = NameState::new(start);
    state.record_answer(start, Answer::Servers(servers([1]), seconds(1)));
    assert_eq!(state.record_answer(start, Answer::NoServers(seconds(60))), [NameEvent::NoServers]);
    assert_eq!(state.record_answer(start + seconds(29), Answer::NoServers(seconds(60))), []);
    assert_eq!(state.servers(), servers([1]));
    // An answer with servers restarts the hold time.
    state.record_answer(start + seconds(29), Answer::Servers(servers([1]), seconds(1)));
    assert_eq!(
        state.record_answer(start + seconds(30), Answer::NoServers(seconds(60))),
        [NameEvent::NoServers]
    );
    assert_eq!(state.record_answer(start + seconds(59), Answer::NoServers(seconds(60))), []);
    assert_eq!(
        state.record_answer(start + seconds(60), Answer::NoServers(seconds(60))),
        [NameEvent::Changed]
    );
    assert_eq!(state.servers(), []);
    // Clients may be waiting, so the next query comes soon.
    assert_eq!(state.next_query(), start + seconds(61));
}

#[test]
fn servers_stay_while_queries_fail() {
    let mut now = Instant::now();
    let failed = || Answer::Failed("nobody answers".to_owned());
    let mut state = NameState::new(now);
    state.record_answer(now, Answer::Servers(servers([1]), seconds(1)));
    for pause in [1, 1, 1] {
        assert_eq!(state.record_answer(now, failed()), []);
        assert_eq!(state.next_query(), now + seconds(pause));
        now = state.next_query();
    }
    assert_eq!(state.record_answer(now, failed()), [NameEvent::Failing("nobody answers".to_owned())]);
    for _ in 0..1000 {
        now = state.next_query();
        assert_eq!(state.record_answer(now, failed()), []);
    }
    assert_eq!(state.servers(), servers([1]));
    assert_eq!(state.record_answer(now, Answer::Servers(servers([1]), seconds(1))), [NameEvent::Recovered]);
}

#[test]
fn a_server_keeps_its_slot_until_its_last_session_has_ended() {
    let mut slots = Slots::new(2);
    let [one, two, three] = [1, 2, 3].map(|last| servers([last])[0]);
    let slot = |slot, server| SlotChange::Assign { slot, server, backup: false };
    assert_eq!(slots.assign(&[one, two], |_| 0), [slot(0, one), slot(1, two)]);
    assert_eq!(slots.assign(&[one, two], |_| 0), []);
    // The sessions of a removed server continue, so its slot is not free.
    assert_eq!(slots.assign(&[two, three], |_| 1), [SlotChange::Drain(0)]);
    assert_eq!((slots.unassigned(), slots.has_draining()), (1, true));
    assert_eq!(slots.assign(&[two, three], |_| 1), []);
    assert_eq!(slots.assign(&[two, three], |_| 0), [SlotChange::Free(0), slot(0, three)]);
    assert_eq!((slots.unassigned(), slots.has_draining()), (0, false));
    // The server returns before its last session ends.
    assert_eq!(slots.assign(&[three], |_| 1), [SlotChange::Drain(1)]);
    assert_eq!(slots.assign(&[two, three], |_| 1), [slot(1, two)]);
    assert_eq!(slots.assign(&[], |_| 0), [SlotChange::Free(0), SlotChange::Free(1)]);
}

#[test]
fn servers_of_other_priorities_are_backups() {
    let mut slots = Slots::new(4);
    let [one, two] = [1, 2].map(|last| servers([last])[0]);
    let two = Server { priority: 5, weight: 9, ..two };
    assert_eq!(
        slots.assign(&[one, two], |_| 0),
        [
            SlotChange::Assign { slot: 0, server: one, backup: false },
            SlotChange::Assign { slot: 1, server: two, backup: true }
        ]
    );
    assert_eq!(
        slots.assign(&[two], |_| 0),
        [SlotChange::Free(0), SlotChange::Assign { slot: 1, server: two, backup: false }]
    );
}

#[test]
fn dns_sources_are_parsed() {
    for text in
        ["dns:web.example.com:80", "dns:web.example.com.:80", "srv:_pg._tcp.example.com", "dns:db:5432"]
    {
        assert_eq!(Source::parse(text).unwrap().unwrap().to_string(), text);
    }
    // These are host names.
    for text in ["dns", "srv", "dns:53", "srv:80", "web:80", "127.0.0.1:80", "/run/a:b"] {
        assert_eq!(Source::parse(text), None, "{text}");
    }
    assert_eq!(Source::parse("srv:_a._tcp.b:80"), Some(Err(SourceError::ServicePort)));
    for text in ["dns:web", "dns:web:0", "dns:web:http", "dns:web:+1", "dns:", "dns:web:70000"] {
        assert!(matches!(Source::parse(text), Some(Err(SourceError::Port(_)))), "{text}");
    }
    for text in ["dns:a..b:1", "srv:", "srv:.", "dns:10.0.0.1:80", "srv:a b", "dns:ä:1"] {
        assert!(matches!(Source::parse(text), Some(Err(SourceError::Name(_)))), "{text}");
    }
}

/// Random answers, each with the seconds since the previous one.
fn answers() -> impl Strategy<Value = Vec<(u64, Answer)>> {
    let answer = prop_oneof![
        (prop::collection::vec(1u8..6, 0..5), 0u64..100)
            .prop_map(|(last, ttl)| Answer::Servers(servers(last), seconds(ttl))),
        (0u64..100).prop_map(|ttl| Answer::NoServers(seconds(ttl))),
        Just(Answer::Failed("x".to_owned())),
    ];
    prop::collection::vec((0u64..40, answer), 0..40)
}

proptest! {
    /// Servers are only removed by an answer with other servers, or after 30 s of answers without servers. The next
    /// query is due within 1 to 10 s, and a change is reported if and only if the servers changed.
    #[test]
    fn servers_are_only_removed_by_a_new_answer_or_after_the_hold_time(answers in answers()) {
        let mut now = Instant::now();
        let mut state = NameState::new(now);
        let mut absent = None;
        for (pause, answer) in answers {
            now += seconds(pause);
            let before = state.servers().to_vec();
            let events = state.record_answer(now, answer.clone());
            let after = state.servers().to_vec();
            prop_assert_eq!(before != after, events.contains(&NameEvent::Changed));
            let pause = state.next_query() - now;
            prop_assert!((seconds(1)..=seconds(10)).contains(&pause));
            match answer {
                Answer::Servers(found, _) if !found.is_empty() => {
                    prop_assert_eq!(after, found);
                    absent = None;
                }
                Answer::Failed(_) => prop_assert_eq!(before, after),
                _ => {
                    let since = *absent.get_or_insert(now);
                    if now - since < seconds(30) {
                        prop_assert_eq!(before, after);
                    } else {
                        prop_assert!(after.is_empty());
                    }
                }
            }
        }
    }

    #[test]
    fn the_diff_turns_one_set_into_the_other(
        before in prop::collection::btree_map(1u8..9, (0u16..3, 1u16..4), 0..8),
        after in prop::collection::btree_map(1u8..9, (0u16..3, 1u16..4), 0..8),
    ) {
        let set = |map: &std::collections::BTreeMap<u8, (u16, u16)>| -> Vec<Server> {
            map.iter()
                .map(|(last, (priority, weight))| Server { priority: *priority, address: SocketAddr::new(ip(*last), 1), weight: *weight })
                .collect()
        };
        let (before, after) = (set(&before), set(&after));
        let diff = ServerDiff::between(&before, &after);
        prop_assert_eq!(diff == ServerDiff::default(), before == after);
        let mut turned: Vec<_> = before
            .iter()
            .filter(|server| !diff.removed.contains(server))
            .filter(|server| !diff.changed.iter().any(|changed| changed.address == server.address))
            .chain(&diff.added)
            .chain(&diff.changed)
            .copied()
            .collect();
        turned.sort_by_key(|server| server.address);
        prop_assert_eq!(turned, after);
    }

    /// No server gets the slot of a server with sessions, no server has two slots, and servers without a slot are
    /// counted.
    #[test]
    fn slots_are_assigned_without_conflicts(
        sets in prop::collection::vec((prop::collection::btree_set(1u8..9, 0..6), prop::collection::vec(0u32..2, 4)), 0..30),
    ) {
        let mut slots = Slots::new(4);
        let mut servers_of_slots: [Option<SocketAddr>; 4] = [None; 4];
        let mut open = [false; 4];
        for (set, sessions) in sets {
            let found = servers(set);
            for change in slots.assign(&found, |slot| sessions[slot]) {
                match change {
                    SlotChange::Assign { slot, server, .. } => {
                        let same = servers_of_slots[slot] == Some(server.address);
                        prop_assert!(same || servers_of_slots[slot].is_none(), "an assigned slot was given away");
                        servers_of_slots[slot] = Some(server.address);
                        open[slot] = true;
                    }
                    SlotChange::Drain(slot) => open[slot] = false,
                    SlotChange::Free(slot) => {
                        prop_assert_eq!(sessions[slot], 0);
                        servers_of_slots[slot] = None;
                        open[slot] = false;
                    }
                }
            }
            let mut served: Vec<_> = (0..4).filter(|slot| open[*slot]).filter_map(|slot| servers_of_slots[slot]).collect();
            served.sort_unstable();
            let before = served.len();
            served.dedup();
            prop_assert_eq!(before, served.len(), "a server has two slots");
            prop_assert!(served.iter().all(|address| found.iter().any(|server| server.address == *address)));
            prop_assert_eq!(found.len() - served.len(), slots.unassigned());
            prop_assert!(slots.unassigned() == 0 || servers_of_slots.iter().all(Option::is_some), "a slot was free");
        }
    }

    #[test]
    fn any_text_is_parsed_without_a_panic(text in "\\PC{0,40}") {
        let _ = Source::parse(&text);
        let _ = Source::parse(&format!("dns:{text}:80"));
        let _ = Source::parse(&format!("srv:{text}"));
    }
}
