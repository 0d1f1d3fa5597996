//! Against a real DNS server, whose records change as the test goes on.

use std::net::IpAddr;

use dormouse_tests::dns::{Dns, free};
use tokio::time::{sleep, timeout};

use super::*;

/// Far above what a busy machine needs.
const SOON: Duration = Duration::from_secs(20);

fn started() -> Dns {
    Dns::start("").unwrap()
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

/// What a name has, and for how long.
async fn found(text: &str, dns: &Dns) -> (Vec<Server>, Duration) {
    match look_up(&source(text), &resolvers(dns)).await {
        Answer::Servers(servers, ttl) => (servers, ttl),
        other => panic!("{text}: {other:?}"),
    }
}

fn addresses_of(servers: &[Server]) -> Vec<String> {
    servers.iter().map(|server| server.address.to_string()).collect()
}

/// Waits until the set is this one.
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
async fn services_say_where_at_which_port_and_how_much() {
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
async fn what_does_not_fit_is_asked_for_over_tcp() {
    let dns = Dns::start("max-udp-size: 512\n edns-buffer-size: 512").unwrap();
    for last in 1..=100 {
        add(&dns, &[&format!("many.example.test. 60 IN A 10.0.0.{last}")]);
    }
    let (servers, _) = found("dns:many.example.test:80", &dns).await;
    let expected: Vec<_> =
        (1..=100u8).map(|last| SocketAddr::new(IpAddr::from([10, 0, 0, last]), 80)).collect();
    assert_eq!(servers.iter().map(|server| server.address).collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn absence_and_silence_are_not_the_same() {
    let dns = started();
    assert!(matches!(
        look_up(&source("dns:nothing.example.test:80"), &resolvers(&dns)).await,
        Answer::Nothing(_)
    ));
    assert!(matches!(
        look_up(&source("srv:_no._tcp.example.test"), &resolvers(&dns)).await,
        Answer::Nothing(_)
    ));
    add(&dns, &["six.example.test. 60 IN AAAA 2001:db8::1"]);
    assert_eq!(addresses_of(&found("dns:six.example.test:80", &dns).await.0), ["[2001:db8::1]:80"]);
    // Nobody is there.
    let resolvers = Resolvers::Servers(vec![free().unwrap()]);
    assert!(matches!(look_up(&source("dns:web.example.test:80"), &resolvers).await, Answer::Failed(_)));
    // The one that is asked next is.
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
    // Between the two there is nothing, which is not believed at once.
    dns.remove(name).unwrap();
    let asked = dns.services_asked().unwrap();
    // Who asks again has heard the answer before.
    let heard = async {
        while dns.services_asked().unwrap() < asked + 2 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, heard).await.unwrap();
    assert_eq!(addresses_of(&servers.borrow()), ["10.0.0.1:80", "10.0.0.2:81"]);
    add(&dns, &[&format!("{name} 1 IN SRV 0 1 81 b.example.test.")]);
    becomes(&mut servers, &["10.0.0.2:81"]).await;
    // The servers outlive the one who named them, and the task ends with resolvers it serves.
    drop(dns);
    assert_eq!(addresses_of(&servers.borrow()), ["10.0.0.2:81"]);
    drop(servers);
    timeout(SOON, following).await.unwrap().unwrap();
}
