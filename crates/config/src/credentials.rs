//! Whose credentials a UNIX server sees, and listeners that let in more users than the server's socket does.

use dormouse_core::address::Target;

use super::model::{Listen, PeerCredentials, ServerConfig};
use super::report::{Place, Report};
use super::value::{Field, Section};
use super::width::{Audience, wider_than_server};
use crate::defaults;

const WORDS: [(&str, PeerCredentials); 2] = [("own", PeerCredentials::Own), ("pass", PeerCredentials::Pass)];

/// Reads whose credentials a UNIX server sees. Reports listeners and servers that cannot pass credentials, or, where nothing
/// is configured, warns of listeners that are wider than the socket of the server.
pub(super) fn read(
    section: &Section<'_>,
    (listen, places): (&[Listen], &[Place]),
    servers: &[ServerConfig],
    report: &mut Report,
) -> PeerCredentials {
    let Some(field) = section.get("peer_credentials") else {
        warn_of_wide_listeners(listen, places, servers, report);
        return defaults::PEER_CREDENTIALS.value;
    };
    let chosen = field.choice(&WORDS, report);
    if chosen == Some(PeerCredentials::Pass) {
        credentials_exist(&field, listen, servers, report);
    }
    chosen.unwrap_or(defaults::PEER_CREDENTIALS.value)
}

/// Reports a listener whose clients have no credentials, and a server that could not see them.
fn credentials_exist(field: &Field<'_>, listen: &[Listen], servers: &[ServerConfig], report: &mut Report) {
    let place = field.place();
    // Whether passed sockets are UNIX sockets shows when dormouse starts.
    let other = listen.iter().find(|listen| Audience::of(listen) == Some(Audience::Network));
    if let Some(listen) = other {
        let listen_key = place.call("listen");
        report.error(
            place,
            format!(
                "the clients of {listen} have no user; keep only UNIX sockets in {listen_key}, or write own"
            ),
        );
    }
    let other = servers.iter().find(|server| !matches!(server.to, Target::Unix(_) | Target::Abstract(_)));
    if let Some(server) = other {
        let to = server.display_address().unwrap_or_else(|| server.name.clone());
        report.error(
            place,
            format!("the server {to} does not see users; write the address of a UNIX socket, or own"),
        );
    }
}

fn warn_of_wide_listeners(
    listen: &[Listen],
    places: &[Place],
    servers: &[ServerConfig],
    report: &mut Report,
) {
    for (listen, place) in listen.iter().zip(places) {
        let wider = Audience::of(listen).and_then(|audience| wider_than_server(&audience, servers));
        if let Some(wider) = wider {
            let pass = place.write("peer_credentials", "\"pass\"");
            let own = place.write("peer_credentials", "\"own\"");
            report.warning(place, format!("{listen}: {}", wider.explain(&pass, &own)));
        }
    }
}
