//! Requests and answers of the kernel's socket diagnostics.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test: what fails fails it")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use dormouse_core::sock_diag::{
    Answer, Family, InetSocket, Malformed, REQUEST_LENGTH, TcpState, answers, listeners_for,
    listeners_request, socket_request,
};
use proptest::prelude::*;

/// What Linux 6.18 on a little-endian machine answers about a listener on 127.0.0.1:35063, and the end of the answer.
const LISTENER: &str = "7c00000014000200010000004a730000020a000088f700007f0000010000000000000000000000000000000000000000\
    0000000000000000000000000e1000000000000000000000000000008000000000000000b9827500050008000000000008000f00000000000c\
    00150001000000000000000600160052000000";

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.chars().filter_map(|digit| u8::try_from(digit.to_digit(16)?).ok()).collect();
    digits.chunks(2).map(|pair| (pair[0] << 4) | pair[1]).collect()
}

/// A message of the kernel about one socket.
fn message(
    sequence: u32,
    local: SocketAddr,
    remote: SocketAddr,
    state: u8,
    numbers: (u32, u32, u64),
) -> Vec<u8> {
    let (inode, uid, cookie) = numbers;
    let octets = |address: SocketAddr| match address.ip() {
        IpAddr::V4(ip) => [&ip.octets()[..], &[0; 12]].concat(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let mut body = vec![if local.is_ipv4() { 2 } else { 10 }, state, 0, 0];
    body.extend(local.port().to_be_bytes());
    body.extend(remote.port().to_be_bytes());
    body.extend(octets(local));
    body.extend(octets(remote));
    body.extend([0; 4]);
    body.extend(u32::try_from(cookie & 0xffff_ffff).unwrap().to_ne_bytes());
    body.extend(u32::try_from(cookie >> 32).unwrap().to_ne_bytes());
    body.extend([0; 12]);
    body.extend(uid.to_ne_bytes());
    body.extend(inode.to_ne_bytes());
    let mut all = u32::try_from(body.len() + 16).unwrap().to_ne_bytes().to_vec();
    all.extend(20_u16.to_ne_bytes());
    all.extend(2_u16.to_ne_bytes());
    all.extend(sequence.to_ne_bytes());
    all.extend([0; 4]);
    all.extend(body);
    all
}

fn listener(local: &str, v6only: bool) -> InetSocket {
    let unspecified = SocketAddr::from(([0, 0, 0, 0], 0));
    let local = local.parse().unwrap();
    let state = TcpState::Listen;
    InetSocket { local, remote: unspecified, state, inode: Some(1), uid: 0, cookie: 1, v6only, cgroup: None }
}

#[test]
#[cfg(target_endian = "little")]
fn an_answer_of_the_kernel_is_read() {
    let parsed = answers(&bytes(LISTENER), 1).unwrap();
    let [Answer::Socket(socket)] = parsed.as_slice() else { panic!("{parsed:?}") };
    assert_eq!(socket.local, "127.0.0.1:35063".parse().unwrap());
    assert_eq!((socket.state, socket.inode, socket.uid), (TcpState::Listen, Some(7_701_177), 0));
    assert_eq!((socket.cgroup, socket.v6only), (Some(1), false));
    assert_eq!(answers(&bytes("1400000003000200010000004a73000000000000"), 1), Ok(vec![Answer::Done]));
    // ENOENT
    let error = "240000000200000001000000000000 00feffffff 00000000000000000000000000000000";
    assert_eq!(answers(&bytes(error), 1), Ok(vec![Answer::Error(2)]));
    // Another request's.
    assert_eq!(answers(&bytes(LISTENER), 2), Ok(vec![]));
}

#[test]
#[cfg(target_endian = "little")]
fn requests_have_the_layout_of_the_kernel() {
    let request = listeners_request(Family::V4, 35063, 1);
    let expected = "48000000 1400 0103 01000000 00000000 02060000 00040000 88f7 0000";
    assert_eq!(request[..28], bytes(expected));
    assert!(request[28..64].iter().all(|byte| *byte == 0) && request[64..].iter().all(|byte| *byte == 0xff));
    let request = socket_request("[fe80::1%3]:80".parse().unwrap(), "[fe80::2%3]:9".parse().unwrap(), 7);
    assert_eq!((request[16], request[24..28].to_vec()), (10, vec![0, 80, 0, 9]));
    assert_eq!(request[60..64], 3_u32.to_ne_bytes());
}

#[test]
fn the_listener_at_the_address_itself_comes_first() {
    let to: SocketAddr = "127.0.0.1:80".parse().unwrap();
    let (own, all, other) = ("127.0.0.1:80", "0.0.0.0:80", "127.0.0.2:80");
    let pick = |list: &[InetSocket]| -> Vec<String> {
        listeners_for(list, to).iter().map(|found| found.local.to_string()).collect()
    };
    assert_eq!(pick(&[listener(all, false), listener(own, false), listener(other, false)]), [own]);
    assert_eq!(pick(&[listener(all, false), listener(other, false), listener("0.0.0.0:81", false)]), [all]);
    assert_eq!(pick(&[listener("[::]:80", false)]), ["[::]:80"]);
    assert_eq!(pick(&[listener("[::]:80", true)]), [""; 0]);
    assert_eq!(pick(&[listener("[::ffff:127.0.0.1]:80", false)]), ["[::ffff:127.0.0.1]:80"]);
    // Two that share a port.
    assert_eq!(pick(&[listener(own, false), listener(own, false)]).len(), 2);
}

proptest! {
    #[test]
    fn any_bytes_have_an_answer(junk in prop::collection::vec(any::<u8>(), 0..300), sequence in 0..3_u32) {
        let _ = answers(&junk, sequence);
    }

    #[test]
    fn a_damaged_answer_is_read_or_refused(
        at in 0..200_usize, value in any::<u8>(), cut in 0..200_usize,
    ) {
        let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 80));
        let mut all = [message(1, local, local, 1, (1, 2, 3)), message(1, local, local, 10, (4, 5, 6))].concat();
        if let Some(byte) = all.get_mut(at) {
            *byte = value;
        }
        all.truncate(all.len() - cut.min(all.len()));
        let _ = answers(&all, 1);
    }

    #[test]
    fn sockets_are_read_as_written(
        ips in prop_oneof![
            any::<(Ipv4Addr, Ipv4Addr)>().prop_map(|(one, other)| (IpAddr::from(one), IpAddr::from(other))),
            any::<(Ipv6Addr, Ipv6Addr)>().prop_map(|(one, other)| (IpAddr::from(one), IpAddr::from(other))),
        ],
        ports in any::<(u16, u16)>(),
        numbers in any::<(u32, u32, u64)>(),
        state in 1..13_u8,
    ) {
        let (local, remote) = (SocketAddr::new(ips.0, ports.0), SocketAddr::new(ips.1, ports.1));
        let parsed = answers(&message(9, local, remote, state, numbers), 9).unwrap();
        let [Answer::Socket(socket)] = parsed.as_slice() else { panic!("{parsed:?}") };
        prop_assert_eq!((socket.local, socket.remote), (local, remote));
        prop_assert_eq!((socket.inode.unwrap_or(0), socket.uid, socket.cookie), numbers);
        prop_assert_eq!(socket.state == TcpState::Listen, state == 10);
    }

    #[test]
    fn requests_have_their_length(local in any::<(Ipv6Addr, u16)>(), remote in any::<(Ipv6Addr, u16)>()) {
        let request = socket_request(local.into(), remote.into(), 1);
        prop_assert_eq!(request.len(), REQUEST_LENGTH);
        // The kernel's message layout is close enough that a request is no valid answer.
        prop_assert!(matches!(answers(&request, 1), Err(Malformed) | Ok(_)));
    }
}
