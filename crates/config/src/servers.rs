//! The servers of a service: one address with an optional workload, several addresses, or a table for each server.

use std::collections::BTreeMap;

use dormouse_core::name::is_name;

use super::endpoint::To;
use super::model::ServerConfig;
use super::pool::{self, ServiceCheck};
use super::quote::quoted;
use super::report::{Place, Report};
use super::tree::Value;
use super::value::{Field, Section};
use super::{Environment, keys, wake};

const NOT_WOKEN: &str = "servers from the DNS cannot have a workload; write the address of the server";

/// Reads the servers, and reports errors.
pub(super) fn servers(
    section: &Section<'_>,
    wake_section: Option<&Section<'_>>,
    check: &ServiceCheck,
    environment: Environment,
    report: &mut Report,
) -> Vec<ServerConfig> {
    let numbered = |number: usize| format!("server{}", number + 1);
    match (section.get("to"), section.get("servers")) {
        (None, None) => {
            let example = section.place.write("to", "\"127.0.0.1:9000\"");
            report.absence(
                "to",
                section.place,
                format!("{} is missing; for example {example}", section.place.call("to")),
            );
            if let Some(wake_section) = wake_section {
                wake::wake(wake_section, environment, report);
            }
            Vec::new()
        }
        (Some(to), Some(servers)) => {
            report.error(to.place(), "conflicts with servers; keep only one");
            listed(&servers, check, environment, report)
        }
        (None, Some(servers)) => {
            if let Some(wake_section) = wake_section {
                wake::belongs_elsewhere(wake_section, false, report);
            }
            listed(&servers, check, environment, report)
        }
        (Some(to), None) => {
            let wake = wake_section.and_then(|section| wake::wake(section, environment, report));
            let targets = to.several(report, To::parse);
            if wake.is_some() && targets.iter().any(|to| matches!(to, To::Named(_))) {
                report.error(to.place(), NOT_WOKEN);
            } else if wake.is_some() && targets.len() > 1 {
                let advice = if to.place().is_flag() {
                    "give one, or write [[services.NAME.servers]] in a file (--config)"
                } else {
                    "write [[services.NAME.servers]], each with its own wake"
                };
                report.error(to.place(), format!("several servers cannot share a workload; {advice}"));
            }
            let servers = targets.into_iter().enumerate();
            servers
                .flat_map(|(number, to)| to.servers(&numbered(number)))
                .map(|(name, to)| check.of_all(ServerConfig::new(name, to, wake.clone())))
                .collect()
        }
    }
}

/// Reads the servers with tables of their own.
fn listed(
    field: &Field<'_>,
    check: &ServiceCheck,
    environment: Environment,
    report: &mut Report,
) -> Vec<ServerConfig> {
    let Value::List(nodes) = &field.node.value else {
        field.wrong_kind(report);
        return Vec::new();
    };
    if nodes.is_empty() {
        report.error(field.place(), "is empty; write [[services.NAME.servers]] for each server");
    }
    let mut names = Names::default();
    let mut servers = Vec::new();
    for (number, node) in nodes.iter().enumerate() {
        let Some(section) = Section::open(node, "servers", keys::SERVICE, report) else {
            let message = format!(
                "takes a table, not {}; for example {{ to = \"127.0.0.1:9000\" }}",
                node.value.kind()
            );
            report.error(&node.place, message);
            continue;
        };
        let name_field = section.get("name");
        let name = match &name_field {
            Some(field) => field.text(report).map(str::to_owned),
            None => Some(format!("server{}", number + 1)),
        };
        let name_place = name_field.map_or(&node.place, |field| field.place());
        let mut is_free = false;
        if let Some(name) = &name {
            check_name(name, name_place, report);
            is_free = names.take(name, name, name_place, report);
        }
        let wake = section.get("wake").and_then(|field| {
            let Some(section) = Section::open(field.node, "wake", keys::SERVICE, report) else {
                field.wrong_kind(report);
                return None;
            };
            wake::belongs_elsewhere(&section, true, report);
            wake::wake(&section, environment, report)
        });
        let rules = pool::server(&section, report);
        let Some(to) = section.get("to") else {
            report.absence("servers.to", &node.place, "to is missing; for example to = \"127.0.0.1:9000\"");
            continue;
        };
        let Some((parsed, name)) = to.parsed(report, To::parse).zip(name) else { continue };
        if wake.is_some() && matches!(parsed, To::Named(_)) {
            report.error(to.place(), NOT_WOKEN);
        }
        let own = parsed.servers(&name);
        if is_free {
            names.take_all(&name, &own, name_place, report);
        }
        let own = own.into_iter();
        servers.extend(own.map(|(name, to)| rules.apply(ServerConfig::new(name, to, wake.clone()), check)));
    }
    servers
}

/// The names of the servers, each with the name in the configuration that it comes from.
#[derive(Default)]
struct Names(BTreeMap<String, String>);

impl Names {
    /// Adds a name, or reports that it is in use.
    fn take(&mut self, name: &str, written: &str, place: &Place, report: &mut Report) -> bool {
        let Some(other) = self.0.insert(name.to_owned(), written.to_owned()) else { return true };
        let whose = match (name == written, other == name) {
            (true, true) => format!("the name {name} is already used by another server"),
            (true, false) => format!("{other} stands for several servers, one of them named {name}"),
            (false, _) => {
                format!("stands for several servers, one of them named {name} as another server is")
            }
        };
        report.error(place, format!("{whose}; choose another name"));
        false
    }

    /// Adds the names of all servers of a DNS name, and reports at most one conflict.
    fn take_all<T>(&mut self, written: &str, servers: &[(String, T)], place: &Place, report: &mut Report) {
        let others = servers.iter().map(|(name, _)| name).filter(|name| *name != written);
        for name in others {
            if !self.take(name, written, place, report) {
                return;
            }
        }
    }
}

/// Reports a name that is not valid for a service or a server.
pub(super) fn check_name(name: &str, place: &Place, report: &mut Report) {
    if !is_name(name) {
        let remedy = if place.is_file() { "; rename the file" } else { "" };
        let message = format!(
            "{} is not a valid name; use 1 to 64 letters, digits, '-', '_' and '.'{remedy}",
            quoted(name)
        );
        report.error(place, message);
    }
}
