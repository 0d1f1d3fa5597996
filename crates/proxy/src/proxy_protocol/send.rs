//! Writing the PROXY header for the server.

use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use dormouse_config::proxy_protocol::{Additions, SendProxy};
use dormouse_core::proxy_protocol::tlv::{self, GID, PID, UID, UNIQUE_ID};
use dormouse_core::proxy_protocol::{Addresses, Tlv, Version, encode, encode_v2};
use dormouse_log::{Level, Log, Recurring};
use dormouse_relay::{Stream, StreamKind};
use dormouse_sys::credentials::{Credentials, peer_credentials};

use crate::client::Peer;

/// Returns the header for a client.
pub fn encode_header(send: SendProxy, client: &Stream, peer: &Peer, log: &Log) -> Vec<u8> {
    let (version, addresses) = (send.version(), peer.proxy_addresses());
    if matches!((version, &addresses), (_, Addresses::Unknown) | (Version::V1, Addresses::Unix { .. })) {
        log.recurring(
            Recurring::ClientUnknown,
            Level::Warning,
            format_args!("PROXY header {version} cannot express {peer}; sending UNKNOWN."),
        );
    }
    let mut header = Vec::new();
    let SendProxy::V2(additions) = send else {
        encode(version, &addresses, &mut header);
        return header;
    };
    let passed = if additions.pass { passed_on(peer) } else { Vec::new() };
    let own = own(additions, client, peer);
    let all = [passed, own.clone()].concat();
    // The passed TLVs may leave no room for dormouse's own, which always fit alone.
    if encode_v2(&addresses, &all, &mut header).is_err() && encode_v2(&addresses, &own, &mut header).is_err()
    {
        encode(version, &addresses, &mut header);
    }
    header
}

/// Returns the TLVs of the previous proxy that a client may state.
fn passed_on(peer: &Peer) -> Vec<Tlv> {
    peer.tlvs().iter().filter(|tlv| tlv::passes(tlv.kind)).cloned().collect()
}

/// Sets the unique ID of a session, if it is enabled.
pub(super) fn assign_unique_id(additions: Additions, peer: &mut Peer) {
    if additions.unique_id {
        peer.set_unique_id(unique_id());
    }
}

/// Returns the TLVs that dormouse vouches for.
fn own(additions: Additions, client: &Stream, peer: &Peer) -> Vec<Tlv> {
    let mut tlvs = Vec::new();
    let id = peer.unique_id().filter(|_| additions.unique_id);
    tlvs.extend(id.map(|id| Tlv { kind: UNIQUE_ID, value: id.as_bytes().to_vec() }));
    // The credentials of a proxy are not its client's.
    let asked = additions.credentials && client.kind() == StreamKind::Unix && !peer.is_proxied();
    if let Some(Ok(found)) = client.socket().filter(|_| asked).map(peer_credentials) {
        let Credentials { uid, gid, pid } = found;
        let number = |kind, value: u32| Tlv { kind, value: value.to_be_bytes().to_vec() };
        tlvs.extend([number(UID, uid), number(GID, gid)]);
        tlvs.extend(pid.map(|pid| number(PID, pid)));
    }
    tlvs
}

