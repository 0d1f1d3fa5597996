//! Stop and restart of the proxy while it has sessions.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use dormouse_tests::{Address, Failure, Result, Stream};

use super::{
    client::{REQUEST_LIMIT, ask, receive_answer},
    machine::{DORMOUSE, Machine, SETTLE, case, ensure},
    nginx::{self, Start, Upstream, WEB_SERVICE},
};

const LIMIT: Duration = Duration::from_secs(180);

case!(User, drains_under_the_user_manager, LIMIT, drains);

case!(System, drains_under_the_system_manager, LIMIT, drains);

case!(User, stops_draining_in_time_under_the_user_manager, LIMIT, stops_draining_in_time);

case!(System, stops_draining_in_time_under_the_system_manager, LIMIT, stops_draining_in_time);

case!(User, restarts_under_load_under_the_user_manager, LIMIT, restarts_under_load);

case!(System, restarts_under_load_under_the_system_manager, LIMIT, restarts_under_load);

fn set_up(machine: &Machine, options: &str) -> Result<Address> {
    nginx::configure(machine, Upstream::Unix, Start::Quick)?;
    let proxy = format!(
        "\
[Unit]
Requires=web.service proxy.socket
After=web.service proxy.socket
StartLimitIntervalSec=0
[Service]
Type=notify
ExecStart={DORMOUSE} proxy {options} {}
",
        Upstream::Unix.target()
    );
    let socket = "[Socket]\nListenStream=127.0.0.1:8080\nTriggerLimitIntervalSec=0\n";
    machine.install(&[("web.service", WEB_SERVICE), ("proxy.service", &proxy), ("proxy.socket", socket)])?;
    machine.systemctl(&["start", "proxy.socket"])?;
    Ok(Address::Tcp(([127, 0, 0, 1], 8080).into()))
}

/// Half a request: nginx waits for the rest, so that the session stays open.
const FIRST_HALF: &[u8] = b"GET /?n=7 HTTP/1.0\r\n";

/// The status of a proxy that is stopping, with one session.
const DRAINING: &str = "Waiting for 1 open connection to end...";

/// The proxy serves a session that is open at the stop to its end. A client that connects meanwhile waits in the
/// manager's socket for the next start.
fn drains(machine: &Machine) -> Result<()> {
    let front = set_up(machine, "--drain-timeout=1min")?;
    ask(&front, 1)?;
    let open = Stream::connect(&front, REQUEST_LIMIT)?;
    open.send(FIRST_HALF, REQUEST_LIMIT)?;
    // This connection was accepted later, so that the first session has been accepted.
    ask(&front, 2)?;
    let process = machine.number("proxy.service", "MainPID")?;

    machine.systemctl(&["stop", "--no-block", "proxy.service"])?;
    // The manager's own state changes when it sends the signal; the proxy's status when it accepts no more.
    machine.wait("proxy.service", "StatusText", DRAINING, SETTLE)?;
    let early = Stream::connect(&front, REQUEST_LIMIT)?;
    early.send(b"GET /?n=8 HTTP/1.0\r\n\r\n", REQUEST_LIMIT)?;
    ensure(early.ended_within(Duration::from_millis(300))?.is_none(), || {
        "a client that connected during the drain was refused".to_owned()
    })?;
    machine.expect("proxy.service", "MainPID", &process.to_string())?;

    open.send(b"\r\n", REQUEST_LIMIT)?;
    receive_answer(&open, 7)?;
    receive_answer(&early, 8)?;
    machine.expect("proxy.service", "Result", "success")?;
    let next = machine.number("proxy.service", "MainPID")?;
    ensure(next != process, || "the stopping proxy served a new client".to_owned())
}

/// The proxy ends a session that is still open at the end of the drain timeout.
fn stops_draining_in_time(machine: &Machine) -> Result<()> {
    let front = set_up(machine, "--drain-timeout=300ms")?;
    ask(&front, 1)?;
    let open = Stream::connect(&front, REQUEST_LIMIT)?;
    open.send(FIRST_HALF, REQUEST_LIMIT)?;
    ask(&front, 2)?;

    machine.systemctl(&["stop", "proxy.service"])?;
    machine.expect("proxy.service", "Result", "success")?;
    let received = open.receive_to_end(REQUEST_LIMIT)?;
    ensure(received.bytes.is_empty(), || format!("the terminated session received {:?}", received.bytes))?;
    ask(&front, 3)
}

/// A restart delays clients but fails no request.
fn restarts_under_load(machine: &Machine) -> Result<()> {
    const CLIENTS: u64 = 6;
    const RESTARTS: u64 = 15;
    let front = set_up(machine, "--drain-timeout=1min")?;
    ask(&front, 0)?;
    let over = AtomicBool::new(false);
    let served: u64 = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (front, over) = (&front, &over);
                scope.spawn(move || {
                    let mut served = 0;
                    while !over.load(Ordering::Relaxed) {
                        ask(front, client * 1_000_000 + served)?;
                        served += 1;
                    }
                    Ok::<_, Failure>(served)
                })
            })
            .collect();
        let restarted: Result<Vec<_>> =
            (0..RESTARTS).map(|_| machine.systemctl(&["restart", "proxy.service"])).collect();
        over.store(true, Ordering::Relaxed);
        let mut served = 0;
        for client in clients {
            served += client.join().map_err(|_| Failure::Unexpected("a client panicked".to_owned()))??;
        }
        restarted.map(|_| served)
    })?;
    println!("{served} requests during {RESTARTS} restarts");
    ensure(served > CLIENTS * RESTARTS, || format!("only {served} requests: the load was too low"))?;
    machine.expect("proxy.socket", "ActiveState", "active")?;
    machine.expect("proxy.service", "Result", "success")
}
