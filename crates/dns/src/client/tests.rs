//! Tests against a fake resolver that sends arbitrary datagrams.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use simple_dns::rdata::{A, AAAA, RData, SRV};
use simple_dns::{CLASS, Name, Packet, PacketFlag, QTYPE, RCODE, ResourceRecord, TYPE};
use tokio::task::JoinHandle;

use super::*;

/// Far above what a busy machine needs.
const SOON: Duration = Duration::from_secs(20);

/// The fake resolver's reaction to a query.
enum FakeAnswer {
    Addresses(Vec<&'static str>),
    Service(&'static str),
    /// No such name.
    Nothing,
    Code(RCODE),
    /// These datagrams.
    Raw(Vec<Vec<u8>>),
    Silence,
}

/// A fake resolver, and the names that were queried.
struct Fake {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Fake {
    async fn start(say: impl Fn(&Packet<'_>, &str, RecordType) -> FakeAnswer + Send + 'static) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let queried = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            let mut bytes = [0; 1500];
            loop {
                let (length, client) = socket.recv_from(&mut bytes).await.unwrap();
                let question = Packet::parse(&bytes[..length]).unwrap();
                let name = question.questions[0].qname.to_string();
                let kind = match question.questions[0].qtype {
                    QTYPE::TYPE(TYPE::A) => RecordType::A,
                    QTYPE::TYPE(TYPE::AAAA) => RecordType::Aaaa,
                    _ => RecordType::Srv,
                };
                if !queried.lock().unwrap().contains(&name) {
                    queried.lock().unwrap().push(name.clone());
                }
                let datagrams = match say(&question, &name, kind) {
                    FakeAnswer::Raw(datagrams) => datagrams,
                    FakeAnswer::Silence => Vec::new(),
                    said => vec![answer(&question, kind, &said)],
                };
                for datagram in datagrams {
                    socket.send_to(&datagram, client).await.unwrap();
                }
            }
        });
        Self { address, asked, task }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// This server alone, asked once, with x and y to be searched.
    fn searched(&self) -> ResolvConf {
        let search = vec!["x".to_owned(), "y".to_owned()];
        ResolvConf { search, timeout: SOON, attempts: 1, ..ResolvConf::with_servers(&[self.address]) }
    }
}

fn answer(question: &Packet<'_>, kind: RecordType, said: &FakeAnswer) -> Vec<u8> {
    let mut packet = question.clone().into_reply();
    let name = question.questions[0].qname.clone();
    let mut add = |rdata| packet.answers.push(ResourceRecord::new(name.clone(), CLASS::IN, 60, rdata));
    match said {
        FakeAnswer::Addresses(addresses) => {
            for address in addresses {
                match (address.parse().unwrap(), kind) {
                    (IpAddr::V4(ip), RecordType::A) => add(RData::A(A { address: ip.into() })),
                    (IpAddr::V6(ip), RecordType::Aaaa) => add(RData::AAAA(AAAA { address: ip.into() })),
                    _ => {}
                }
            }
        }
        FakeAnswer::Service(target) => {
            let target = Name::new(target).unwrap();
            add(RData::SRV(SRV { priority: 0, weight: 0, port: 80, target }));
        }
        FakeAnswer::Code(code) => *packet.rcode_mut() = *code,
        _ => *packet.rcode_mut() = RCODE::NameError,
    }
    packet.build_bytes_vec().unwrap()
}

async fn addresses(conf: &ResolvConf, name: &str) -> Result<Vec<String>, String> {
    match timeout(SOON, ask(conf, name, Query::Addresses)).await.unwrap()? {
        Reply::Addresses(addresses, _) => Ok(addresses.iter().map(ToString::to_string).collect()),
        Reply::NoRecords(_) => Ok(Vec::new()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn ignores_datagrams_that_do_not_answer_the_query() {
    let fake = Fake::start(|question, _, kind| {
        let wrong = FakeAnswer::Addresses(vec!["10.6.6.6", "2001:db8::666"]);
        let changed = |change: &dyn Fn(&mut Packet<'_>)| {
            let mut other = question.clone();
            change(&mut other);
            answer(&other, kind, &wrong)
        };
        let mut no_response = question.clone();
        no_response.set_flags(PacketFlag::RECURSION_AVAILABLE);
        FakeAnswer::Raw(vec![
            Vec::new(),
            b"junk".to_vec(),
            vec![0xff; 600],
            changed(&|other| other.set_id(question.id().wrapping_add(1))),
            changed(&|other| other.questions[0].qname = Name::new("other.example").unwrap()),
            changed(&|other| other.questions[0].qtype = TYPE::TXT.into()),
            changed(&|other| other.questions[0].qname = Name::new("db.example.com").unwrap()),
            no_response.build_bytes_vec().unwrap(),
            answer(question, kind, &FakeAnswer::Addresses(vec!["10.0.0.1", "2001:db8::1"])),
        ])
    });
    let fake = fake.await;
    let conf = ResolvConf { timeout: SOON, ..ResolvConf::with_servers(&[fake.address]) };
    assert_eq!(addresses(&conf, "db.example").await.unwrap(), ["10.0.0.1", "2001:db8::1"]);
}

#[tokio::test]
async fn queries_the_next_resolver_after_an_error() {
    for code in [RCODE::ServerFailure, RCODE::Refused, RCODE::NotImplemented] {
        let lame = Fake::start(move |_, _, _| FakeAnswer::Code(code)).await;
        let good = Fake::start(|_, _, _| FakeAnswer::Addresses(vec!["10.0.0.1"])).await;
        let conf = ResolvConf { timeout: SOON, ..ResolvConf::with_servers(&[lame.address, good.address]) };
        assert_eq!(addresses(&conf, "db.example").await.unwrap(), ["10.0.0.1"]);
        let error = addresses(&ResolvConf::with_servers(&[lame.address]), "db.example").await.unwrap_err();
        assert!(error.starts_with(&format!("{}: the resolver returned", lame.address)), "{error}");
    }
}

#[tokio::test]
async fn both_address_families_are_of_the_same_name() {
    // The next candidate has an IPv6 address, but is another host.
    let fake = Fake::start(|_, name, _| match name {
        "db.x" => FakeAnswer::Addresses(vec!["10.0.0.1"]),
        _ => FakeAnswer::Addresses(vec!["10.6.6.6", "2001:db8::666"]),
    })
    .await;
    assert_eq!(addresses(&fake.searched(), "db").await.unwrap(), ["10.0.0.1"]);
    assert_eq!(fake.asked(), ["db.x"]);
}

#[tokio::test]
async fn an_error_for_one_name_does_not_hide_the_others() {
    for code in [RCODE::ServerFailure, RCODE::Refused] {
        let fake = Fake::start(move |_, name, _| match name {
            "db" => FakeAnswer::Addresses(vec!["10.0.0.1"]),
            "db.x" => FakeAnswer::Code(code),
            _ => FakeAnswer::Nothing,
        })
        .await;
        assert_eq!(addresses(&fake.searched(), "db").await.unwrap(), ["10.0.0.1"]);
        assert_eq!(fake.asked(), ["db.x", "db.y", "db"]);
        // "No records" needs an answer for every candidate.
        assert_eq!(addresses(&fake.searched(), "web").await, Ok(Vec::new()));
        let fake = Fake::start(move |_, name, kind| match (name, kind) {
            ("db.x", RecordType::Aaaa) => FakeAnswer::Code(code),
            _ => FakeAnswer::Nothing,
        })
        .await;
        assert!(addresses(&fake.searched(), "db").await.unwrap_err().contains("the resolver returned"));
        assert_eq!(fake.asked(), ["db.x", "db.y", "db"]);
    }
}

#[tokio::test]
async fn an_error_for_one_address_family_fails_the_name() {
    let fake = Fake::start(|_, name, kind| match (name, kind) {
        ("db.x", RecordType::Aaaa) => FakeAnswer::Code(RCODE::ServerFailure),
        _ => FakeAnswer::Addresses(vec!["10.0.0.1"]),
    })
    .await;
    assert!(addresses(&fake.searched(), "db").await.is_err());
    assert_eq!(fake.asked(), ["db.x"]);
}

#[tokio::test]
async fn a_silent_resolver_is_not_queried_for_other_names() {
    let fake = Fake::start(|_, name, _| match name {
        "db.x" => FakeAnswer::Silence,
        _ => FakeAnswer::Addresses(vec!["10.6.6.6"]),
    })
    .await;
    let conf = ResolvConf { timeout: Duration::from_millis(50), ..fake.searched() };
    assert_eq!(addresses(&conf, "db").await, Err(format!("{} does not answer", fake.address)));
    assert_eq!(fake.asked(), ["db.x"]);
}

#[tokio::test]
async fn skips_candidates_that_are_too_long() {
    let fake = Fake::start(|_, _, _| FakeAnswer::Addresses(vec!["10.0.0.1"])).await;
    let long = vec!["a".repeat(63); 4].join(".");
    let conf = ResolvConf { search: vec![long.clone()], ..fake.searched() };
    assert_eq!(addresses(&conf, "db").await.unwrap(), ["10.0.0.1"]);
    assert_eq!(fake.asked(), ["db"]);
    assert!(addresses(&conf, &format!("{long}.")).await.unwrap_err().contains("too long"));
    // A skipped candidate does not prevent "no records".
    let fake = Fake::start(|_, _, _| FakeAnswer::Nothing).await;
    let conf = ResolvConf { search: vec![long], ..fake.searched() };
    assert_eq!(addresses(&conf, "db").await, Ok(Vec::new()));
}

#[tokio::test]
async fn srv_queries_use_the_search_list() {
    let fake = Fake::start(|_, name, _| match name {
        "_web._tcp.x" => FakeAnswer::Code(RCODE::ServerFailure),
        "_web._tcp.y" => FakeAnswer::Service("a.y"),
        _ => FakeAnswer::Nothing,
    })
    .await;
    let conf = ResolvConf { ndots: 2, ..fake.searched() };
    let found = ask(&conf, "_web._tcp", Query::Services).await.unwrap();
    assert!(matches!(found, Reply::Services(records, _) if records[0].target == "a.y"));
    assert_eq!(fake.asked(), ["_web._tcp.x", "_web._tcp.y"]);
    assert!(ask(&conf, "_no._tcp", Query::Services).await.is_ok());
}
