//! The session limit of a server, and its queue.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use dormouse_tests::process::Launch;
use dormouse_tests::temp::TempDir;
use dormouse_tests::wait::SOON;
use dormouse_tests::{Address, Failure, Family, Listener, Result, Stream, wait};

const CLIENTS: usize = 60;
/// The session limit of each of the two servers.
const MAXCONN: usize = 2;

/// The current and the previous sessions of the servers.
#[derive(Default)]
struct Sessions {
    /// The current sessions by server, and their maxima.
    current: BTreeMap<usize, usize>,
    most: BTreeMap<usize, usize>,
    /// The numbers of the clients in the order of their arrival.
    order: Vec<usize>,
    /// The number of clients that may be answered.
    answerable: usize,
}

/// Answers no client before all slots are in use, so that a session beyond the limit would be counted.
#[derive(Default)]
struct SessionCounter(Mutex<Sessions>, Condvar);

impl SessionCounter {
    fn serve(&self, server: usize, client: &Stream) -> Result<()> {
        let received = client.receive(2, SOON)?;
        let number = std::str::from_utf8(&received).ok().and_then(|text| text.parse().ok());
        let number = number.ok_or_else(|| Failure::Unexpected(format!("{received:?}")))?;
        let panicked = || Failure::Unexpected("a server thread panicked".to_owned());
        let mut sessions = self.0.lock().map_err(|_| panicked())?;
        let current = sessions.current.entry(server).or_default();
        *current += 1;
        let current = *current;
        let most = sessions.most.entry(server).or_default();
        *most = current.max(*most);
        let place = sessions.order.len();
        sessions.order.push(number);
        if sessions.current.values().sum::<usize>() == 2 * MAXCONN || sessions.order.len() == CLIENTS {
            sessions.answerable = sessions.order.len();
            self.1.notify_all();
        }
        let waited = self.1.wait_timeout_while(sessions, SOON, |sessions| sessions.answerable <= place);
        // Decrement before the client receives its answer and leaves.
        *waited.map_err(|_| panicked())?.0.current.entry(server).or_default() -= 1;
        client.send(&received, SOON)
    }
}

/// Starts a server that counts its sessions in `counter`.
fn server(number: usize, listener: Listener, counter: &Arc<SessionCounter>) {
    let counter = Arc::clone(counter);
    thread::spawn(move || {
        while let Ok(client) = listener.accept(SOON * 6) {
            let counter = Arc::clone(&counter);
            // The client reports the failure of a session.
            thread::spawn(move || drop(counter.serve(number, &client)));
        }
    });
}

#[test]
fn a_server_never_exceeds_its_session_limit_and_clients_are_served_in_order() {
    let counter = Arc::default();
    let dir = TempDir::new().unwrap();
    let mut text = "[services.main]\nlisten = \"127.0.0.1:0\"\nbalance = \"leastconn\"\n".to_owned();
    for (number, family) in [Family::Tcp4, Family::Unix].into_iter().enumerate() {
        let listener = Listener::bind(family).unwrap();
        writeln!(text, "[[services.main.servers]]\nto = \"{}\"\nmaxconn = {MAXCONN}", listener.address())
            .unwrap();
        server(number, listener, &counter);
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
        let echoed = client.receive(2, SOON).map_err(|failure| dormouse.with_log(&failure)).unwrap();
        assert_eq!(echoed, format!("{number:02}").as_bytes());
        // The next clients wait until this one leaves.
        client.finish().unwrap();
    }
    let sessions = counter.0.lock().unwrap();
    assert_eq!(sessions.most, BTreeMap::from([(0, MAXCONN), (1, MAXCONN)]));
    // Concurrent clients may be counted in any order.
    let overtaken =
        sessions.order.iter().enumerate().find(|(place, number)| place.abs_diff(**number) >= 2 * MAXCONN);
    assert_eq!(overtaken, None, "{:?}", sessions.order);
}
