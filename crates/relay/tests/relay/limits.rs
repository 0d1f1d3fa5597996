//! How long a session may be silent, half closed, and last. Where nothing comes from outside the clock is paused.

use std::time::Duration;

use dormouse_relay::{End, Limits, Side};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use crate::rig::{ended, tcp, unix};

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
    let (client, server, report) = tcp(Limits { session: Some(longest), ..Limits::default() });
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
