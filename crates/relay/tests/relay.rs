//! The relay between two socket pairs.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test: what fails fails it")]

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use dormouse_relay::{End, Kind, Limits, Pipes, Relay, Report, Side, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::task::JoinHandle;
use tokio::time::Instant;

const PATIENCE: Duration = Duration::from_secs(20);

fn stream(fd: OwnedFd) -> Stream {
    rustix::io::ioctl_fionbio(&fd, true).unwrap();
    let unix = rustix::net::sockopt::socket_domain(&fd).unwrap() == rustix::net::AddressFamily::UNIX;
    Stream::new(fd, if unix { Kind::Unix } else { Kind::Plain }, false).unwrap()
}

fn relay(downstream: OwnedFd, upstream: OwnedFd, limits: Limits) -> Relay {
    let (limits, pipes) = (Arc::new(limits), Pipes::new(64));
    Relay::new(stream(downstream), stream(upstream), Vec::new(), limits, pipes).since(Instant::now())
}

fn join(downstream: OwnedFd, upstream: OwnedFd, limits: Limits) -> JoinHandle<Report> {
    tokio::spawn(relay(downstream, upstream, limits))
}

fn unix(limits: Limits) -> (UnixStream, UnixStream, JoinHandle<Report>) {
    let (client, downstream) = std::os::unix::net::UnixStream::pair().unwrap();
    let (server, upstream) = std::os::unix::net::UnixStream::pair().unwrap();
    client.set_nonblocking(true).unwrap();
    server.set_nonblocking(true).unwrap();
    let report = join(downstream.into(), upstream.into(), limits);
    (UnixStream::from_std(client).unwrap(), UnixStream::from_std(server).unwrap(), report)
}

async fn tcp_pair() -> (TcpStream, OwnedFd) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let far = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let near = listener.accept().await.unwrap().0;
    (far, near.into_std().unwrap().into())
}

async fn tcp(limits: Limits) -> (TcpStream, TcpStream, JoinHandle<Report>) {
    let (client, downstream) = tcp_pair().await;
    let (server, upstream) = tcp_pair().await;
    (client, server, join(downstream, upstream, limits))
}

async fn ended(report: JoinHandle<Report>) -> Report {
    tokio::time::timeout(PATIENCE, report).await.expect("the session must end").unwrap()
}

#[tokio::test]
async fn a_half_closed_client_gets_its_answer() {
    let (mut client, mut server, report) = tcp(Limits::default()).await;
    client.write_all(b"question").await.unwrap();
    client.shutdown().await.unwrap();
    let mut heard = Vec::new();
    server.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"question");
    server.write_all(b"answer").await.unwrap();
    drop(server);
    let mut heard = Vec::new();
    client.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"answer");
    let report = ended(report).await;
    assert_eq!(report, Report { upstream_bytes: 8, downstream_bytes: 6, end: End::Finished });
}

#[tokio::test]
#[expect(clippy::cast_possible_truncation, reason = "below 251")]
async fn bulk_both_ways_at_once() {
    const LENGTH: usize = 40 << 20;
    let (client, server, report) = tcp(Limits::default()).await;
    let pattern = |seed: usize| (0..LENGTH).map(|i| ((i * 31 + seed) % 251) as u8).collect::<Vec<_>>();
    let exchange = |stream: TcpStream, says: Vec<u8>| async move {
        let (mut read, mut write) = stream.into_split();
        let writing = tokio::spawn(async move {
            write.write_all(&says).await.unwrap();
            write.shutdown().await.unwrap();
        });
        let mut heard = Vec::new();
        read.read_to_end(&mut heard).await.unwrap();
        writing.await.unwrap();
        heard
    };
    let (from_server, from_client) = tokio::join!(exchange(client, pattern(1)), exchange(server, pattern(2)));
    assert!(from_server == pattern(2) && from_client == pattern(1));
    let report = ended(report).await;
    assert_eq!((report.upstream_bytes, report.downstream_bytes), (LENGTH as u64, LENGTH as u64));
}

