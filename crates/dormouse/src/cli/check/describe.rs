//! Describes what a configuration does: what dormouse would open, start and stop.

use std::fmt::Write as _;
use std::time::Duration;

use dormouse_activate::{ActivatorConfig, ListenerRule, Support, command_line};
use dormouse_config::endpoint;
use dormouse_config::limit::AtLimit;
use dormouse_config::model::{
    Config, ForeignListener, Listen, Ready, SLOTS, ServerConfig, ServiceConfig, WakeOn,
};
use dormouse_config::proxy_protocol::Sources;
use dormouse_core::address::Target;
use dormouse_core::pool::Balance;
use dormouse_core::timespan::TimeSpan;

use super::shared::{IdleTimes, Workloads};
use super::{credentials, pool};

/// Describes what would be opened, started and stopped.
pub(super) fn describe(config: &Config) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    if let Some(control) = config.admin.control.listen() {
        let _ = writeln!(text, "takes commands on {}", listen_on(&control));
    }
    if let Some(http) = config.admin.http {
        let _ = writeln!(text, "serves the page and the metrics on http://{http}/");
    }
    let workloads = Workloads::of(config);
    for service in &config.services {
        let _ = writeln!(text, "service {}", service.name);
        for (what, how) in lines(service, &workloads) {
            let _ = writeln!(text, "  {what:12} {how}");
        }
    }
    text
}

fn lines<'a>(service: &'a ServiceConfig, workloads: &Workloads<'a>) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    lines.extend(service.listen.iter().map(|listen| ("listens on", listen_on(listen))));
    match &service.accept_proxy {
        None => {}
        Some(Sources::All) => lines.push(("trusts", "the PROXY headers of all clients".to_owned())),
        Some(Sources::Networks(networks)) => {
            let networks: Vec<_> = networks.iter().map(ToString::to_string).collect();
            lines.push(("trusts", format!("the PROXY headers of {} and local clients", networks.join(", "))));
        }
    }
    let known = service.servers.iter().filter(|server| server.display_address().is_some());
    lines.extend(known.map(|server| ("goes to", server_at(server))));
    lines.extend(credentials::lines(service));
    let limit = match service.at_limit {
        AtLimit::Refuse => "further ones are refused",
        AtLimit::Queue => "further ones wait in the backlog",
    };
    lines.push(("serves", format!("{} sessions at once, {limit}", service.maxconn.get())));
    let overflow = match service.hold.overflow {
        AtLimit::Refuse => "further ones are refused",
        AtLimit::Queue => "further ones wait in the backlog",
    };
    let (max, hold) = (service.hold.max, service.hold.timeout);
    lines.push(("holds", format!("{max} clients for {hold} while the server does not answer, {overflow}")));
    lines.extend(pool::lines(service));
    if service.servers.iter().all(|server| server.wake.is_none()) {
        return lines;
    }
    let waking = &service.waking;
    let by = match waking.on {
        WakeOn::Connect => "a connection",
        WakeOn::Data => "the first byte of a client",
    };
    let from = match &waking.allow {
        None => "any client".to_owned(),
        Some(networks) => networks.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    };
    lines.push(("woken by", format!("{by}, from {from}")));
    let settle = match service.settle {
        Duration::ZERO => String::new(),
        settle => format!(", for {}", TimeSpan::Finite(settle)),
    };
    let start = TimeSpan::Finite(waking.start_timeout);
    let refused = match service.hold.timeout {
        hold if hold < start => {
            format!("; a start that takes longer than {hold} loses its clients (hold.timeout)")
        }
        _ => String::new(),
    };
    lines.push(("ready when", format!("{}{settle}; within {start}{refused}", readiness(service))));
    lines.extend(listener(service).map(|listener| ("listener", listener)));
    lines.extend(workloads.lines(service));
    lines.push(("sleeps", sleep(service, &workloads.idle_times(service))));
    if let Some(group) = &service.exclusive {
        lines.push(("runs alone", format!("in the group {group}")));
    }
    if let Balance::First { soft: Some(soft) } = service.balance {
        lines.push(("grows", format!("starts the next server when each running one has {soft} sessions")));
    }
    lines
}

