//! Many listeners and few descriptors: the announced session limit fits, and admin clients are still answered.

use std::fmt::Write as _;

use dormouse_tests::wait::SOON;
use dormouse_tests::{Failure, Family, Listener, Result, Stream, messages};

use super::rig::{MOMENT, Rig};

/// Returns the number of sessions that dormouse reports to have descriptors for.
fn reported_session_limit(rig: &Rig) -> Result<usize> {
    let info = rig.ask("show info")?;
    let line = info.lines().find_map(|line| line.strip_prefix("Hard_maxconn: ")?.parse().ok());
    line.ok_or(Failure::Unexpected(info))
}

/// A client of a service.
enum Client {
    Served(Stream, Stream),
    Waiting(Stream),
}

/// Connects a client to the service of this number and returns whether it is served or waits.
fn client(rig: &Rig, server: &Listener, number: usize) -> Result<Client> {
    let client = rig.client_of(&format!("s{number}"))?;
    client.send(b"hello", SOON)?;
    if !server.has_pending(MOMENT * 5)? {
        return Ok(Client::Waiting(client));
    }
    let far = server.accept(SOON)?;
    let echoed = far.receive(5, SOON)?;
    if echoed == b"hello" {
        Ok(Client::Served(client, far))
    } else {
        Err(Failure::Unexpected(format!("{echoed:?}")))
    }
}

#[test]
fn at_the_descriptor_limit_all_announced_sessions_and_admin_clients_are_served() {
    const SERVICES: usize = 40;
    for (descriptors, woken) in [(160, 0), (200, 8)] {
        let server = Listener::bind(Family::Tcp4).unwrap();
        let mut services = String::new();
        for number in 0..SERVICES {
            let address = server.address();
            write!(services, "[services.s{number}]\nlisten = LISTEN\nto = \"{address}\"\n").unwrap();
        }
        for number in 0..woken {
            write!(services, "[services.w{number}]\nlisten = LISTEN\nECHO(w{number})\n").unwrap();
        }
        let rig = Rig::within((descriptors, descriptors), "", &services).unwrap();
        let limit = reported_session_limit(&rig).unwrap();
        rig.expect(limit >= 10, "the session limit is too low");
        let awake: Vec<_> = (0..woken).map(|number| rig.client(&format!("w{number}")).unwrap()).collect();
        let (mut open, mut waits) = (Vec::new(), None);
        while waits.is_none() {
            match client(&rig, &server, open.len() % SERVICES).unwrap() {
                Client::Served(client, far) => open.push((client, far)),
                Client::Waiting(client) => waits = Some(client),
            }
        }
        let count = open.len() + awake.len();
        rig.expect(count >= limit, &format!("{count} of {limit} are served"));
        // The clients stay connected for longer than a refusal takes.
        for _ in 0..3 {
            assert_eq!(reported_session_limit(&rig).unwrap(), limit);
            rig.get("/healthz").unwrap();
        }
        rig.expect(!rig.log().contains(messages::CANNOT_ACCEPT), "dormouse ran out of descriptors");
        // A waiting client gets the slot that becomes free.
        drop(open.pop());
        server.accept(SOON).map_err(|failure| rig.dormouse.with_log(&failure)).unwrap();
    }
}
