//! A service: its table, and contradictions in it.

use std::collections::HashSet;

use dormouse_activate::{Operation, Support};

use super::model::{Idle, Listen, Ready, ServerConfig, ServiceConfig};
use super::quote::quoted;
use super::report::{Place, Report};
use super::servers::{check_name, servers};
use super::socket_index::SocketIndex;
use super::tree::{Node, Value};
use super::value::{Field, Section};
use super::workloads::AgreedPlaces;
use super::{Environment, credentials, endpoint, keys, pool, proxy_headers, sandbox, tables, wake};
use crate::defaults;
use crate::limit::Cap;

/// A service with the places for errors that concern several services.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) config: ServiceConfig,
    pub(super) place: Place,
    /// The place of each listener.
    pub(super) listen: Vec<Place>,
    pub(super) exclusive: Option<Place>,
    /// The places of the settings that all services of a workload have in common.
    pub(super) agreed: AgreedPlaces,
}

/// Reads a service, and reports errors. The result is incomplete after an error.
pub(super) fn read(name: &str, node: &Node, environment: Environment, report: &mut Report) -> Option<Draft> {
    check_name(name, &node.place, report);
    let Some(section) = Section::open(node, "", keys::SERVICE, report) else {
        let message = format!("takes a table, not {}; for example [services.web]", node.value.kind());
        report.error(&node.place, message);
        return None;
    };
    let (listen, listen_places) = listeners(&section, report);
    let wake_section = section.get("wake").and_then(|field| tables::table(&field, report));
    let waking = wake::waking(wake_section.as_ref(), report);
    let check = pool::check(&section, report);
    let mut servers = servers(&section, wake_section.as_ref(), &check, environment, report);
    servers_differ_from_listeners(&servers, &listen, &listen_places, report);
    sandbox::complete(name, &mut servers, &node.place, report);

    let ready_field = section.get("ready");
    let (ready, settled) = ready_field.as_ref().map_or((None, None), |field| tables::ready(field, report));
    let settle_field = section.get("settle");
    if let (Some(field), Some(_)) = (&settle_field, settled) {
        report.error(field.place(), "is also set in ready; keep only one");
    }
    let settle =
        settle_field.and_then(|field| field.duration(report)).or(settled).unwrap_or(defaults::SETTLE.value);
    let ready = ready.unwrap_or(Ready::Connect);
    if let Some(field) = &ready_field {
        readiness_fits(&ready, field, &mut servers, report);
    }

    let hold = section.get("hold").and_then(|field| tables::table(&field, report));
    let hold = tables::hold(hold.as_ref(), report);
    let timeouts = section.get("timeout").and_then(|field| tables::table(&field, report));
    let header_timeout = timeouts.as_ref().and_then(|section| section.get("proxy_header"));
    let timeouts = tables::timeouts(timeouts.as_ref(), report);
    let idle_field = section.get("idle");
    let mut idle = tables::idle(idle_field.as_ref(), report);
    idle_fits(&mut idle, idle_field.as_ref(), &servers, report);
    needs_something_to_wake(&section, &servers, report);

    let get = |name| section.get(name);
    let exclusive_field = get("exclusive");
    let exclusive = exclusive_field.and_then(|field| {
        field.parsed(report, |text| {
            if text.is_empty() { Err("a group must have a name") } else { Ok(text.to_owned()) }
        })
    });
    let dns = get("dns").map(|field| field.several(report, endpoint::resolver)).unwrap_or_default();
    let balance = pool::balance(&section, &servers, report);
    let queue = section.get("queue").and_then(|field| tables::table(&field, report));
    let queue = pool::queue(queue.as_ref(), &hold, report);
    let retries = get("retries")
        .and_then(|field| field.number(pool::MOST_RETRIES, report))
        .unwrap_or(defaults::RETRIES.value);
    let redispatch =
        get("redispatch").and_then(|field| field.switch(report)).unwrap_or(defaults::REDISPATCH.value);
    pool::makes_sense(&section, &servers, report);
    let replay = get("replay").and_then(|field| field.switch(report)).unwrap_or(defaults::REPLAY.value);
    let maxconn = get("maxconn").and_then(|field| field.count(report));
    let at_limit = get("at_limit").and_then(|field| field.choice(&tables::AT_LIMIT, report));
    let accept_proxy = get("accept_proxy").and_then(|field| proxy_headers::accept(&field, &listen, report));
    let proxy_protocol = get("proxy_protocol").and_then(|field| proxy_headers::send(&field, report));
    if let (Some(field), None) = (header_timeout, get("accept_proxy")) {
        let accept = field.place().call("accept_proxy");
        report
            .error(field.place(), format!("has no effect without {accept}; add it, or remove this setting"));
    }

    let peer_credentials = credentials::read(&section, (&listen, &listen_places), &servers, report);

    let config = ServiceConfig {
        name: name.to_owned(),
        listen,
        servers,
        dns,
        balance,
        queue,
        retries,
        redispatch,
        fail_open: check.fail_open,
        ready,
        settle,
        hold,
        idle,
        waking,
        exclusive,
        replay,
        maxconn: Cap::from(maxconn.unwrap_or(defaults::MAXCONN.count())),
        at_limit: at_limit.unwrap_or(defaults::AT_LIMIT.value),
        accept_proxy,
        proxy_protocol,
        peer_credentials,
        timeouts,
        spelling: node.place.spelling(),
    };
    let exclusive = exclusive_field.map(|field| field.place().clone());
    let agreed = AgreedPlaces::find(|key| {
        let field = match key.strip_prefix("wake.") {
            Some(name) => wake_section.as_ref()?.get(name)?,
            None => section.get(key)?,
        };
        Some(field.place().clone())
    });
    Some(Draft { config, place: node.place.clone(), listen: listen_places, exclusive, agreed })
}

