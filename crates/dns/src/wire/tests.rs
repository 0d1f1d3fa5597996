use std::net::IpAddr;

use proptest::collection::vec;
use proptest::prelude::*;
use simple_dns::rdata::{A, SOA, SRV};

use super::*;

const ID: u16 = 0x1234;

fn asked_for(name: &str, kind: RecordType) -> Packet<'_> {
    let mut packet = Packet::new_reply(ID);
    packet.questions.push(Question::new(
        Name::new(name).unwrap(),
        rr_type(kind).into(),
        CLASS::IN.into(),
        false,
    ));
    packet
}

fn record<'a>(name: &'a str, ttl: u32, rdata: RData<'a>) -> ResourceRecord<'a> {
    ResourceRecord::new(Name::new(name).unwrap(), CLASS::IN, ttl, rdata)
}

fn a(number: u32) -> RData<'static> {
    RData::A(A { address: number })
}

fn service(target: &str) -> RData<'_> {
    RData::SRV(SRV { priority: 1, weight: 2, port: 80, target: Name::new(target).unwrap() })
}

/// Encodes and decodes a packet.
fn read(packet: &Packet<'_>, name: &str, kind: RecordType) -> Option<Reply> {
    reply(&packet.build_bytes_vec_compressed().unwrap(), ID, name, kind)
}

#[test]
fn decodes_only_replies_to_the_query() {
    let mut packet = asked_for("Db.Example", RecordType::A);
    packet.answers.push(record("db.example", 9, a(1)));
    packet.answers.push(record("db.example", 7, a(2)));
    let ips = [1, 2].map(|number| IpAddr::from(Ipv4Addr::from(number))).to_vec();
    let good = Some(Reply::Addresses(ips, Duration::from_secs(7)));
    assert_eq!(read(&packet, "db.example", RecordType::A), good);
    assert_eq!(read(&packet, "DB.example.", RecordType::A), good);
    assert_eq!(read(&packet, "db.example.com", RecordType::A), None);
    assert_eq!(read(&packet, "db.example", RecordType::Aaaa), None);
    let bytes = packet.build_bytes_vec_compressed().unwrap();
    assert_eq!(reply(&bytes, ID + 1, "db.example", RecordType::A), None);
    for length in 0..bytes.len() {
        assert_eq!(reply(&bytes[..length], ID, "db.example", RecordType::A), None);
    }
    // A server that echoes the query.
    let question = question(ID, "db.example", RecordType::A).unwrap();
    assert_eq!(reply(&question, ID, "db.example", RecordType::A), None);
    packet.questions.clear();
    assert_eq!(read(&packet, "db.example", RecordType::A), None);
    // A name with a compression loop.
    let mut endless = bytes[..12].to_vec();
    endless.extend([0xc0, 12, 0, 1, 0, 1]);
    assert_eq!(reply(&endless, ID, "db.example", RecordType::A), None);
}

#[test]
fn distinguishes_the_kinds_of_replies() {
    let mut packet = asked_for("db.example", RecordType::A);
    assert_eq!(read(&packet, "db.example", RecordType::A), Some(Reply::NoRecords(Duration::ZERO)));
    let zone = SOA {
        mname: Name::new("ns.example").unwrap(),
        rname: Name::new("root.example").unwrap(),
        serial: 1,
        refresh: 2,
        retry: 3,
        expire: 4,
        minimum: 5,
    };
    packet.name_servers.push(record("example", 60, RData::SOA(zone)));
    *packet.rcode_mut() = RCODE::NameError;
    assert_eq!(read(&packet, "db.example", RecordType::A), Some(Reply::NoRecords(Duration::from_secs(5))));
    *packet.rcode_mut() = RCODE::ServerFailure;
    assert!(
        matches!(read(&packet, "db.example", RecordType::A), Some(Reply::ServerError(why)) if why.contains("ServerFailure"))
    );
    *packet.rcode_mut() = RCODE::Refused;
    assert!(matches!(read(&packet, "db.example", RecordType::A), Some(Reply::ServerError(_))));
    packet.set_flags(PacketFlag::TRUNCATION);
    assert_eq!(read(&packet, "db.example", RecordType::A), Some(Reply::Truncated));
}