/// Describes which process must listen at the address of the server. `None` for workloads whose processes dormouse does not
/// know.
fn listener(service: &ServiceConfig) -> Option<String> {
    if service.waking.foreign_listener == ForeignListener::Allow {
        return Some("may be any process (wake.foreign_listener)".to_owned());
    }
    let rule = |server: &ServerConfig| server.wake.as_ref().map(|wake| wake.properties().listener);
    if service.servers.iter().any(|server| rule(server) == Some(ListenerRule::OwnBeforeStart)) {
        return Some(
            "a process that already listens before the start must belong to the workload, its service manager or its \
             container engine"
                .to_owned(),
        );
    }
    let own = service.servers.iter().find(|server| rule(server) == Some(ListenerRule::Own))?;
    let note = match &own.to {
        Target::Tcp { .. } => {
            "; while it sleeps, any user of this machine can take its address, so prefer a UNIX socket in a private \
             directory"
        }
        _ => "",
    };
    Some(format!("must be a process of the started program{note}"))
}

fn listen_on(listen: &Listen) -> String {
    match listen {
        Listen::Open { address, options } => {
            let address = endpoint::shown(address, options.tcp.v6only);
            options.words().into_iter().fold(address, |text, (name, value)| {
                let space = if value.is_empty() { "" } else { " " };
                format!("{text}, {name}{space}{value}")
            })
        }
        Listen::Inherited(name) => {
            format!(
                "the sockets of a socket unit with FileDescriptorName={name}; without one dormouse does not start"
            )
        }
    }
}

fn server_at(server: &ServerConfig) -> String {
    let ServerConfig { name, to, wake, .. } = server;
    if let Target::Slot { source, .. } = to {
        let name = name.strip_suffix("-1").unwrap_or(name);
        return format!(
            "{source} ({name}), as the DNS answers, at most {SLOTS} servers{}",
            pool::rules(server)
        );
    }
    let how = wake.as_ref().map_or_else(
        || "not started by dormouse and not contacted by this check".to_owned(),
        ActivatorConfig::summary,
    );
    format!("{to} ({name}), {how}{}", pool::rules(server))
}

fn readiness(service: &ServiceConfig) -> String {
    let is_unit = |server: &ServerConfig| matches!(server.wake, Some(ActivatorConfig::Unit(_)));
    match &service.ready {
        Ready::Connect => "it accepts a connection".to_owned(),
        Ready::Notify if service.servers.iter().any(is_unit) => "its start job is done".to_owned(),
        Ready::Notify => "it reports so (READY=1)".to_owned(),
        Ready::Healthy => "its health check passes".to_owned(),
        Ready::File(path) => format!("{} exists", path.display()),
        Ready::Command(argv) => format!("this command succeeds: {}", command_line(argv)),
        Ready::Expect { send, expect } if send.is_empty() => format!("it sends {}", bytes(expect)),
        Ready::Expect { send, expect } => format!("it answers {} with {}", bytes(send), bytes(expect)),
    }
}

fn bytes(bytes: &[u8]) -> String {
    format!("{:?}", String::from_utf8_lossy(bytes))
}

fn sleep(service: &ServiceConfig, times: &IdleTimes<'_>) -> String {
    let after = |verb: &str, (span, whose): (Option<Duration>, String)| match span {
        Some(span) => Some(format!("{verb} after {}{whose}", TimeSpan::Finite(span))),
        // This service alone would let it sleep.
        None if !whose.is_empty() => Some(format!("never {verb}{whose}")),
        None => None,
    };
    let mut activators = service.servers.iter().filter_map(|server| server.wake.as_ref());
    let never_stopped = activators.all(|wake| matches!(wake.properties().stop, Support::Never(_)));
    let stopped = if never_stopped { "counts as asleep" } else { "stopped" };
    let (freeze, stop) = (times.longest(|idle| idle.freeze), times.longest(|idle| idle.stop));
    let steps: Vec<_> = [after("frozen", freeze), after(stopped, stop)].into_iter().flatten().collect();
    if steps.is_empty() {
        return "never".to_owned();
    }
    let mut text = format!("{} without a session", steps.join(", "));
    if times.is_shared() {
        text.push_str(" of any of these services");
    }
    if let Some(quiet) = service.idle.quiet {
        let _ = write!(text, " that moved a byte in the last {}", TimeSpan::Finite(quiet));
    }
    let (minimum_uptime, whose) = times.minimum_uptime();
    if !minimum_uptime.is_zero() {
        let _ = write!(text, ", not before it has run for {}{whose}", TimeSpan::Finite(minimum_uptime));
    }
    for (window, whose) in times.keep_warm() {
        let _ = write!(text, ", awake at {window}{whose}");
    }
    if never_stopped {
        text.push_str("; dormouse does not stop a machine");
    } else if !service.waking.stop_foreign {
        text.push_str("; only if dormouse started it (wake.stop_foreign)");
    }
    text
}
