//! A client, a server and the exchange between them, over real sockets.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;

use tokio::time::{Instant, timeout};

use super::*;
use crate::stream::StreamKind;

/// Longer than any exchange of these tests.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Returns a TCP connection: the peer's end, and the stream.
fn connection() -> (TcpStream, Stream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (near, _) = listener.accept().unwrap();
    near.set_nonblocking(true).unwrap();
    (far, Stream::new(near.into(), StreamKind::Other, false).unwrap())
}

/// Returns a client that has sent these bytes and ended its stream.
fn client(bytes: &[u8]) -> (TcpStream, Stream) {
    let (mut far, near) = connection();
    far.write_all(bytes).unwrap();
    far.shutdown(std::net::Shutdown::Write).unwrap();
    (far, near)
}

#[tokio::test]
async fn a_server_that_closed_before_the_last_byte_has_dropped_the_exchange() {
    let (_client, mut near_client) = client(b"hello");
    let (server, mut near_server) = connection();
    drop(server);
    assert!(!near_server.wait_for_data().await, "the end of stream has arrived");
    let outcome = ReplayBuffer::new(Vec::new()).exchange(&mut near_client, &mut near_server).await;
    assert!(matches!(outcome, ExchangeEnd::Dropped(_)), "{outcome:?}");
}

#[tokio::test]
async fn a_server_that_reads_everything_and_sends_nothing_finishes_the_exchange() {
    let (_client, mut near_client) = client(b"hello");
    let (mut server, mut near_server) = connection();
    let receiving = std::thread::spawn(move || {
        let mut received = Vec::new();
        server.read_to_end(&mut received).unwrap();
        received
    });
    let mut buffer = ReplayBuffer::new(b"header ".to_vec());
    assert_eq!(buffer.exchange(&mut near_client, &mut near_server).await, ExchangeEnd::Finished);
    assert_eq!(receiving.join().unwrap(), b"header hello");
}

/// Returns a server that has ended its stream without reading the client's bytes, and the exchange that waits for it.
async fn ended_without_reading() -> (UnixStream, impl Future<Output = ExchangeEnd>) {
    let (far, near) = UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    let mut server = Stream::new(near.into(), StreamKind::Unix, false).unwrap();
    let (far_client, mut near_client) = client(b"hello");
    let mut outcome = Box::pin(async move {
        let _client = far_client;
        ReplayBuffer::new(Vec::new()).exchange(&mut near_client, &mut server).await
    });
    let mut received = [0; 6];
    let deadline = Instant::now() + TIMEOUT;
    while far.set_nonblocking(true).is_ok() && peek(&far, &mut received) < 5 {
        assert!(Instant::now() < deadline, "nothing is relayed");
        assert!(timeout(ACK_INTERVAL, &mut outcome).await.is_err(), "the server has sent nothing yet");
    }
    far.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(timeout(ACK_INTERVAL * 10, &mut outcome).await.is_err(), "the server may still read the rest");
    (far, outcome)
}

fn peek(stream: &UnixStream, room: &mut [u8]) -> usize {
    recv(stream, room, RecvFlags::PEEK).map_or(0, |(length, _)| length)
}

#[tokio::test]
async fn a_server_that_ends_its_stream_and_closes_without_reading_has_dropped_the_exchange() {
    let (far, outcome) = ended_without_reading().await;
    drop(far);
    assert_eq!(outcome.await, ExchangeEnd::Dropped(Errno::CONNRESET));
}

#[tokio::test]
async fn a_server_that_ends_its_stream_and_reads_the_rest_later_finishes_the_exchange() {
    let (mut far, outcome) = ended_without_reading().await;
    far.read_exact(&mut [0; 5]).unwrap();
    assert_eq!(outcome.await, ExchangeEnd::Finished);
}

/// Drops an exchange after the server has received the first bytes. Returns what the client and the server read then.
async fn dropped(pipes: &Pipes) -> [std::io::Result<usize>; 2] {
    let (mut client, mut near_client) = connection();
    let (mut server, mut near_server) = connection();
    client.write_all(b"hello").unwrap();
    let mut buffer = ReplayBuffer::new(Vec::new());
    let mut replay = Replay::new(&mut buffer, &mut near_client, &mut near_server, pipes);
    let deadline = Instant::now() + TIMEOUT;
    while server.set_nonblocking(true).is_ok() && server.peek(&mut [0]).is_err() {
        assert!(Instant::now() < deadline, "nothing is relayed");
        assert!(timeout(ACK_INTERVAL, replay.outcome()).await.is_err(), "the server has sent nothing");
    }
    drop(replay);
    drop((near_client, near_server));
    for far in [&client, &server] {
        far.set_nonblocking(false).unwrap();
        far.set_read_timeout(Some(TIMEOUT)).unwrap();
    }
    let mut received = [0; 5];
    server.read_exact(&mut received).unwrap();
    [client.read(&mut received), server.read(&mut received)]
}

#[tokio::test]
async fn a_dropped_exchange_ends_by_resets() {
    for end in dropped(&Pipes::new(0)).await {
        assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
}

#[tokio::test]
async fn an_exchange_dropped_at_process_exit_ends_as_if_the_process_had_been_killed() {
    let pipes = Pipes::new(0);
    pipes.set_process_exiting();
    for end in dropped(&pipes).await {
        assert_eq!(end.unwrap(), 0);
    }
}

#[tokio::test]
async fn the_bytes_of_a_dropped_exchange_are_replayed_to_the_next_server() {
    let (_client, mut near_client) = client(b"hello");
    let (server, mut near_server) = connection();
    drop(server);
    let mut buffer = ReplayBuffer::new(b"header ".to_vec());
    let outcome = buffer.exchange(&mut near_client, &mut near_server).await;
    assert!(matches!(outcome, ExchangeEnd::Dropped(_)), "{outcome:?}");
    buffer.rewind();
    let (mut server, mut near_server) = connection();
    server.write_all(b"x").unwrap();
    assert_eq!(buffer.exchange(&mut near_client, &mut near_server).await, ExchangeEnd::Answered);
    let sent = buffer.sent();
    let mut received = vec![0; sent];
    server.read_exact(&mut received).unwrap();
    received.extend(buffer.into_unsent());
    // The relay reads what the exchange has not read yet.
    assert!(b"header hello".starts_with(&received) && received.len() >= 7, "{received:?}");
}
