//! Questions and answers as bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use simple_dns::rdata::{OPT, RData};
use simple_dns::{CLASS, Name, Packet, PacketFlag, Question, RCODE, ResourceRecord, TYPE};

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    V4,
    V6,
    Services,
}

/// The most bytes that an answer over UDP may have: what passes every network unfragmented (DNS flag day 2020).
pub(super) const MOST_BYTES: u16 = 1232;

/// A service record, with the addresses that came along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) priority: u16,
    pub(super) weight: u16,
    pub(super) port: u16,
    pub(super) target: String,
    pub(super) addresses: Vec<IpAddr>,
}

/// What an answer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    Addresses(Vec<IpAddr>, Duration),
    Services(Vec<Record>, Duration),
    /// There is no such name, or nothing of this kind.
    Nothing(Duration),
    /// It does not fit; ask over TCP.
    Truncated,
    /// The server cannot tell, and why.
    Refused(String),
}

/// A question as bytes; `None` if the name is none.
pub(super) fn question(id: u16, name: &str, kind: Kind) -> Option<Vec<u8>> {
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    let name = Name::new(name.strip_suffix('.').unwrap_or(name)).ok()?;
    packet.questions.push(Question::new(name, record_type(kind).into(), CLASS::IN.into(), false));
    *packet.opt_mut() = Some(OPT { opt_codes: Vec::new(), udp_packet_size: MOST_BYTES, version: 0 });
    packet.build_bytes_vec().ok()
}

fn record_type(kind: Kind) -> TYPE {
    match kind {
        Kind::V4 => TYPE::A,
        Kind::V6 => TYPE::AAAA,
        Kind::Services => TYPE::SRV,
    }
}

/// Reads an answer; `None` if it is not one to this question.
pub(super) fn reply(bytes: &[u8], id: u16, name: &str, kind: Kind) -> Option<Reply> {
    let packet = Packet::parse(bytes).ok()?;
    if packet.id() != id || !packet.has_flags(PacketFlag::RESPONSE) {
        return None;
    }
    let asked = packet.questions.first()?;
    if !same(&asked.qname.to_string(), name) || asked.qtype != record_type(kind).into() {
        return None;
    }
    if packet.has_flags(PacketFlag::TRUNCATION) {
        return Some(Reply::Truncated);
    }
    Some(match packet.rcode() {
        RCODE::NoError => answer(&packet, kind),
        RCODE::NameError => Reply::Nothing(until_asked_again(&packet)),
        other => Reply::Refused(format!("the resolver says {other:?}")),
    })
}

fn answer(packet: &Packet<'_>, kind: Kind) -> Reply {
    let ttl = packet.answers.iter().map(|record| record.ttl).min().unwrap_or_default();
    let ttl = Duration::from_secs(u64::from(ttl));
    if kind == Kind::Services {
        let records: Vec<_> = packet.answers.iter().filter_map(|record| service(record, packet)).collect();
        if !records.is_empty() {
            return Reply::Services(records, ttl);
        }
    } else {
        // A resolver has followed the aliases; what it found stands in the answer.
        let addresses: Vec<_> = packet.answers.iter().filter_map(address).collect();
        if !addresses.is_empty() {
            return Reply::Addresses(addresses, ttl);
        }
    }
    Reply::Nothing(until_asked_again(packet))
}

fn service(record: &ResourceRecord<'_>, packet: &Packet<'_>) -> Option<Record> {
    let RData::SRV(service) = &record.rdata else { return None };
    let target = service.target.to_string();
    let of_target = |record: &&ResourceRecord<'_>| same(&record.name.to_string(), &target);
    Some(Record {
        priority: service.priority,
        weight: service.weight,
        port: service.port,
        addresses: packet.additional_records.iter().filter(of_target).filter_map(address).collect(),
        target,
    })
}

fn address(record: &ResourceRecord<'_>) -> Option<IpAddr> {
    match &record.rdata {
        RData::A(found) => Some(Ipv4Addr::from(found.address).into()),
        RData::AAAA(found) => Some(Ipv6Addr::from(found.address).into()),
        _ => None,
    }
}

/// How long an absence may be believed (RFC 2308).
fn until_asked_again(packet: &Packet<'_>) -> Duration {
    let seconds = packet.name_servers.iter().find_map(|record| match &record.rdata {
        RData::SOA(zone) => Some(zone.minimum.min(record.ttl)),
        _ => None,
    });
    Duration::from_secs(u64::from(seconds.unwrap_or_default()))
}

/// Names are the same whatever the case, with a dot at the end or without.
fn same(one: &str, other: &str) -> bool {
    one.trim_end_matches('.').eq_ignore_ascii_case(other.trim_end_matches('.'))
}
