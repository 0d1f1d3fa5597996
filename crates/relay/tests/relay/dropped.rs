//! Sessions that are ended from outside by being dropped.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use dormouse_relay::{Limits, Pipes, Report};
use tokio::task::{JoinHandle, yield_now};

use crate::rig::{hears, relay, tcp_pair};

/// A session through which a word has gone.
async fn session(pipes: &Arc<Pipes>) -> (TcpStream, TcpStream, JoinHandle<Report>) {
    let ((mut client, downstream), (server, upstream)) = (tcp_pair(), tcp_pair());
    let relay = relay(downstream, upstream, Limits::default(), Arc::clone(pipes));
    client.write_all(b"word").unwrap();
    hears(&server, b"word").await;
    (client, server, relay)
}

async fn end(relay: JoinHandle<Report>) {
    relay.abort();
    assert!(relay.await.unwrap_err().is_cancelled());
}

fn ending(stream: &mut TcpStream) -> Result<usize, ErrorKind> {
    stream.read(&mut [0; 8]).map_err(|error| error.kind())
}

#[tokio::test]
async fn a_session_that_is_dropped_in_its_middle_does_not_look_whole() {
    let (mut client, mut server, relay) = session(&Pipes::new(64)).await;
    end(relay).await;
    for side in [&mut client, &mut server] {
        assert_eq!(ending(side), Err(ErrorKind::ConnectionReset));
    }
}

#[tokio::test]
async fn what_the_sockets_hold_goes_out_at_the_end_of_the_process() {
    let pipes = Pipes::new(64);
    let (mut client, mut server, relay) = session(&pipes).await;
    server.write_all(b"last").unwrap();
    for _ in 0..100 {
        yield_now().await;
    }
    pipes.end_with_process();
    end(relay).await;
    assert_eq!(ending(&mut client), Ok(4));
    for side in [&mut client, &mut server] {
        assert_eq!(ending(side), Ok(0));
    }
}

#[tokio::test]
async fn what_is_held_here_at_the_end_of_the_process_does_not_look_delivered() {
    let pipes = Pipes::new(64);
    let (mut client, mut server, relay) = session(&pipes).await;
    client.set_nonblocking(true).unwrap();
    let (bytes, mut full) = (vec![7; 65536], 0);
    while full < 1000 {
        // Until it takes no more although the relay had its turns.
        full = if client.write(&bytes).is_ok() { 0 } else { full + 1 };
        yield_now().await;
    }
    pipes.end_with_process();
    end(relay).await;
    let mut heard = vec![0; 1 << 20];
    let ending = loop {
        match server.read(&mut heard) {
            Ok(0) => break Ok(()),
            Ok(_) => {}
            Err(error) => break Err(error.kind()),
        }
    };
    assert_eq!(ending, Err(ErrorKind::ConnectionReset));
}