#[tokio::test]
async fn a_reset_arrives_as_a_reset_from_either_side() {
    for side in [Side::Downstream, Side::Upstream] {
        let (client, server, report) = tcp(Limits::default()).await;
        let (leaving, mut staying) =
            if side == Side::Downstream { (client, server) } else { (server, client) };
        #[expect(deprecated, reason = "a linger of zero does not block")]
        leaving.set_linger(Some(Duration::ZERO)).unwrap();
        drop(leaving);
        let error = staying.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        assert_eq!(ended(report).await.end, End::Reset(side));
    }
}

#[tokio::test]
async fn a_reset_behind_a_full_slow_reader_is_noticed() {
    let (client, mut server, report) = tcp(Limits::default()).await;
    // Nobody reads at the server, so the relay blocks on it, and then the client resets.
    while tokio::time::timeout(Duration::from_millis(200), client.writable()).await.is_ok() {
        let _ = client.try_write(&vec![7; 65536]);
    }
    #[expect(deprecated, reason = "a linger of zero does not block")]
    client.set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    assert_eq!(ended(report).await.end, End::Reset(Side::Downstream));
    let mut bytes = Vec::new();
    let error = server.read_to_end(&mut bytes).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn an_early_answer_reaches_a_client_that_is_still_sending() {
    let (mut client, mut server, report) = unix(Limits::default());
    server.write_all(b"too large").await.unwrap();
    drop(server);
    let mut heard = Vec::new();
    client.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"too large");
    assert_eq!(ended(report).await.end, End::Gone(Side::Upstream));
}