#[test]
fn srv_records_include_the_addresses_of_their_targets() {
    let mut packet = asked_for("_web._tcp.example", RecordType::Srv);
    packet.answers.push(record("_web._tcp.example", 9, service("a.example")));
    packet.answers.push(record("_web._tcp.example", 9, service("b.example")));
    packet.additional_records.push(record("A.EXAMPLE", 9, a(1)));
    packet.additional_records.push(record("other.example", 9, a(2)));
    packet.additional_records.push(record("a.example", 9, a(3)));
    let Some(Reply::Services(records, ttl)) = read(&packet, "_web._tcp.example", RecordType::Srv) else {
        panic!()
    };
    assert_eq!(ttl, Duration::from_secs(9));
    assert_eq!(records[0].addresses, [1, 3].map(|number| IpAddr::from(Ipv4Addr::from(number))));
    assert_eq!((records[1].target.as_str(), records[1].addresses.len()), ("b.example", 0));
}

#[test]
fn keeps_at_most_the_maximum_of_records_and_addresses() {
    let mut packet = asked_for("_web._tcp.example", RecordType::Srv);
    for number in 0..1000 {
        packet.answers.push(record("_web._tcp.example", 9, service("a.example")));
        packet.additional_records.push(record("a.example", 9, a(number)));
    }
    let Some(Reply::Services(records, _)) = read(&packet, "_web._tcp.example", RecordType::Srv) else {
        panic!()
    };
    assert_eq!(records.len(), MAX_SERVERS);
    assert!(records.iter().all(|record| record.addresses.len() == MAX_SERVERS));
}

#[test]
fn checks_the_length_of_names() {
    assert!(is_name("a.example") && is_name("a.example."));
    let label = "a".repeat(63);
    let longest = format!("{label}.{label}.{label}.{}", "a".repeat(61));
    assert!(is_name(&longest));
    assert!(!is_name(&format!("{longest}.b")));
    assert!(!is_name(&format!("{label}a.example")));
    assert_eq!(question(ID, &format!("{longest}.b"), RecordType::A), None);
}

proptest! {
    /// Arbitrary bytes never panic.
    #[test]
    fn arbitrary_bytes_do_not_panic(
        bytes in vec(any::<u8>(), 0..300),
        kind in prop::sample::select(vec![RecordType::A, RecordType::Aaaa, RecordType::Srv]),
    ) {
        reply(&bytes, ID, "db.example", kind);
        // After a valid header and question, with arbitrary record counts.
        let head = asked_for("db.example", kind).build_bytes_vec().unwrap();
        let counts: Vec<u8> = bytes.iter().copied().chain([0; 6]).take(6).map(|count| count % 3).collect();
        let body = bytes.get(6..).unwrap_or_default();
        reply(&[&head[..6], &counts, &head[12..], body].concat(), ID, "db.example", kind);
    }

    /// A corrupted reply with another ID is never accepted.
    #[test]
    fn a_corrupted_reply_does_not_panic(
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut packet = asked_for("_web._tcp.example", RecordType::Srv);
        packet.answers.push(record("_web._tcp.example", 9, service("a.example")));
        packet.additional_records.push(record("a.example", 9, a(1)));
        let mut bytes = packet.build_bytes_vec_compressed().unwrap();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        let same_id = bytes[..2] == ID.to_be_bytes();
        for bytes in [&bytes[..], &bytes[..cut.index(bytes.len())]] {
            let found = reply(bytes, ID, "_web._tcp.example", RecordType::Srv);
            prop_assert!(same_id || found.is_none());
        }
    }
}