/// Returns an ID that is unique in this process and very likely globally.
fn unique_id() -> String {
    static PROCESS: OnceLock<u64> = OnceLock::new();
    static SESSIONS: AtomicU64 = AtomicU64::new(0);
    let process = PROCESS.get_or_init(|| RandomState::new().hash_one(std::process::id()));
    format!("{process:016x}-{:x}", SESSIONS.fetch_add(1, Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use dormouse_core::proxy_protocol::{Decoded, decode};
    use std::os::unix::net::UnixStream;

    const ALL: Additions = Additions { unique_id: true, credentials: true, pass: true };

    fn local() -> (UnixStream, Stream, Peer) {
        let (far, near) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        let peer = Peer::of(&near);
        (far, Stream::new(near.into(), StreamKind::Unix, false).unwrap(), peer)
    }

    fn written(additions: Additions, client: &Stream, peer: &mut Peer) -> (Addresses, Vec<Tlv>) {
        assign_unique_id(additions, peer);
        let bytes = encode_header(SendProxy::V2(additions), client, peer, &Log::new(Some(Level::Err)));
        match decode(&bytes) {
            Decoded::Header { addresses, tlvs, consumed, .. } => {
                assert_eq!(consumed, bytes.len());
                (addresses, tlvs)
            }
            other => panic!("{other:?}"),
        }
    }

    fn value(tlvs: &[Tlv], kind: u8) -> Option<&[u8]> {
        tlvs.iter().find(|tlv| tlv.kind == kind).map(|tlv| tlv.value.as_slice())
    }

    fn remote() -> Addresses {
        Addresses::Inet { src: "192.0.2.7:4711".parse().unwrap(), dst: "198.51.100.1:80".parse().unwrap() }
    }

    #[tokio::test]
    async fn sends_user_group_and_process_of_a_local_client() {
        let (_far, near, mut peer) = local();
        let (addresses, tlvs) = written(ALL, &near, &mut peer);
        assert!(matches!(addresses, Addresses::Unix { .. }));
        assert_eq!(value(&tlvs, PID), Some(&std::process::id().to_be_bytes()[..]));
        assert_eq!(value(&tlvs, UID), Some(&rustix::process::geteuid().as_raw().to_be_bytes()[..]));
        assert_eq!(value(&tlvs, GID), Some(&rustix::process::getegid().as_raw().to_be_bytes()[..]));
        let (_, tlvs) = written(Additions::default(), &near, &mut peer);
        assert!(tlvs.is_empty());
    }

    #[tokio::test]
    async fn each_session_has_a_unique_id() {
        let (_far, near, mut peer) = local();
        let mut name = || {
            let (_, tlvs) = written(ALL, &near, &mut peer);
            let name = String::from_utf8(value(&tlvs, UNIQUE_ID).unwrap().to_vec()).unwrap();
            assert_eq!(peer.unique_id(), Some(name.as_str()));
            name
        };
        assert_ne!(name(), name());
    }

    #[tokio::test]
    async fn passes_on_what_the_previous_proxy_may_state() {
        let (_far, near, mut peer) = local();
        let tlv = |kind: u8, value: &[u8]| Tlv { kind, value: value.to_vec() };
        let received = vec![
            tlv(0x02, b"example.org"),
            tlv(0x04, b"1234"),
            tlv(0x20, b"\x01\0\0\0\0"),
            tlv(0x22, b"root"),
            tlv(0x30, b"blue"),
            tlv(0xea, b"vpce"),
            tlv(0xff, b"future"),
        ];
        peer.set_proxied(remote(), received);
        let pass = Additions { unique_id: false, ..ALL };
        let (addresses, tlvs) = written(pass, &near, &mut peer);
        assert_eq!(addresses, remote());
        assert_eq!(tlvs, [tlv(0x02, b"example.org"), tlv(0x20, b"\x01\0\0\0\0"), tlv(0xea, b"vpce")]);
        let (_, tlvs) = written(Additions { pass: false, ..pass }, &near, &mut peer);
        assert_eq!(tlvs, [], "the credentials of the proxy are not its client's");
    }

    /// What dormouse vouches for never comes from a header, whether dormouse states it itself or not.
    #[tokio::test]
    async fn a_header_cannot_state_what_dormouse_vouches_for() {
        for (unique_id, credentials) in [(false, false), (true, false), (false, true), (true, true)] {
            let (_far, near, mut peer) = local();
            let forged = [(UID, 0), (GID, 0), (PID, 1)]
                .map(|(kind, value): (u8, u32)| Tlv { kind, value: value.to_be_bytes().to_vec() });
            let id = Tlv { kind: UNIQUE_ID, value: b"forged".to_vec() };
            peer.set_proxied(remote(), forged.into_iter().chain([id]).collect());
            let (_, tlvs) = written(Additions { unique_id, credentials, pass: true }, &near, &mut peer);
            assert_eq!(tlvs.len(), usize::from(unique_id), "{tlvs:?}");
            assert!(tlvs.iter().all(|tlv| tlv.kind == UNIQUE_ID && tlv.value != b"forged"), "{tlvs:?}");
        }
    }

    #[tokio::test]
    async fn omits_passed_tlvs_that_leave_no_room() {
        let (_far, near, mut peer) = local();
        peer.set_proxied(remote(), vec![Tlv { kind: 0xee, value: vec![7; 4070] }]);
        let (addresses, tlvs) = written(ALL, &near, &mut peer);
        assert_eq!(addresses, remote());
        assert!(value(&tlvs, UNIQUE_ID).is_some() && value(&tlvs, 0xee).is_none());
    }
}