/// Reports each listener that is also the address of a server.
fn servers_differ_from_listeners(
    servers: &[ServerConfig],
    listen: &[Listen],
    places: &[Place],
    report: &mut Report,
) {
    let mut index = SocketIndex::default();
    for (number, listen) in listen.iter().enumerate() {
        index.insert(number, listen);
    }
    for target in servers.iter().map(|server| &server.to) {
        for number in index.reached_by(target) {
            let reached = listen.get(number).filter(|listen| listen.is_reached_by(target));
            if let Some(place) = reached.and(places.get(number)) {
                report.error(place, format!("is also the address of a server ({target}), so that dormouse would connect to itself; choose another address"));
            }
        }
    }
}

fn listeners(section: &Section<'_>, report: &mut Report) -> (Vec<Listen>, Vec<Place>) {
    let Some(field) = section.get("listen") else {
        let example = section.place.write("listen", "\"127.0.0.1:8080\"");
        report.absence(
            "listen",
            section.place,
            format!("{} is missing; for example {example}", section.place.call("listen")),
        );
        return (Vec::new(), Vec::new());
    };
    let mut found: Vec<(Listen, Place)> = Vec::new();
    let mut seen = HashSet::new();
    let elements = field.list();
    for element in &elements {
        let Some(listen) = element.parsed(report, endpoint::listen) else { continue };
        let written = listen.to_string();
        if seen.contains(&written) {
            report.error(element.place(), format!("{} is given twice; remove one", quoted(&written)));
            continue;
        }
        seen.insert(written);
        found.push((listen, element.place().clone()));
    }
    if elements.is_empty() {
        field.several(report, |_| Ok::<_, &str>(()));
    }
    endpoint::fold(&mut found);
    found.into_iter().unzip()
}

