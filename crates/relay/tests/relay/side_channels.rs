//! Descriptors and urgent data, which end a read before the socket is empty.

use std::io::{IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use dormouse_relay::{End, Limits, MessageCredentials, Pipes, Relay, Report, Stream, StreamKind};
use dormouse_sys::credentials::Credentials;
use dormouse_sys::message::receive;
use dormouse_sys::pass_rights::pass_rights;
use rustix::io::Errno;
use rustix::net::sockopt::{set_socket_linger, set_socket_passcred};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, recvmsg, send};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::descriptor::{send_with, send_with_descriptor};
use crate::rig::{TIMEOUT, ended, expect_bytes, relay, tcp_pair, unix_pair};

fn start(downstream: OwnedFd, upstream: OwnedFd) -> JoinHandle<Report> {
    relay(downstream, upstream, Limits::default(), Pipes::new(64))
}

/// Starts a session between a UNIX socket and a TCP socket, as on a kernel that cannot refuse descriptors (before 6.16).
fn start_without_refusal(downstream: OwnedFd, upstream: OwnedFd) -> JoinHandle<Report> {
    let duplicate = downstream.try_clone().unwrap();
    let report = start(downstream, upstream);
    let _ = pass_rights(&duplicate, true);
    report
}

#[tokio::test]
async fn the_kernel_refuses_descriptors_that_do_not_get_to_the_server() {
    let ((client, downstream), (server, upstream)) = (unix_pair(), tcp_pair());
    let can_refuse = pass_rights(&downstream, true).is_ok();
    start(downstream, upstream);
    let file = std::fs::File::open("/dev/null").unwrap();
    let sent = send_with(&client, b"x", &[file.as_fd()], SendFlags::empty());
    assert_eq!(sent, if can_refuse { Err(Errno::PERM) } else { Ok(1) });
    (&client).write_all(b"y").unwrap();
    expect_bytes(&server, if can_refuse { b"y" } else { b"xy" }).await;
}

/// Sends a socket whose close waits for longer than the test, and gives it up. Returns its peer.
fn send_lingering(client: &UnixStream, bytes: &[u8], flags: SendFlags) -> TcpStream {
    let (peer, socket) = tcp_pair();
    set_socket_linger(&socket, Some(TIMEOUT * 3)).unwrap();
    rustix::io::ioctl_fionbio(&socket, true).unwrap();
    let chunk = vec![0; 1 << 16];
    while send(&socket, &chunk, SendFlags::empty()).is_ok() {}
    assert_eq!(send_with(client, bytes, &[socket.as_fd()], flags), Ok(bytes.len()));
    peer
}

#[tokio::test]
async fn a_descriptor_whose_close_waits_delays_no_byte() {
    let ((client, downstream), (server, upstream)) = (unix_pair(), tcp_pair());
    start_without_refusal(downstream, upstream);
    let _peer = send_lingering(&client, b"x", SendFlags::empty());
    expect_bytes(&server, b"x").await;
    // The relay runs on this thread, so it reads both at once.
    let _peer = send_lingering(&client, b"!", SendFlags::OOB);
    (&client).write_all(b"y").unwrap();
    // An urgent byte is received as any other, with its descriptor, because the kernel would close that.
    expect_bytes(&server, b"!y").await;
}

#[tokio::test]
async fn bytes_after_a_dropped_descriptor_are_relayed() {
    let ((client, downstream), (server, upstream)) = (unix_pair(), tcp_pair());
    start_without_refusal(downstream, upstream);
    for _ in 0..5 {
        // The relay runs on this thread, so it reads both writes at once.
        send_with_descriptor(&client, b"first ");
        (&client).write_all(b"second").unwrap();
        expect_bytes(&server, b"first second").await;
    }
}

#[tokio::test]
async fn bytes_after_urgent_data_are_relayed() {
    let ((client, downstream), (server, upstream)) = (tcp_pair(), tcp_pair());
    start(downstream, upstream);
    for _ in 0..5 {
        (&client).write_all(b"first ").unwrap();
        assert_eq!(send(&client, b"!", SendFlags::OOB).unwrap(), 1);
        (&client).write_all(b"second").unwrap();
        expect_bytes(&server, b"first second").await;
    }
}

#[tokio::test]
async fn a_bulk_flow_continues_after_urgent_data() {
    const PART: usize = 3 << 20;
    let ((client, downstream), (mut server, upstream)) = (tcp_pair(), tcp_pair());
    let report = start(downstream, upstream);
    let sending = std::thread::spawn(move || {
        for part in 1..=4 {
            (&client).write_all(&vec![part; PART]).unwrap();
            assert_eq!(send(&client, b"!", SendFlags::OOB).unwrap(), 1);
        }
        (&client).write_all(b"end").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        client
    });
    let receiving = tokio::task::spawn_blocking(move || {
        let mut received = Vec::new();
        server.read_to_end(&mut received).map(|_| received)
    });
    let received = receiving.await.unwrap().unwrap();
    drop(sending.join().unwrap());
    // An unread urgent byte becomes an ordinary byte when another urgent byte follows it (tcp(7)).
    let received: Vec<u8> = received.into_iter().filter(|byte| *byte != b'!').collect();
    let mut sent: Vec<u8> = (1..=4).flat_map(|part| vec![part; PART]).collect();
    sent.extend(b"end");
    assert!(received == sent, "{} of {}", received.len(), sent.len());
    assert_eq!(ended(report).await.end, End::Finished);
}

