//! A server's limit, and the queue in front of it.

use std::fmt::Write as _;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use dormouse_tests::process::Launch;
use dormouse_tests::temp::TempDir;
use dormouse_tests::wait::SOON;
use dormouse_tests::{Address, Family, Listener, Result, Stream, wait};

/// Answers one client after another on each connection, and counts those that are there at once.
fn server(listener: Listener, now: &Arc<AtomicUsize>, most: &Arc<AtomicUsize>) {
    let (now, most) = (Arc::clone(now), Arc::clone(most));
    thread::spawn(move || {
        while let Ok(client) = listener.accept(SOON * 6) {
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            thread::spawn(move || {
                let served = (|| -> Result<()> {
                    let said = client.receive(2, SOON)?;
                    thread::sleep(Duration::from_millis(20));
                    // Counted out before the client can know.
                    now.fetch_sub(1, Ordering::SeqCst);
                    client.send(&said, SOON)
                })();
                drop(served);
            });
        }
    });
}

#[test]
fn a_server_never_has_more_sessions_than_it_may_and_everybody_is_served_in_turn() {
    const CLIENTS: usize = 60;
    let (now, most) = (Arc::default(), Arc::default());
    let dir = TempDir::new().unwrap();
    let mut text = "[services.main]\nlisten = \"127.0.0.1:0\"\nbalance = \"leastconn\"\n".to_owned();
    for family in [Family::Tcp4, Family::Unix] {
        let listener = Listener::bind(family).unwrap();
        writeln!(text, "[[services.main.servers]]\nto = \"{}\"\nmaxconn = 2", listener.address()).unwrap();
        server(listener, &now, &most);
    }
    let file = dir.join("dormouse.toml");
    fs::write(&file, text).unwrap();
    let dormouse = Launch::dormouse().arg("run").arg(format!("--config={}", file.display())).start().unwrap();
    let front = wait::until("an address", SOON, || {
        let log = dormouse.stderr().text();
        let address = log.split("Listening on ").nth(1).and_then(|rest| rest.split(' ').next());
        Ok(address.and_then(|address| address.parse().ok()))
    });
    let front = Address::Tcp(front.unwrap());
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let client = Stream::connect(&front, SOON).unwrap();
            client.send(format!("{number:02}").as_bytes(), SOON).unwrap();
            client
        })
        .collect();
    for (number, client) in clients.iter().enumerate() {
        let heard = client.receive(2, SOON).map_err(|failure| dormouse.with_log(&failure)).unwrap();
        assert_eq!(heard, format!("{number:02}").as_bytes());
        // The next ones have to wait for this one to leave.
        client.finish().unwrap();
    }
    assert!((1..=4).contains(&most.load(Ordering::SeqCst)), "{most:?} at once");
}
