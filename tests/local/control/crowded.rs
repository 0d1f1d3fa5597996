//! Many listeners and few descriptors: what is promised fits, and whoever looks is still answered.

use std::fmt::Write as _;

use dormouse_tests::wait::SOON;
use dormouse_tests::{Failure, Family, Listener, Result, Stream};

use super::rig::{MOMENT, Rig};

/// How many sessions it says that it has descriptors for.
fn promised_by(rig: &Rig) -> Result<usize> {
    let info = rig.ask("show info")?;
    let line = info.lines().find_map(|line| line.strip_prefix("Hard_maxconn: ")?.parse().ok());
    line.ok_or(Failure::Unexpected(info))
}

/// A client of a service.
enum Client {
    Served(Stream, Stream),
    Waiting(Stream),
}

/// A client of the service of this number, and what becomes of it.
fn client(rig: &Rig, server: &Listener, number: usize) -> Result<Client> {
    let client = rig.client_of(&format!("s{number}"))?;
    client.send(b"hello", SOON)?;
    if !server.has_pending(MOMENT * 5)? {
        return Ok(Client::Waiting(client));
    }
    let far = server.accept(SOON)?;
    let heard = far.receive(5, SOON)?;
    if heard == b"hello" {
        Ok(Client::Served(client, far))
    } else {
        Err(Failure::Unexpected(format!("{heard:?}")))
    }
}

#[test]
fn at_the_limit_of_descriptors_all_that_is_promised_is_served_and_whoever_looks_is_answered() {
    const SERVICES: usize = 40;
    for (limit, woken) in [(160, 0), (200, 8)] {
        let server = Listener::bind(Family::Tcp4).unwrap();
        let mut services = String::new();
        for number in 0..SERVICES {
            let address = server.address();
            write!(services, "[services.s{number}]\nlisten = LISTEN\nto = \"{address}\"\n").unwrap();
        }
        for number in 0..woken {
            write!(services, "[services.w{number}]\nlisten = LISTEN\nECHO(w{number})\n").unwrap();
        }
        let rig = Rig::within((limit, limit), "", &services).unwrap();
        let promised = promised_by(&rig).unwrap();
        rig.expect(promised >= 10, "it promises little");
        let awake: Vec<_> = (0..woken).map(|number| rig.client(&format!("w{number}")).unwrap()).collect();
        let (mut open, mut waits) = (Vec::new(), None);
        while waits.is_none() {
            match client(&rig, &server, open.len() % SERVICES).unwrap() {
                Client::Served(client, far) => open.push((client, far)),
                Client::Waiting(client) => waits = Some(client),
            }
        }
        let count = open.len() + awake.len();
        rig.expect(count >= promised, &format!("{count} of {promised} are served"));
        // They are there for longer than it takes to be refused.
        for _ in 0..3 {
            assert_eq!(promised_by(&rig).unwrap(), promised);
            rig.get("/healthz").unwrap();
        }
        rig.expect(!rig.log().contains("Accepting pauses"), "there were too few descriptors");
        // A place that becomes free is the next one's.
        drop(open.pop());
        server.accept(SOON).map_err(|failure| rig.dormouse.with_log(&failure)).unwrap();
    }
}