/// Sends descriptors among bulk bytes that would be spliced: none is lost, and each arrives no later than its byte.
#[tokio::test]
async fn descriptors_travel_between_unix_sockets() {
    const SENT: usize = 40;

    let ((client, downstream), (server, upstream)) = (unix_pair(), unix_pair());
    let report = start(downstream, upstream);
    let sending = std::thread::spawn(move || {
        let bulk = vec![0; 1 << 20];
        for _ in 0..SENT {
            (&client).write_all(&bulk).unwrap();
            send_with_descriptor(&client, b"x");
        }
    });
    let receiving = std::thread::spawn(move || {
        let (mut bytes, mut descriptors, mut marks) = (0, 0, 0);
        let mut buffer = vec![0; 100_000];
        loop {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(253))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let buffer = &mut [IoSliceMut::new(&mut buffer)];
            let message = recvmsg(&server, buffer, &mut control, RecvFlags::empty()).unwrap();
            for ancillary in control.drain() {
                if let RecvAncillaryMessage::ScmRights(files) = ancillary {
                    descriptors += files.count();
                }
            }
            bytes += message.bytes;
            marks += buffer[0].iter().take(message.bytes).filter(|byte| **byte == b'x').count();
            assert!(descriptors >= marks, "a descriptor came after its byte");
            if message.bytes == 0 {
                return (bytes, descriptors);
            }
        }
    });
    let received = tokio::task::spawn_blocking(move || {
        sending.join().unwrap();
        receiving.join().unwrap()
    });
    let received = timeout(TIMEOUT, received).await.unwrap().unwrap();
    assert_eq!(received, (SENT * ((1 << 20) + 1), SENT));
    report.abort();
}

/// The credentials of the messages that a peer has received, in their order, without repetitions.
fn senders(socket: &UnixStream, bytes: usize) -> Vec<Option<Credentials>> {
    let (mut senders, mut total) = (Vec::new(), 0);
    let mut buffer = vec![0; 1 << 16];
    while total < bytes {
        let received = receive(socket.as_fd(), &mut buffer, &mut Vec::new()).unwrap();
        assert!(received.bytes > 0, "the stream ended after {total} bytes");
        total += received.bytes;
        senders.push(received.credentials);
        senders.dedup();
    }
    senders
}

/// Relays this many bytes from a client to a server that asks for credentials. Returns those that it got.
async fn relay_message(credentials: MessageCredentials, bytes: usize) -> Vec<Option<Credentials>> {
    let ((client, downstream), (server, upstream)) = (unix_pair(), unix_pair());
    set_socket_passcred(&server, true).unwrap();
    let stream = |socket: OwnedFd| {
        rustix::io::ioctl_fionbio(&socket, true).unwrap();
        Stream::new(socket, StreamKind::Unix, false).unwrap().with_message_credentials(credentials)
    };
    let (downstream, upstream) = (stream(downstream), stream(upstream));
    let relay = Relay::new(downstream, upstream, Vec::new(), Limits::default().into(), Pipes::new(64));
    let relaying = tokio::spawn(relay);
    let sending = std::thread::spawn(move || {
        (&client).write_all(&vec![7; bytes]).unwrap();
        client
    });
    let senders = tokio::task::spawn_blocking(move || senders(&server, bytes));
    let senders = timeout(TIMEOUT, senders).await.unwrap().unwrap();
    relaying.abort();
    drop(sending.join().unwrap());
    senders
}

fn own() -> Credentials {
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    Credentials { uid, gid, pid: Some(std::process::id()) }
}

/// Bytes are few, or so many that they are spliced.
const FEW_AND_MANY: [usize; 2] = [5, 2 << 20];

#[tokio::test]
async fn messages_have_the_credentials_of_this_process_by_default() {
    for bytes in FEW_AND_MANY {
        assert_eq!(relay_message(MessageCredentials::Own, bytes).await, [Some(own())]);
    }
}

#[tokio::test]
async fn messages_have_the_credentials_of_their_sender() {
    for bytes in FEW_AND_MANY {
        assert_eq!(relay_message(MessageCredentials::Passed, bytes).await, [Some(own())]);
    }
}

#[tokio::test]
async fn withheld_credentials_are_those_of_nobody() {
    let withheld = MessageCredentials::withheld_if_possible();
    let expected = match withheld {
        MessageCredentials::Withheld => Credentials { uid: 65_534, gid: 65_534, ..own() },
        _ => own(),
    };
    for bytes in FEW_AND_MANY {
        assert_eq!(relay_message(withheld, bytes).await, [Some(expected)]);
    }
}