/// Makes the activators report readiness as `ready` needs it, and reports a kind that cannot.
fn readiness_fits(ready: &Ready, field: &Field<'_>, servers: &mut [ServerConfig], report: &mut Report) {
    let place = field.place();
    for wake in servers.iter_mut().filter_map(|server| server.wake.as_mut()) {
        let properties = wake.properties();
        let message = match ready {
            Ready::Notify => match properties.notify {
                Support::Always | Support::WithCommand => None,
                Support::Never(reason) => Some(reason.to_owned()),
            },
            Ready::Healthy => (!properties.health_check).then(|| {
                let container = place.write("wake.container", "\"NAME\"");
                format!("healthy requires a container; add {container}, or use connect")
            }),
            Ready::Connect | Ready::File(_) | Ready::Command(_) | Ready::Expect { .. } => continue,
        };
        if let Some(message) = message {
            report.error(place, message);
            return;
        }
        wake.expect_ready();
    }
}

/// Reports `freeze` and `stop` where the workload does not support them, and removes the default of `stop` there.
fn idle_fits(idle: &mut Idle, field: Option<&Field<'_>>, servers: &[ServerConfig], report: &mut Report) {
    let section = field.and_then(|field| {
        // The unknown keys were reported when the table was opened before.
        Section::open(field.node, "idle", keys::SERVICE, &mut Report::default())
    });
    let said = |name| section.as_ref().and_then(|section| section.get(name));
    let short = field.filter(|_| section.is_none()).copied();
    if !servers.iter().any(|server| server.wake.is_some()) {
        idle.stop = None;
        return;
    }
    for wake in servers.iter().filter_map(|server| server.wake.as_ref()) {
        if let Some(field) = said("freeze").filter(|_| idle.freeze.is_some()) {
            let place = field.place();
            match wake.properties().freeze {
                Support::Always => {}
                Support::WithCommand if wake.has_command(Operation::Freeze) => {}
                Support::WithCommand => {
                    let (freeze, thaw) = (place.call("wake.freeze"), place.call("wake.thaw"));
                    let message = format!("requires commands for it; add {freeze} and {thaw}");
                    report.absence("wake.freeze", place, message);
                }
                Support::Never(reason) => report.error(place, reason),
            }
        }
        let stops = match wake.properties().stop {
            Support::WithCommand => wake.has_command(Operation::Stop),
            // An activator that cannot stop the workload leaves it alone.
            Support::Always | Support::Never(_) => true,
        };
        if !stops {
            match said("stop").or(short).filter(|_| idle.stop.is_some()) {
                Some(field) => {
                    let stop = field.place().call("wake.stop");
                    let message = format!("requires a command that stops the workload; add {stop}");
                    report.absence("wake.stop", field.place(), message);
                }
                None => idle.stop = None,
            }
        }
    }
}

/// Reports the keys that need a workload where there is none.
fn needs_something_to_wake(section: &Section<'_>, servers: &[ServerConfig], report: &mut Report) {
    let wake = section.get("wake");
    let attempted = |field: &Field<'_>| match &field.node.value {
        Value::Table(entries) => entries.iter().any(|(name, _)| wake::is_kind(name)),
        _ => true,
    };
    let in_server = section.get("servers").is_some_and(|field| {
        field.list().iter().any(|server| match &server.node.value {
            Value::Table(entries) => entries.iter().any(|(name, _)| name == "wake"),
            _ => true,
        })
    });
    if servers.iter().any(|server| server.wake.is_some()) || wake.as_ref().is_some_and(attempted) || in_server
    {
        return;
    }
    if let Some(field) = wake {
        let place = field.place();
        let kinds: Vec<_> = wake::keys().map(|key| place.call(&format!("wake.{key}"))).collect();
        report.absence("wake", place, format!("does not name a workload; add one of {}", kinds.join(", ")));
        return;
    }
    let unit = section.place.write("wake", "{ unit = \"nginx.service\" }");
    let unit = if section.place.is_flag() { "--exec=, --unit= or another".to_owned() } else { unit };
    for field in
        ["ready", "settle", "idle", "exclusive", "soft", "replay"].iter().filter_map(|name| section.get(name))
    {
        let message = format!("requires a workload; add {unit}, or remove this setting");
        report.absence("wake", field.place(), message);
    }
}
