//! Any bytes are an answer to a question or none, and an answer has no more in it than there may be.
#![no_main]

use arbitrary::Arbitrary;
use dormouse_dns::wire::{RecordType, Reply, question, reply};
use dormouse_core::dns::MAX_SERVERS;
use libfuzzer_sys::fuzz_target;

const ID: u16 = 0x1234;
const NAME: &str = "_web._tcp.example";

#[derive(Debug, Arbitrary)]
struct Input {
    kind: u8,
    flags: [u8; 2],
    /// The numbers of answers, name servers and further records that the header contains.
    counts: [u8; 3],
    bytes: Vec<u8>,
}

fuzz_target!(|input: Input| {
    let Input { kind, flags, counts, bytes } = input;
    let kind = [RecordType::A, RecordType::Aaaa, RecordType::Srv][usize::from(kind % 3)];
    check(&bytes, kind);
    // Behind the question, which chance would seldom find.
    let mut message = question(ID, NAME, kind).expect("it is a name");
    message.truncate(12 + NAME.len() + 2 + 4);
    message[2..4].copy_from_slice(&[flags[0] | 0x80, flags[1]]);
    for (place, count) in [7, 9, 11].into_iter().zip(counts) {
        message[place] = count;
    }
    message.extend(bytes);
    check(&message, kind);
    assert_eq!(reply(&message, ID + 1, NAME, kind), None);
    assert_eq!(reply(&message, ID, "web.example", kind), None);
});

fn check(bytes: &[u8], kind: RecordType) {
    match reply(bytes, ID, NAME, kind) {
        Some(Reply::Addresses(addresses, _)) => {
            assert!(kind != RecordType::Srv && (1..=bytes.len()).contains(&addresses.len()));
        }
        Some(Reply::Services(records, _)) => {
            assert!(kind == RecordType::Srv && (1..=MAX_SERVERS).contains(&records.len()));
            assert!(records.iter().all(|record| record.addresses.len() <= MAX_SERVERS));
        }
        Some(Reply::NoRecords(_) | Reply::Truncated | Reply::ServerError(_)) | None => {}
    }
}
