//! `server` and `server-template`.

use std::net::IpAddr;

use crate::parameters::Parameters;
use crate::report::{Report, Statement};
use crate::server_address::ServerAddress;
use crate::server_options::{self, ServerOptions};

/// A server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) statement: Statement,
    pub(crate) name: String,
    pub(crate) address: ServerAddress,
    pub(crate) options: ServerOptions,
}

/// Reads `server NAME ADDRESS …`, with the defaults of `default-server`.
pub(crate) fn server(statement: &Statement, defaults: &ServerOptions, report: &mut Report) -> Option<Server> {
    let (name, address) = (statement.word(1), statement.word(2));
    if address.is_empty() {
        report.omit(statement, "a server needs a name and an address; HAProxy rejects this line too");
        return None;
    }
    let mut own = defaults.clone();
    server_options::read(&mut own, Parameters::new(statement, 3), report);
    match ServerAddress::parse(address) {
        Ok(address) => {
            Some(Server { statement: statement.clone(), name: name.to_owned(), address, options: own })
        }
        Err(reason) => {
            report.omit(statement, reason);
            None
        }
    }
}

/// Reads `server-template PREFIX COUNT NAME[:PORT] …`: one entry for all addresses of the name.
pub(crate) fn template(
    statement: &Statement,
    defaults: &ServerOptions,
    report: &mut Report,
) -> Option<Server> {
    let (prefix, address) = (statement.word(1), statement.word(3));
    if address.is_empty() {
        report.omit(
            statement,
            "a server-template needs a prefix, a number and a name; HAProxy rejects this line too",
        );
        return None;
    }
    let mut own = defaults.clone();
    server_options::read(&mut own, Parameters::new(statement, 4), report);
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let resolved = if address.starts_with('_') {
        ServerAddress::Resolved(format!("srv:{host}"))
    } else if host.parse::<IpAddr>().is_ok() || !address.contains(':') || address.contains(['/', '@']) {
        report.omit(
            statement,
            "a server-template needs a DNS name and a port; write a server for each address",
        );
        return None;
    } else {
        ServerAddress::Resolved(format!("dns:{address}"))
    };
    report.note(
        statement,
        "dormouse uses one server for each address of the name, not a fixed number of servers",
    );
    Some(Server { statement: statement.clone(), name: prefix.to_owned(), address: resolved, options: own })
}
