//! A server's limit, and the queue in front of it.

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
/// What each of the two servers may have.
const MAXCONN: usize = 2;

/// Who is being served, and who has been.
#[derive(Default)]
struct Guests {
    /// At each server.
    here: BTreeMap<usize, usize>,
    most: BTreeMap<usize, usize>,
    /// The clients' numbers, as they came.
    order: Vec<usize>,
    /// So many of them have been answered, or may be.
    called: usize,
}

/// Answers nobody before all places are taken, so that one too many would be seen.
#[derive(Default)]
struct Hosts(Mutex<Guests>, Condvar);

impl Hosts {
    fn serve(&self, server: usize, client: &Stream) -> Result<()> {
        let said = client.receive(2, SOON)?;
        let number = std::str::from_utf8(&said).ok().and_then(|text| text.parse().ok());
        let number = number.ok_or_else(|| Failure::Unexpected(format!("{said:?}")))?;
        let panicked = || Failure::Unexpected("a host panicked".to_owned());
        let mut guests = self.0.lock().map_err(|_| panicked())?;
        let here = guests.here.entry(server).or_default();
        *here += 1;
        let here = *here;
        let most = guests.most.entry(server).or_default();
        *most = here.max(*most);
        let place = guests.order.len();
        guests.order.push(number);
        if guests.here.values().sum::<usize>() == 2 * MAXCONN || guests.order.len() == CLIENTS {
            guests.called = guests.order.len();
            self.1.notify_all();
        }
        let waited = self.1.wait_timeout_while(guests, SOON, |guests| guests.called <= place);
        // Counted out before the client can know.
        *waited.map_err(|_| panicked())?.0.here.entry(server).or_default() -= 1;
        client.send(&said, SOON)
    }
}

/// A server that has these guests.
fn server(number: usize, listener: Listener, hosts: &Arc<Hosts>) {
    let hosts = Arc::clone(hosts);
    thread::spawn(move || {
        while let Ok(client) = listener.accept(SOON * 6) {
            let hosts = Arc::clone(&hosts);
            // Who fails is missed by the client.
            thread::spawn(move || drop(hosts.serve(number, &client)));
        }
    });
}

#[test]
fn a_server_never_has_more_sessions_than_it_may_and_everybody_is_served_in_turn() {
    let hosts = Arc::default();
    let dir = TempDir::new().unwrap();
    let mut text = "[services.main]\nlisten = \"127.0.0.1:0\"\nbalance = \"leastconn\"\n".to_owned();
    for (number, family) in [Family::Tcp4, Family::Unix].into_iter().enumerate() {
        let listener = Listener::bind(family).unwrap();
        writeln!(text, "[[services.main.servers]]\nto = \"{}\"\nmaxconn = {MAXCONN}", listener.address())
            .unwrap();
        server(number, listener, &hosts);
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
    let guests = hosts.0.lock().unwrap();
    assert_eq!(guests.most, BTreeMap::from([(0, MAXCONN), (1, MAXCONN)]));
    // Those that are there at once may be heard in any order.
    let overtaken =
        guests.order.iter().enumerate().find(|(place, number)| place.abs_diff(**number) >= 2 * MAXCONN);
    assert_eq!(overtaken, None, "{:?}", guests.order);
}
