//! Describes how sessions are distributed over several servers.

use std::fmt::Write as _;

use dormouse_config::model::{CheckConfig, ServerConfig, ServiceConfig};
use dormouse_core::pool::CheckSettings;
use dormouse_core::timespan::TimeSpan;

/// Describes the servers of a service together.
pub(super) fn lines(service: &ServiceConfig) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    if service.servers.len() > 1 {
        lines.push(("chooses", service.balance.description().to_owned()));
    }
    if let Some(check) = service.servers.iter().find_map(|server| server.check.as_ref()) {
        lines.push(("checks", checks(check)));
    }
    if service.servers.iter().any(|server| server.maxconn.is_some()) {
        let (max, timeout) = (service.queue.max, service.queue.timeout);
        lines.push(("queues", format!("{max} clients for {timeout} while all servers are full")));
    }
    lines
}

fn checks(CheckConfig { rules, timeout, expect, ends_sessions, .. }: &CheckConfig) -> String {
    let CheckSettings { inter, rise, fall, .. } = rules;
    let span = |span| TimeSpan::Finite(span);
    let what = if expect.is_empty() { "a connection" } else { "an exchange" };
    let end = if *ends_sessions { ", which ends its sessions" } else { "" };
    format!(
        "by {what} every {} with a timeout of {}; down after {fall} failures{end}, up after {rise} successes",
        span(*inter),
        span(*timeout)
    )
}

/// Describes the rules of one server.
pub(super) fn rules(server: &ServerConfig) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    if server.weight != 1 {
        let _ = write!(text, ", weight {}", server.weight);
    }
    if server.backup {
        text.push_str(", as a backup");
    }
    if let Some(maxconn) = server.maxconn {
        let _ = write!(text, ", {maxconn} sessions at most");
    }
    if server.disabled {
        text.push_str(", in maintenance");
    }
    text
}
