//! Against a real DNS server: unbound on a port of the kernel's choice, whose records change as the test goes on.

use std::fs;
use std::net::{IpAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::time::timeout;

use super::*;

/// Far above what a busy machine needs.
const SOON: Duration = Duration::from_secs(20);

/// A DNS server that knows example.test.
struct Dns {
    child: Child,
    directory: PathBuf,
    address: SocketAddr,
}

impl Dns {
    fn start(options: &str) -> Self {
        // Another test may get the port between the choice and the server's start.
        (0..5)
            .find_map(|_| Self::try_start(options))
            .expect("unbound does not start; scripts/test-deps.sh installs it")
    }

    fn try_start(options: &str) -> Option<Self> {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("dormouse-names-{}-{number}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        let address = free();
        let (port, place) = (address.port(), directory.display());
        let config = format!(
            "server:\n interface: 127.0.0.1@{port}\n port: {port}\n do-ip6: no\n do-daemonize: no\n chroot: \"\"\n \
             username: \"\"\n directory: \"{place}\"\n pidfile: \"\"\n use-syslog: no\n num-threads: 1\n \
             module-config: \"iterator\"\n local-zone: \"example.test.\" static\n {options}\n\
             remote-control:\n control-enable: yes\n control-interface: {place}/control\n control-use-cert: no\n"
        );
        fs::write(directory.join("unbound.conf"), config).unwrap();
        let child = Command::new("unbound")
            .args(["-d", "-c"])
            .arg(directory.join("unbound.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("unbound is missing; scripts/test-deps.sh installs it");
        let mut dns = Self { child, directory, address };
        let deadline = std::time::Instant::now() + SOON;
        while std::time::Instant::now() < deadline {
            if dns.child.try_wait().unwrap().is_some() {
                return None;
            }
            if dns.control(&["status"]) {
                return Some(dns);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }

    /// Whether the server did as told.
    fn control(&self, words: &[&str]) -> bool {
        let mut command = Command::new("unbound-control");
        command.arg("-c").arg(self.directory.join("unbound.conf")).args(words);
        command
            .output()
            .expect("unbound-control is missing; scripts/test-deps.sh installs it")
            .status
            .success()
    }

    fn add(&self, records: &[&str]) {
        for record in records {
            assert!(self.control(&["local_data", record]), "{record}");
        }
    }

    fn remove(&self, name: &str) {
        assert!(self.control(&["local_data_remove", name]), "{name}");
    }

    fn whom(&self) -> Whom {
        Whom::These(vec![self.address])
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// A port that is free over UDP and TCP.
fn free() -> SocketAddr {
    loop {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = udp.local_addr().unwrap();
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

fn source(text: &str) -> Source {
    Source::parse(text).unwrap().unwrap()
}

/// What a name has, and for how long.
async fn found(text: &str, dns: &Dns) -> (Vec<Server>, Duration) {
    match look_up(&source(text), &dns.whom()).await {
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
    let dns = Dns::start("");
    dns.add(&[
        "web.example.test. 7 IN A 10.0.0.2",
        "web.example.test. 7 IN A 10.0.0.1",
        "web.example.test. 5 IN AAAA 2001:db8::1",
    ]);
    let (servers, ttl) = found("dns:web.example.test:8080", &dns).await;
    assert_eq!(addresses_of(&servers), ["10.0.0.1:8080", "10.0.0.2:8080", "[2001:db8::1]:8080"]);
    assert_eq!(ttl, Duration::from_secs(5));
    let (servers, _) = found("dns:WEB.example.TEST.:1", &dns).await;
    assert_eq!(servers.len(), 3);
}

#[tokio::test]
async fn services_say_where_at_which_port_and_how_much() {
    let dns = Dns::start("");
    dns.add(&[
        "_pg._tcp.example.test. 9 IN SRV 10 60 5432 a.example.test.",
        "_pg._tcp.example.test. 9 IN SRV 10 20 5433 b.example.test.",
        "_pg._tcp.example.test. 9 IN SRV 20 0 5434 spare.example.test.",
        "_pg._tcp.example.test. 9 IN SRV 10 1 5435 nobody.example.test.",
        "a.example.test. 3 IN A 10.0.0.1",
        "b.example.test. 9 IN A 10.0.0.2",
        "spare.example.test. 9 IN A 10.0.0.3",
    ]);
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
    let dns = Dns::start("max-udp-size: 512\n edns-buffer-size: 512");
    for last in 1..=100 {
        dns.add(&[&format!("many.example.test. 60 IN A 10.0.0.{last}")]);
    }
    let (servers, _) = found("dns:many.example.test:80", &dns).await;
    let expected: Vec<_> =
        (1..=100u8).map(|last| SocketAddr::new(IpAddr::from([10, 0, 0, last]), 80)).collect();
    assert_eq!(servers.iter().map(|server| server.address).collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn absence_and_silence_are_not_the_same() {
    let dns = Dns::start("");
    assert!(matches!(look_up(&source("dns:nothing.example.test:80"), &dns.whom()).await, Answer::Nothing(_)));
    assert!(matches!(look_up(&source("srv:_no._tcp.example.test"), &dns.whom()).await, Answer::Nothing(_)));
    dns.add(&["six.example.test. 60 IN AAAA 2001:db8::1"]);
    assert_eq!(addresses_of(&found("dns:six.example.test:80", &dns).await.0), ["[2001:db8::1]:80"]);
    // Nobody is there.
    let whom = Whom::These(vec![free()]);
    assert!(matches!(look_up(&source("dns:web.example.test:80"), &whom).await, Answer::Failed(_)));
    // The one that is asked next is.
    let Whom::These(nobody) = whom else { panic!() };
    let both = Whom::These([nobody, vec![dns.address]].concat());
    assert!(matches!(look_up(&source("dns:six.example.test:80"), &both).await, Answer::Servers(..)));
}

#[tokio::test]
async fn servers_come_and_go_as_the_records_change() {
    let dns = Dns::start("");
    dns.add(&["a.example.test. 1 IN A 10.0.0.1", "b.example.test. 1 IN A 10.0.0.2"]);
    let name = "_web._tcp.example.test.";
    dns.add(&[&format!("{name} 1 IN SRV 0 1 80 a.example.test.")]);
    let (mut servers, following) =
        follow(source(&format!("srv:{name}")), dns.whom(), String::new(), Log::new(None));
    let following = tokio::spawn(following);
    becomes(&mut servers, &["10.0.0.1:80"]).await;
    dns.add(&[&format!("{name} 1 IN SRV 0 1 81 b.example.test.")]);
    becomes(&mut servers, &["10.0.0.1:80", "10.0.0.2:81"]).await;
    // Between the two there is nothing, which is not believed at once.
    dns.remove(name);
    dns.add(&[&format!("{name} 1 IN SRV 0 1 81 b.example.test.")]);
    let mut sizes = Vec::new();
    let gone = timeout(SOON, async {
        while servers.borrow_and_update().len() != 1 {
            sizes.push(servers.borrow().len());
            servers.changed().await.unwrap();
        }
    });
    gone.await.unwrap();
    assert!(!sizes.contains(&0), "{sizes:?}");
    becomes(&mut servers, &["10.0.0.2:81"]).await;
    // The servers outlive the one who named them, and the task ends with whom it serves.
    drop(dns);
    assert_eq!(addresses_of(&servers.borrow()), ["10.0.0.2:81"]);
    drop(servers);
    timeout(SOON, following).await.unwrap().unwrap();
}
