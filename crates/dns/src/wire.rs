//! Questions and answers as bytes.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use dormouse_core::names::MOST;
use simple_dns::rdata::{OPT, RData};
use simple_dns::{CLASS, Name, Packet, PacketFlag, Question, RCODE, ResourceRecord, TYPE};

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordType {
    /// Addresses of IPv4.
    A,
    /// Addresses of IPv6.
    Aaaa,
    /// Service records.
    Srv,
}

/// The most bytes that an answer over UDP may have: what passes every network unfragmented (DNS flag day 2020).
pub(super) const MAX_UDP_BYTES: u16 = 1232;

/// A service record, with the addresses that came along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SrvRecord {
    /// Lower ones serve first.
    pub priority: u16,
    /// Its share among those of its priority.
    pub weight: u16,
    /// Its port.
    pub port: u16,
    /// The name of the host.
    pub target: String,
    /// Where that is, if the answer says it.
    pub addresses: Vec<IpAddr>,
}

/// What an answer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The addresses, and for how long they may be believed.
    Addresses(Vec<IpAddr>, Duration),
    /// The service records, no more than [`MOST`], and for how long they may be believed.
    Services(Vec<SrvRecord>, Duration),
    /// There is no such name, or nothing of this kind.
    NoRecords(Duration),
    /// It does not fit; ask over TCP.
    Truncated,
    /// The server cannot tell, and why.
    ServerError(String),
}

/// A question as bytes; `None` if the name is none.
pub fn question(id: u16, name: &str, kind: RecordType) -> Option<Vec<u8>> {
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    let name = parsed(name)?;
    packet.questions.push(Question::new(name, rr_type(kind).into(), CLASS::IN.into(), false));
    *packet.opt_mut() = Some(OPT { opt_codes: Vec::new(), udp_packet_size: MAX_UDP_BYTES, version: 0 });
    packet.build_bytes_vec().ok()
}

/// Whether it can be asked for: a domain that is put behind a name may make it too long.
pub(super) fn is_name(text: &str) -> bool {
    parsed(text).is_some()
}

fn parsed(text: &str) -> Option<Name<'_>> {
    Name::new(text.strip_suffix('.').unwrap_or(text)).ok()
}

fn rr_type(kind: RecordType) -> TYPE {
    match kind {
        RecordType::A => TYPE::A,
        RecordType::Aaaa => TYPE::AAAA,
        RecordType::Srv => TYPE::SRV,
    }
}

/// Reads an answer; `None` if it is not one to this question.
pub fn reply(bytes: &[u8], id: u16, name: &str, kind: RecordType) -> Option<Reply> {
    let packet = Packet::parse(bytes).ok()?;
    if packet.id() != id || !packet.has_flags(PacketFlag::RESPONSE) {
        return None;
    }
    let asked = packet.questions.first()?;
    if !same(&asked.qname.to_string(), name) || asked.qtype != rr_type(kind).into() {
        return None;
    }
    if packet.has_flags(PacketFlag::TRUNCATION) {
        return Some(Reply::Truncated);
    }
    Some(match packet.rcode() {
        RCODE::NoError => answer(&packet, kind),
        RCODE::NameError => Reply::NoRecords(negative_ttl(&packet)),
        other => Reply::ServerError(format!("the resolver says {other:?}")),
    })
}

fn answer(packet: &Packet<'_>, kind: RecordType) -> Reply {
    let ttl = packet.answers.iter().map(|record| record.ttl).min().unwrap_or_default();
    let ttl = Duration::from_secs(u64::from(ttl));
    if kind == RecordType::Srv {
        let records = services(packet);
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
    Reply::NoRecords(negative_ttl(packet))
}

/// Who answers decides how many records there are, so each is looked at once, and no more are kept than are used.
fn services(packet: &Packet<'_>) -> Vec<SrvRecord> {
    let mut known: HashMap<&Name<'_>, Vec<IpAddr>> = HashMap::new();
    for record in &packet.additional_records {
        let Some(address) = address(record) else { continue };
        let addresses = known.entry(&record.name).or_default();
        if addresses.len() < MOST {
            addresses.push(address);
        }
    }
    let service = |record: &ResourceRecord<'_>| {
        let RData::SRV(service) = &record.rdata else { return None };
        Some(SrvRecord {
            priority: service.priority,
            weight: service.weight,
            port: service.port,
            target: service.target.to_string(),
            addresses: known.get(&service.target).cloned().unwrap_or_default(),
        })
    };
    packet.answers.iter().filter_map(service).take(MOST).collect()
}

fn address(record: &ResourceRecord<'_>) -> Option<IpAddr> {
    match &record.rdata {
        RData::A(found) => Some(Ipv4Addr::from(found.address).into()),
        RData::AAAA(found) => Some(Ipv6Addr::from(found.address).into()),
        _ => None,
    }
}

/// How long an absence may be believed (RFC 2308).
fn negative_ttl(packet: &Packet<'_>) -> Duration {
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
