//! What travels beside the bytes, and ends reads before the socket is empty.

#![expect(clippy::unwrap_used, reason = "a test: what fails fails it")]

use std::io::{IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use dormouse_relay::{End, Kind, Limits, Pipes, Relay, Report, Stream};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, send, sendmsg};
use tokio::task::JoinHandle;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

fn tcp_pair() -> (TcpStream, OwnedFd) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    far.set_read_timeout(Some(PATIENCE)).unwrap();
    let near = listener.accept().unwrap().0;
    near.set_nonblocking(true).unwrap();
    (far, near.into())
}

fn unix_pair() -> (UnixStream, OwnedFd) {
    let (far, near) = UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    (far, near.into())
}

/// Sends bytes with a descriptor at the first of them.
fn send_with_descriptor(socket: &UnixStream, bytes: &[u8]) {
    let file = std::fs::File::open("/dev/null").unwrap();
    let files = [file.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(&files)));
    let sent = sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::empty()).unwrap();
    assert_eq!(sent, bytes.len());
}

fn relay(client: (OwnedFd, Kind), server: OwnedFd) -> JoinHandle<Report> {
    let client = Stream::new(client.0, client.1, true).unwrap();
    let server = Stream::new(server, Kind::Plain, false).unwrap();
    let limits = Arc::new(Limits::default());
    tokio::spawn(Relay::new(client, server, Vec::new(), limits, Pipes::new(64)))
}

/// Waits until the server has heard just this.
async fn hears(server: &TcpStream, words: &'static [u8]) {
    let mut server = server.try_clone().unwrap();
    let heard = tokio::task::spawn_blocking(move || {
        let mut heard = vec![0; words.len()];
        server.read_exact(&mut heard).map(|()| heard)
    });
    assert_eq!(heard.await.unwrap().unwrap(), words);
}

#[tokio::test]
async fn what_follows_a_descriptor_that_goes_nowhere_is_relayed() {
    let ((client, downstream), (server, upstream)) = (unix_pair(), tcp_pair());
    relay((downstream, Kind::Unix), upstream);
    for _ in 0..5 {
        // The relay runs on this very thread, and sees all of it at once.
        send_with_descriptor(&client, b"first ");
        (&client).write_all(b"second").unwrap();
        hears(&server, b"first second").await;
    }
}

#[tokio::test]
async fn what_follows_urgent_data_is_relayed() {
    let ((client, downstream), (server, upstream)) = (tcp_pair(), tcp_pair());
    relay((downstream, Kind::Plain), upstream);
    for _ in 0..5 {
        (&client).write_all(b"first ").unwrap();
        assert_eq!(send(&client, b"!", SendFlags::OOB).unwrap(), 1);
        (&client).write_all(b"second").unwrap();
        hears(&server, b"first second").await;
    }
}

#[tokio::test]
async fn urgent_data_ends_no_bulk_flow() {
    const PART: usize = 3 << 20;
    let ((client, downstream), (mut server, upstream)) = (tcp_pair(), tcp_pair());
    let report = relay((downstream, Kind::Plain), upstream);
    let sending = std::thread::spawn(move || {
        for part in 1..=4 {
            (&client).write_all(&vec![part; PART]).unwrap();
            assert_eq!(send(&client, b"!", SendFlags::OOB).unwrap(), 1);
        }
        (&client).write_all(b"end").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        client
    });
    let hearing = tokio::task::spawn_blocking(move || {
        let mut heard = Vec::new();
        server.read_to_end(&mut heard).map(|_| heard)
    });
    let heard = hearing.await.unwrap().unwrap();
    drop(sending.join().unwrap());
    // An urgent byte that another one follows before it was read is an ordinary one, tcp(7).
    let heard: Vec<u8> = heard.into_iter().filter(|byte| *byte != b'!').collect();
    let mut sent: Vec<u8> = (1..=4).flat_map(|part| vec![part; PART]).collect();
    sent.extend(b"end");
    assert!(heard == sent, "{} of {}", heard.len(), sent.len());
    assert_eq!(timeout(PATIENCE, report).await.unwrap().unwrap().end, End::Finished);
}
