//! The limits of a session. The clock of most tests is paused.

use std::time::Duration;

use dormouse_relay::{End, Limits, Side};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use crate::rig::{ended, tcp, unix};

#[tokio::test(start_paused = true)]
async fn the_half_close_limit_ends_a_session_and_bytes_restart_it() {
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
async fn the_idle_limit_ends_a_session() {
    let (_client, _server, report) = unix(Limits { idle: Some(Duration::from_secs(5)), ..Limits::default() });
    assert_eq!(report.await.unwrap().end, End::IdleTimeout(Duration::from_secs(5)));
}

#[tokio::test(start_paused = true)]
async fn an_end_of_stream_restarts_the_inactivity() {
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
async fn the_limit_of_the_inactive_side_ends_a_session() {
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
async fn the_server_limit_applies_while_the_server_reads_nothing() {
    let limits = Limits {
        client: Some(Duration::from_secs(5)),
        server: Some(Duration::from_secs(50)),
        ..Limits::default()
    };
    let (client, mut server, report) = unix(limits);
    // The server has ended its own stream and reads nothing, so only the blocked direction to the server is open.
    server.shutdown().await.unwrap();
    while tokio::time::timeout(Duration::from_millis(100), client.writable()).await.is_ok() {
        let _ = client.try_write(&vec![7; 65536]);
    }
    let end = report.await.unwrap().end;
    assert_eq!(end, End::SideTimeout(Side::Upstream, Duration::from_secs(50)));
}

#[tokio::test(start_paused = true)]
async fn the_session_limit_ends_a_session_that_is_active() {
    let longest = Duration::from_secs(10);
    let (mut client, mut server, report) = unix(Limits { session: Some(longest), ..Limits::default() });
    let started = Instant::now();
    let traffic = async {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if client.write_all(b"x").await.is_err() || server.read_exact(&mut [0]).await.is_err() {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), traffic).await.expect("the session must end");
    assert_eq!(report.await.unwrap().end, End::SessionTimeout(longest));
    assert!(started.elapsed() < Duration::from_secs(13), "{:?}", started.elapsed());
}

#[tokio::test]
async fn the_session_limit_ends_a_bulk_flow() {
    let longest = Duration::from_millis(300);
    let (client, server, report) = tcp(Limits { session: Some(longest), ..Limits::default() });
    let writing = tokio::spawn(async move {
        let (mut client, bytes) = (client, vec![7; 1 << 20]);
        while client.write_all(&bytes).await.is_ok() {}
    });
    let reading = tokio::spawn(async move {
        let (mut server, mut bytes) = (server, vec![0; 1 << 20]);
        loop {
            match server.read(&mut bytes).await {
                Ok(0) => panic!("an incomplete stream looks complete"),
                Ok(_) => {}
                Err(error) => return error.kind(),
            }
        }
    });
    assert_eq!(ended(report).await.end, End::SessionTimeout(longest));
    writing.await.unwrap();
    assert_eq!(reading.await.unwrap(), std::io::ErrorKind::ConnectionReset);
}
