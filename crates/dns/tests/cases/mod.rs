//! Names and services are looked up and followed on a DNS server whose records change. Each test target that contains
//! this module provides the server `Dns`.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use dormouse_core::dns::{Answer, Server, Source};
use dormouse_dns::{Resolvers, Servers, follow, look_up};
use dormouse_log::Log;
use dormouse_tests::dns::free;
use tokio::time::{sleep, timeout};

use crate::Dns;

/// Far above what a busy machine needs.
const SOON: Duration = Duration::from_secs(20);

fn started() -> Dns {
    crate::start("")
}

fn add(dns: &Dns, records: &[&str]) {
    for record in records {
        dns.add(record).unwrap();
    }
}

fn resolvers(dns: &Dns) -> Resolvers {
    Resolvers::Servers(vec![dns.address()])
}

fn source(text: &str) -> Source {
    Source::parse(text).unwrap().unwrap()
}

/// Returns the servers of a name and their TTL.
async fn found(text: &str, dns: &Dns) -> (Vec<Server>, Duration) {
    match look_up(&source(text), &resolvers(dns)).await {
        Answer::Servers(servers, ttl) => (servers, ttl),
        other => panic!("{text}: {other:?}"),
    }
}

fn addresses_of(servers: &[Server]) -> Vec<String> {
    servers.iter().map(|server| server.address.to_string()).collect()
}

/// Waits until the set of servers equals `expected`.
async fn becomes(servers: &mut Servers, expected: &[&str]) {
    let waiting = servers.wait_for(|servers| addresses_of(servers) == expected);
    timeout(SOON, waiting).await.unwrap_or_else(|_| panic!("it does not become {expected:?}")).unwrap();
}

#[tokio::test]
async fn all_addresses_of_both_kinds_are_servers() {
    let dns = started();
    add(
        &dns,
        &[
            "web.example.test. 7 IN A 10.0.0.2",
            "web.example.test. 7 IN A 10.0.0.1",
            "web.example.test. 5 IN AAAA 2001:db8::1",
        ],
    );
    let (servers, ttl) = found("dns:web.example.test:8080", &dns).await;
    assert_eq!(addresses_of(&servers), ["10.0.0.1:8080", "10.0.0.2:8080", "[2001:db8::1]:8080"]);
    assert_eq!(ttl, Duration::from_secs(5));
    let (servers, _) = found("dns:WEB.example.TEST.:1", &dns).await;
    assert_eq!(servers.len(), 3);
}

#[tokio::test]
async fn srv_records_give_address_port_and_weight() {
    let dns = started();
    add(
        &dns,
        &[
            "_pg._tcp.example.test. 9 IN SRV 10 60 5432 a.example.test.",
            "_pg._tcp.example.test. 9 IN SRV 10 20 5433 b.example.test.",
            "_pg._tcp.example.test. 9 IN SRV 20 0 5434 spare.example.test.",
            "_pg._tcp.example.test. 9 IN SRV 10 1 5435 nobody.example.test.",
            "a.example.test. 3 IN A 10.0.0.1",
            "b.example.test. 9 IN A 10.0.0.2",
            "spare.example.test. 9 IN A 10.0.0.3",
        ],
    );
    let (servers, ttl) = found("srv:_pg._tcp.example.test", &dns).await;
    let shown: Vec<_> =
        servers.iter().map(|server| (server.priority, server.address.to_string(), server.weight)).collect();
    assert_eq!(
        shown,
        [
            (10, "10.0.0.1:5432".to_owned(), 60),
            (10, "10.0.0.2:5433".to_owned(), 20),
            (20, "10.0.0.3:5434".to_owned(), 1),
        ]
    );
    assert_eq!(ttl, Duration::from_secs(3));
}

#[tokio::test]
async fn a_truncated_answer_is_queried_over_tcp() {
    let dns = crate::start("max-udp-size: 512\n edns-buffer-size: 512");
    for last in 1..=100 {
        add(&dns, &[&format!("many.example.test. 60 IN A 10.0.0.{last}")]);
    }
    let (servers, _) = found("dns:many.example.test:80", &dns).await;
    let expected: Vec<_> =
        (1..=100u8).map(|last| SocketAddr::new(IpAddr::from([10, 0, 0, last]), 80)).collect();
    assert_eq!(servers.iter().map(|server| server.address).collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn distinguishes_a_missing_name_from_a_silent_resolver() {
    let dns = started();
    assert!(matches!(
        look_up(&source("dns:nothing.example.test:80"), &resolvers(&dns)).await,
        Answer::NoServers(_)
    ));
    assert!(matches!(
        look_up(&source("srv:_no._tcp.example.test"), &resolvers(&dns)).await,
        Answer::NoServers(_)
    ));
    add(&dns, &["six.example.test. 60 IN AAAA 2001:db8::1"]);
    assert_eq!(addresses_of(&found("dns:six.example.test:80", &dns).await.0), ["[2001:db8::1]:80"]);
    // No resolver listens there.
    let resolvers = Resolvers::Servers(vec![free().unwrap()]);
    assert!(matches!(look_up(&source("dns:web.example.test:80"), &resolvers).await, Answer::Failed(_)));
    // The next resolver does.
    let Resolvers::Servers(nobody) = resolvers else { panic!() };
    let both = Resolvers::Servers([nobody, vec![dns.address()]].concat());
    assert!(matches!(look_up(&source("dns:six.example.test:80"), &both).await, Answer::Servers(..)));
}

#[tokio::test]
async fn servers_come_and_go_as_the_records_change() {
    let dns = started();
    add(&dns, &["a.example.test. 1 IN A 10.0.0.1", "b.example.test. 1 IN A 10.0.0.2"]);
    let name = "_web._tcp.example.test.";
    add(&dns, &[&format!("{name} 1 IN SRV 0 1 80 a.example.test.")]);
    let (mut servers, following) =
        follow(source(&format!("srv:{name}")), resolvers(&dns), String::new(), Log::new(None));
    let following = tokio::spawn(following);
    becomes(&mut servers, &["10.0.0.1:80"]).await;
    add(&dns, &[&format!("{name} 1 IN SRV 0 1 81 b.example.test.")]);
    becomes(&mut servers, &["10.0.0.1:80", "10.0.0.2:81"]).await;
    // The name is without records for a moment; the servers stay.
    dns.remove(name).unwrap();
    let asked = dns.srv_queries().unwrap();
    // A second query shows that the first answer arrived.
    let second_query = async {
        while dns.srv_queries().unwrap() < asked + 2 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, second_query).await.unwrap();
    assert_eq!(addresses_of(&servers.borrow()), ["10.0.0.1:80", "10.0.0.2:81"]);
    add(&dns, &[&format!("{name} 1 IN SRV 0 1 81 b.example.test.")]);
    becomes(&mut servers, &["10.0.0.2:81"]).await;
    // The servers outlive the resolver, and the task ends with the last receiver.
    drop(dns);
    assert_eq!(addresses_of(&servers.borrow()), ["10.0.0.2:81"]);
    drop(servers);
    timeout(SOON, following).await.unwrap().unwrap();
}
