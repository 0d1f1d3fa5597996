//! Sessions that are dropped before their end.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use dormouse_relay::{Limits, Pipes, Report};
use tokio::task::{JoinHandle, yield_now};

use crate::rig::{expect_bytes, relay, tcp_pair};

/// Returns a session through which the client has sent a few bytes.
async fn session(pipes: &Arc<Pipes>) -> (TcpStream, TcpStream, JoinHandle<Report>) {
    let ((mut client, downstream), (server, upstream)) = (tcp_pair(), tcp_pair());
    let relay = relay(downstream, upstream, Limits::default(), Arc::clone(pipes));
    client.write_all(b"word").unwrap();
    expect_bytes(&server, b"word").await;
    (client, server, relay)
}

async fn abort(relay: JoinHandle<Report>) {
    relay.abort();
    assert!(relay.await.unwrap_err().is_cancelled());
}

fn read_end(stream: &mut TcpStream) -> Result<usize, ErrorKind> {
    stream.read(&mut [0; 8]).map_err(|error| error.kind())
}

#[tokio::test]
async fn a_dropped_session_ends_by_resets() {
    let (mut client, mut server, relay) = session(&Pipes::new(64)).await;
    abort(relay).await;
    for side in [&mut client, &mut server] {
        assert_eq!(read_end(side), Err(ErrorKind::ConnectionReset));
    }
}

#[tokio::test]
async fn at_process_exit_the_kernel_delivers_what_the_sockets_hold() {
    let pipes = Pipes::new(64);
    let (mut client, mut server, relay) = session(&pipes).await;
    server.write_all(b"last").unwrap();
    for _ in 0..100 {
        yield_now().await;
    }
    pipes.set_process_exiting();
    abort(relay).await;
    assert_eq!(read_end(&mut client), Ok(4));
    for side in [&mut client, &mut server] {
        assert_eq!(read_end(side), Ok(0));
    }
}

#[tokio::test]
async fn at_process_exit_a_session_that_holds_bytes_ends_by_a_reset() {
    let pipes = Pipes::new(64);
    let (mut client, mut server, relay) = session(&pipes).await;
    client.set_nonblocking(true).unwrap();
    let (bytes, mut full) = (vec![7; 65536], 0);
    while full < 1000 {
        // Until the socket accepts nothing more although the relay has run.
        full = if client.write(&bytes).is_ok() { 0 } else { full + 1 };
        yield_now().await;
    }
    pipes.set_process_exiting();
    abort(relay).await;
    let mut received = vec![0; 1 << 20];
    let end = loop {
        match server.read(&mut received) {
            Ok(0) => break Ok(()),
            Ok(_) => {}
            Err(error) => break Err(error.kind()),
        }
    };
    assert_eq!(end, Err(ErrorKind::ConnectionReset));
}
