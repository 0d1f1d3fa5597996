//! DNS messages: encoding of queries, decoding of replies.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use dormouse_core::dns::MAX_SERVERS;
use simple_dns::rdata::{OPT, RData};
use simple_dns::{CLASS, Name, Packet, PacketFlag, Question, RCODE, ResourceRecord, TYPE};

/// The type of the records to query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordType {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Service records.
    Srv,
}

/// The maximum size of a UDP reply in bytes, which no network fragments (DNS flag day 2020).
pub(super) const MAX_UDP_BYTES: u16 = 1232;

/// An SRV record, with the addresses of its target in the same reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SrvRecord {
    /// The priority; lower values are used first.
    pub priority: u16,
    /// The weight among records of the same priority.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The host name.
    pub target: String,
    /// The addresses of the host, if the reply contains them.
    pub addresses: Vec<IpAddr>,
}

/// The content of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Addresses and their TTL.
    Addresses(Vec<IpAddr>, Duration),
    /// SRV records, at most [`MAX_SERVERS`], and their TTL.
    Services(Vec<SrvRecord>, Duration),
    /// The name does not exist or has no records of the type; with the negative TTL.
    NoRecords(Duration),
    /// The reply is truncated: query over TCP.
    Truncated,
    /// The resolver returned an error.
    ServerError(String),
}

/// Encodes a query. Returns `None` if the name is invalid.
pub fn question(id: u16, name: &str, kind: RecordType) -> Option<Vec<u8>> {
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    let name = parsed(name)?;
    packet.questions.push(Question::new(name, rr_type(kind).into(), CLASS::IN.into(), false));
    *packet.opt_mut() = Some(OPT { opt_codes: Vec::new(), udp_packet_size: MAX_UDP_BYTES, version: 0 });
    packet.build_bytes_vec().ok()
}

/// Returns whether a text is a valid name. A search domain may make a name too long.
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

/// Decodes a reply. Returns `None` if the bytes are no reply to this query.
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
        other => Reply::ServerError(format!("the resolver returned {other:?}")),
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
        // The resolver has followed the aliases, so all addresses are in the answer section.
        let addresses: Vec<_> = packet.answers.iter().filter_map(address).collect();
        if !addresses.is_empty() {
            return Reply::Addresses(addresses, ttl);
        }
    }
    Reply::NoRecords(negative_ttl(packet))
}

/// Collects SRV records. The resolver controls the number of records, so each is read once and at most [`MOST`] are kept.
fn services(packet: &Packet<'_>) -> Vec<SrvRecord> {
    let mut known: HashMap<&Name<'_>, Vec<IpAddr>> = HashMap::new();
    for record in &packet.additional_records {
        let Some(address) = address(record) else { continue };
        let addresses = known.entry(&record.name).or_default();
        if addresses.len() < MAX_SERVERS {
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
    packet.answers.iter().filter_map(service).take(MAX_SERVERS).collect()
}

fn address(record: &ResourceRecord<'_>) -> Option<IpAddr> {
    match &record.rdata {
        RData::A(found) => Some(Ipv4Addr::from(found.address).into()),
        RData::AAAA(found) => Some(Ipv6Addr::from(found.address).into()),
        _ => None,
    }
}

/// Returns the TTL of a negative answer (RFC 2308).
fn negative_ttl(packet: &Packet<'_>) -> Duration {
    let seconds = packet.name_servers.iter().find_map(|record| match &record.rdata {
        RData::SOA(zone) => Some(zone.minimum.min(record.ttl)),
        _ => None,
    });
    Duration::from_secs(u64::from(seconds.unwrap_or_default()))
}

/// Compares names without case and without a final dot.
fn same(one: &str, other: &str) -> bool {
    one.trim_end_matches('.').eq_ignore_ascii_case(other.trim_end_matches('.'))
}
