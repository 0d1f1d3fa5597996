//! Bytes, ends of stream and resets, from either side to the other.

use std::time::Duration;

use dormouse_relay::{End, Limits, Relay, Report, Side};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::rig::{ended, tcp, unix};

#[tokio::test]
async fn a_half_closed_client_gets_its_answer() {
    let (mut client, mut server, report) = tcp(Limits::default());
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
async fn whoever_ends_first_sees_the_other_end_in_good_order() {
    for first in [Side::Downstream, Side::Upstream] {
        let (client, server, report) = tcp(Limits::default());
        let (mut first, mut last) =
            if first == Side::Downstream { (client, server) } else { (server, client) };
        first.write_all(b"x").await.unwrap();
        first.shutdown().await.unwrap();
        let mut heard = Vec::new();
        last.read_to_end(&mut heard).await.unwrap();
        last.shutdown().await.unwrap();
        assert_eq!(first.read_to_end(&mut heard).await.unwrap(), 0);
        assert_eq!(ended(report).await.end, End::Finished);
        // What comes after the end would show here.
        for socket in [&first, &last] {
            assert!(socket.take_error().unwrap().is_none());
        }
    }
}

#[tokio::test]
#[expect(clippy::cast_possible_truncation, reason = "below 251")]
async fn bulk_both_ways_at_once() {
    const LENGTH: usize = 40 << 20;
    let (client, server, report) = tcp(Limits::default());
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
        let (client, server, report) = tcp(Limits::default());
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
    let (client, mut server, report) = tcp(Limits::default());
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
    assert_eq!(ended(report).await.end, End::Finished);
}

#[test]
fn a_session_stays_small() {
    assert!(size_of::<Relay>() <= 512, "{} bytes", size_of::<Relay>());
}