#[tokio::test(start_paused = true)]
async fn half_closed_and_silent_ends_and_bytes_put_it_off() {
    let limits = Limits { half_close: Some(Duration::from_secs(60)), ..Limits::default() };
    let (mut client, mut server, report) = unix(limits);
    client.shutdown().await.unwrap();
    assert_eq!(server.read(&mut [0; 8]).await.unwrap(), 0);
    let started = Instant::now();
    tokio::time::sleep(Duration::from_secs(40)).await;
    server.write_all(b"x").await.unwrap();
    assert_eq!(client.read(&mut [0; 8]).await.unwrap(), 1);
    let report = report.await.unwrap();
    assert_eq!(report.end, End::HalfCloseTimeout(Side::Downstream, Duration::from_secs(60)));
    assert!(started.elapsed() >= Duration::from_secs(100), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_idle_session_ends_when_told_to() {
    let (_client, _server, report) = unix(Limits { idle: Some(Duration::from_secs(5)), ..Limits::default() });
    assert_eq!(report.await.unwrap().end, End::IdleTimeout(Duration::from_secs(5)));
}

#[tokio::test(start_paused = true)]
async fn an_end_of_stream_after_a_long_silence_gives_the_other_side_its_whole_time() {
    let limits = Limits {
        half_close: Some(Duration::from_secs(60)),
        idle: Some(Duration::from_secs(600)),
        ..Limits::default()
    };
    let (mut client, _server, report) = unix(limits);
    let started = Instant::now();
    tokio::time::sleep(Duration::from_secs(500)).await;
    client.shutdown().await.unwrap();
    let end = report.await.unwrap().end;
    assert_eq!(end, End::HalfCloseTimeout(Side::Downstream, Duration::from_secs(60)));
    assert!(started.elapsed() >= Duration::from_secs(560), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_side_that_is_waited_for_is_the_one_that_was_silent() {
    let (short, long) = (Duration::from_secs(5), Duration::from_secs(50));
    for (client_limit, server_limit, side) in [(short, long, Side::Downstream), (long, short, Side::Upstream)]
    {
        let limits = Limits { client: Some(client_limit), server: Some(server_limit), ..Limits::default() };
        let (mut client, mut server, report) = unix(limits);
        let started = Instant::now();
        for _ in 0..4 {
            tokio::time::sleep(Duration::from_secs(3)).await;
            client.write_all(b"x").await.unwrap();
            server.read_exact(&mut [0]).await.unwrap();
        }
        assert_eq!(report.await.unwrap().end, End::SideTimeout(side, short));
        assert!(started.elapsed() >= Duration::from_secs(17), "{:?}", started.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_takes_nothing_is_not_the_clients_silence() {
    let limits = Limits {
        client: Some(Duration::from_secs(5)),
        server: Some(Duration::from_secs(50)),
        ..Limits::default()
    };
    let (client, mut server, report) = unix(limits);
    // The server has ended its own stream and reads nothing: only the way to it is open, and it is blocked.
    server.shutdown().await.unwrap();
    while tokio::time::timeout(Duration::from_millis(100), client.writable()).await.is_ok() {
        let _ = client.try_write(&vec![7; 65536]);
    }
    let end = report.await.unwrap().end;
    assert_eq!(end, End::SideTimeout(Side::Upstream, Duration::from_secs(50)));
}

#[tokio::test(start_paused = true)]
async fn a_session_is_over_when_its_time_is_although_bytes_move() {
    let longest = Duration::from_secs(10);
    let (mut client, mut server, report) = unix(Limits { session: Some(longest), ..Limits::default() });
    let started = Instant::now();
    let talk = async {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if client.write_all(b"x").await.is_err() || server.read_exact(&mut [0]).await.is_err() {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), talk).await.expect("the session must end");
    assert_eq!(report.await.unwrap().end, End::SessionTimeout(longest));
    assert!(started.elapsed() < Duration::from_secs(13), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_session_in_full_flow_is_over_when_its_time_is() {
    let longest = Duration::from_millis(300);
    let (client, server, report) = tcp(Limits { session: Some(longest), ..Limits::default() }).await;
    let writing = tokio::spawn(async move {
        let (mut client, bytes) = (client, vec![7; 1 << 20]);
        while client.write_all(&bytes).await.is_ok() {}
    });
    let reading = tokio::spawn(async move {
        let (mut server, mut bytes) = (server, vec![0; 1 << 20]);
        loop {
            match server.read(&mut bytes).await {
                Ok(0) => panic!("a stream that was cut looks whole"),
                Ok(_) => {}
                Err(error) => return error.kind(),
            }
        }
    });
    assert_eq!(ended(report).await.end, End::SessionTimeout(longest));
    writing.await.unwrap();
    assert_eq!(reading.await.unwrap(), std::io::ErrorKind::ConnectionReset);
}

#[test]
fn a_session_stays_small() {
    assert!(size_of::<Relay>() <= 512, "{} bytes", size_of::<Relay>());
}

/// Descriptors among bulk bytes that would be spliced: none is lost, and each comes no later than its byte.
#[tokio::test]
async fn descriptors_travel_between_unix_sockets() {
    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
    use std::io::{IoSlice, IoSliceMut, Write};
    use std::mem::MaybeUninit;
    use std::os::fd::AsFd;
    const SENT: usize = 40;

    let (client, server, report) = unix(Limits::default());
    let (client, server) = (client.into_std().unwrap(), server.into_std().unwrap());
    client.set_nonblocking(false).unwrap();
    server.set_nonblocking(false).unwrap();
    let sending = std::thread::spawn(move || {
        let bulk = vec![0; 1 << 20];
        for _ in 0..SENT {
            (&client).write_all(&bulk).unwrap();
            let file = std::fs::File::open("/dev/null").unwrap();
            let files = [file.as_fd()];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            assert!(control.push(SendAncillaryMessage::ScmRights(&files)));
            assert_eq!(sendmsg(&client, &[IoSlice::new(b"x")], &mut control, SendFlags::empty()).unwrap(), 1);
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
    let received = tokio::time::timeout(PATIENCE, received).await.unwrap().unwrap();
    assert_eq!(received, (SENT * ((1 << 20) + 1), SENT));
    report.abort();
}
