//! Bytes, ends of stream and resets in both directions.

use std::time::Duration;

use dormouse_relay::{End, Limits, Relay, Report, Side};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::rig::{ended, tcp, unix};

#[tokio::test]
async fn a_half_closed_client_receives_the_answer() {
    let (mut client, mut server, report) = tcp(Limits::default());
    client.write_all(b"question").await.unwrap();
    client.shutdown().await.unwrap();
    let mut received = Vec::new();
    server.read_to_end(&mut received).await.unwrap();
    assert_eq!(received, b"question");
    server.write_all(b"answer").await.unwrap();
    drop(server);
    let mut received = Vec::new();
    client.read_to_end(&mut received).await.unwrap();
    assert_eq!(received, b"answer");
    let report = ended(report).await;
    assert_eq!(report, Report { upstream_bytes: 8, downstream_bytes: 6, end: End::Finished });
}

#[tokio::test]
async fn the_side_that_ends_first_sees_an_orderly_end_of_the_other() {
    for first in [Side::Downstream, Side::Upstream] {
        let (client, server, report) = tcp(Limits::default());
        let (mut first, mut last) =
            if first == Side::Downstream { (client, server) } else { (server, client) };
        first.write_all(b"x").await.unwrap();
        first.shutdown().await.unwrap();
        let mut received = Vec::new();
        last.read_to_end(&mut received).await.unwrap();
        last.shutdown().await.unwrap();
        assert_eq!(first.read_to_end(&mut received).await.unwrap(), 0);
        assert_eq!(ended(report).await.end, End::Finished);
        // A reset after the end of stream would show here.
        for socket in [&first, &last] {
            assert!(socket.take_error().unwrap().is_none());
        }
    }
}

#[tokio::test]
#[expect(clippy::cast_possible_truncation, reason = "below 251")]
async fn bulk_data_flows_in_both_directions_at_once() {
    const LENGTH: usize = 40 << 20;
    let (client, server, report) = tcp(Limits::default());
    let pattern = |seed: usize| (0..LENGTH).map(|i| ((i * 31 + seed) % 251) as u8).collect::<Vec<_>>();
    let exchange = |stream: TcpStream, bytes: Vec<u8>| async move {
        let (mut read, mut write) = stream.into_split();
        let writing = tokio::spawn(async move {
            write.write_all(&bytes).await.unwrap();
            write.shutdown().await.unwrap();
        });
        let mut received = Vec::new();
        read.read_to_end(&mut received).await.unwrap();
        writing.await.unwrap();
        received
    };
    let (from_server, from_client) = tokio::join!(exchange(client, pattern(1)), exchange(server, pattern(2)));
    assert!(from_server == pattern(2) && from_client == pattern(1));
    let report = ended(report).await;
    assert_eq!((report.upstream_bytes, report.downstream_bytes), (LENGTH as u64, LENGTH as u64));
}

#[tokio::test]
async fn a_reset_is_passed_on_as_a_reset_from_either_side() {
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
async fn a_reset_is_noticed_while_the_other_side_reads_nothing() {
    let (client, mut server, report) = tcp(Limits::default());
    // The server reads nothing, so the relay is blocked on it when the client resets.
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
async fn an_answer_reaches_a_client_after_the_server_has_closed() {
    let (mut client, mut server, report) = unix(Limits::default());
    server.write_all(b"too large").await.unwrap();
    drop(server);
    let mut received = Vec::new();
    client.read_to_end(&mut received).await.unwrap();
    assert_eq!(received, b"too large");
    assert_eq!(ended(report).await.end, End::Finished);
}

#[test]
fn a_session_stays_small() {
    assert!(size_of::<Relay>() <= 512, "{} bytes", size_of::<Relay>());
}
