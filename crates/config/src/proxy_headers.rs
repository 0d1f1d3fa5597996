//! PROXY headers: from which clients they are accepted, and which one the server gets.

use dormouse_core::address::ListenAddress;
use dormouse_core::network::Network;
use dormouse_core::proxy_protocol::Version;

use super::keys;
use super::model::Listen;
use super::report::Report;
use super::tree::Value;
use super::value::{Field, Section};
use crate::proxy_protocol::{Additions, SendProxy, Sources};

const VERSIONS: [(&str, Version); 2] = [("v1", Version::V1), ("v2", Version::V2)];

/// Reads whose headers are accepted.
pub(super) fn accept(field: &Field<'_>, listen: &[Listen], report: &mut Report) -> Option<Sources> {
    match &field.node.value {
        Value::Switch(false) => return None,
        Value::Switch(true) => {}
        _ if field.place().is_flag() && is_everybody(field) => {}
        _ => return Some(Sources::Networks(field.several(report, str::parse::<Network>))),
    }
    let open = |listen: &&Listen| match listen {
        Listen::Open { address: ListenAddress::Tcp(address), .. } => !address.ip().is_loopback(),
        _ => false,
    };
    if let Some(listen) = listen.iter().find(open) {
        let some = field.place().write("accept_proxy", "[\"10.0.0.0/8\"]");
        report.warning(
            field.place(),
            format!("every client that reaches {listen} can claim any address; list the addresses of the proxies: {some}"),
        );
    }
    Some(Sources::All)
}

/// Returns whether a flag stands for all clients: a flag has no `true`.
fn is_everybody(field: &Field<'_>) -> bool {
    matches!(field.list().as_slice(), [only] if matches!(&only.node.value, Value::Text(text) if text == "all"))
}

/// Reads the header that the server gets.
pub(super) fn send(field: &Field<'_>, report: &mut Report) -> Option<SendProxy> {
    let Some(section) = Section::open(field.node, "proxy_protocol", keys::SERVICE, report) else {
        return field.choice(&VERSIONS, report).map(SendProxy::from);
    };
    let version = section.get("version").and_then(|field| field.choice(&VERSIONS, report));
    let mut switch =
        |name, default| section.get(name).and_then(|field| field.switch(report)).unwrap_or(default);
    let Additions { unique_id, credentials, pass } = Additions::default();
    let additions = Additions {
        unique_id: switch("unique_id", unique_id),
        credentials: switch("credentials", credentials),
        pass: switch("pass", pass),
    };
    if version != Some(Version::V1) {
        return Some(SendProxy::V2(additions));
    }
    for field in ["unique_id", "credentials", "pass"].iter().filter_map(|name| section.get(name)) {
        if matches!(field.node.value, Value::Switch(true)) {
            report.error(field.place(), "version 1 contains only the addresses; use version = \"v2\"");
        }
    }
    Some(SendProxy::V1)
}
