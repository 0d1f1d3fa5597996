//! `dormouse check`: reports the errors of a configuration, or what it would do.

mod credentials;
mod files;
mod pool;
mod sandbox;

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use dormouse_activate::{ActivatorConfig, ListenerRule, Support, command_line};
use dormouse_config::limit::AtLimit;
use dormouse_config::model::{
    Config, ForeignListener, Listen, Ready, SLOTS, ServerConfig, ServiceConfig, WakeOn,
};
use dormouse_config::proxy_protocol::Sources;
use dormouse_config::{Environment, endpoint};
use dormouse_core::address::Target;
use dormouse_core::getopt::{Arg, OptSpec, Tier};
use dormouse_core::pool::Balance;
use dormouse_core::timespan::TimeSpan;

use super::flags::{self, Definition, Stop};
use super::{ProblemList, out};

/// A flag of `dormouse check`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CheckFlag {
    Config,
    DropIn,
    Polkit,
    Help,
}

/// The flags of `dormouse check`.
pub(crate) const CHECK: &[Definition<CheckFlag>] = &[
    Definition {
        flag: CheckFlag::Config,
        spec: OptSpec { short: None, long: "config", arg: Arg::Required, tier: Tier::Extension },
        value: "FILE",
        help: &[
            "Check this file alone, as the argument FILE does",
            "[default: /etc/dormouse/dormouse.toml and services.d/*.toml beside it]",
        ],
        manual: "Check this file alone, as the argument FILE does; services.d is then not read. \
                 [default: /etc/dormouse/dormouse.toml and services.d/*.toml beside it]",
    },
    Definition {
        flag: CheckFlag::DropIn,
        spec: OptSpec { short: None, long: "drop-in", arg: Arg::No, tier: Tier::Extension },
        value: "",
        help: &["Print the drop-in for dormouse.service with the rights that the configuration needs"],
        manual: "Print the drop-in for the shipped dormouse.service with the rights that the configuration needs beyond \
                 those of the unit, with the reason for each: capabilities, groups, directories, and what started \
                 programs need. What only other units or files can give is described in its comments.",
    },
    Definition {
        flag: CheckFlag::Polkit,
        spec: OptSpec { short: None, long: "polkit", arg: Arg::No, tier: Tier::Extension },
        value: "",
        help: &["Print the rules with which polkit lets dormouse.service control its units"],
        manual: "Print the rules with which polkit(8) lets the user of the shipped dormouse.service start, stop, freeze \
                 and thaw the units of the system's service manager that the configuration names, and no others.",
    },
    flags::for_help(CheckFlag::Help),
];

/// What the command prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Output {
    /// What the configuration does.
    Description,
    /// The drop-in for the shipped unit.
    DropIn,
    /// The rules for polkit.
    Polkit,
}

pub(super) fn run(args: impl Iterator<Item = OsString>) -> ExitCode {
    let mut files = Vec::new();
    let mut output = Output::Description;
    let words = flags::read("dormouse check", CHECK, args, |flag, value| {
        match flag {
            CheckFlag::Config => files.push(PathBuf::from(value)),
            CheckFlag::DropIn => output = Output::DropIn,
            CheckFlag::Polkit => output = Output::Polkit,
            CheckFlag::Help => return Err(Stop::Help),
        }
        Ok(())
    });
    match words {
        Ok(words) => files.extend(words.into_iter().map(PathBuf::from)),
        Err(stop) => return stop.exit(&help()),
    }
    if files.len() > 1 {
        return out::fail("dormouse check takes one file; see dormouse check --help.");
    }
    let file = files.pop();
    let environment = match output {
        Output::Description => Environment::current(),
        // The shipped unit belongs to the system's service manager.
        Output::DropIn | Output::Polkit => Environment::SYSTEM,
    };
    let outcome = dormouse_config::load(file.as_deref(), environment);
    for warning in &outcome.warnings {
        out::complain(format_args!("{warning} (warning)"));
    }
    match outcome.result {
        Ok(config) => {
            let code = match output {
                Output::Description => {
                    out::print(format!("{}{}", describe(&config), dormouse_units::describe(&config)))
                }
                Output::DropIn => out::print_document(dormouse_units::drop_in(&config)),
                Output::Polkit => out::print_document(dormouse_units::polkit(&config)),
            };
            let missing = [files::missing(&config), credentials::missing(&config), sandbox::missing(&config)];
            for warning in missing.into_iter().flatten() {
                out::complain(format_args!("{warning} (warning)"));
            }
            warn_of_quadlets(&config);
            code
        }
        Err(problems) => out::fail(ProblemList(&problems)),
    }
}

fn help() -> String {
    format!(
        "dormouse check [OPTIONS...] [FILE]\n\n\
         Check a configuration and show what it would do: listen, start and stop. Nothing is opened or started, and no\n\
         server is contacted. Without FILE check /etc/dormouse/dormouse.toml and services.d/*.toml beside it.\n\n\
         {}\n\
         See dormouse-check(8), dormouse.toml(5).\n",
        flags::help(CHECK)
    )
}

/// Describes what would be opened, started and stopped.
fn describe(config: &Config) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    if let Some(control) = config.admin.control.listen() {
        let _ = writeln!(text, "takes commands on {}", listen_on(&control));
    }
    if let Some(http) = config.admin.http {
        let _ = writeln!(text, "serves the page and the metrics on http://{http}/");
    }
    for service in &config.services {
        let _ = writeln!(text, "service {}", service.name);
        for (what, how) in lines(service) {
            let _ = writeln!(text, "  {what:12} {how}");
        }
    }
    text
}

fn lines(service: &ServiceConfig) -> Vec<(&'static str, String)> {
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
    lines.push(("ready when", format!("{}{settle}; within {start}", readiness(service))));
    lines.extend(listener(service).map(|listener| ("listener", listener)));
    lines.push(("sleeps", sleep(service)));
    if let Some(group) = &service.exclusive {
        lines.push(("runs alone", format!("in the group {group}")));
    }
    if let Balance::First { soft: Some(soft) } = service.balance {
        lines.push(("grows", format!("by the next server when each that runs has {soft} sessions")));
    }
    lines
}

/// Describes whose listener the clients reach. `None` for workloads whose processes dormouse does not know.
fn listener(service: &ServiceConfig) -> Option<String> {
    if service.waking.foreign_listener == ForeignListener::Allow {
        return Some("that of any program (wake.foreign_listener)".to_owned());
    }
    let rule = |server: &ServerConfig| server.wake.as_ref().map(|wake| wake.properties().listener);
    if service.servers.iter().any(|server| rule(server) == Some(ListenerRule::OwnBeforeStart)) {
        return Some(
            "one from before the start must belong to the workload, its manager or its engine".to_owned(),
        );
    }
    let own = service.servers.iter().find(|server| rule(server) == Some(ListenerRule::Own))?;
    let note = match &own.to {
        Target::Tcp { .. } => {
            "; while it sleeps any user may listen at its address, so prefer a UNIX socket in a private directory"
        }
        _ => "",
    };
    Some(format!("that of the started process alone{note}"))
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

fn sleep(service: &ServiceConfig) -> String {
    let idle = &service.idle;
    let after =
        |verb: &str, span: Option<Duration>| Some(format!("{verb} after {}", TimeSpan::Finite(span?)));
    let mut activators = service.servers.iter().filter_map(|server| server.wake.as_ref());
    let never_stopped = activators.all(|wake| matches!(wake.properties().stop, Support::Never(_)));
    let stopped = if never_stopped { "counts as asleep" } else { "stopped" };
    let steps: Vec<_> =
        [after("frozen", idle.freeze), after(stopped, idle.stop)].into_iter().flatten().collect();
    if steps.is_empty() {
        return "never".to_owned();
    }
    let mut text = format!("{} without a session", steps.join(", "));
    if let Some(quiet) = idle.quiet {
        let _ = write!(text, " that moved a byte in the last {}", TimeSpan::Finite(quiet));
    }
    if !idle.minimum_uptime.is_zero() {
        let _ = write!(text, ", not before it has run for {}", TimeSpan::Finite(idle.minimum_uptime));
    }
    for window in &idle.keep_warm {
        let _ = write!(text, ", awake at {window}");
    }
    if never_stopped {
        text.push_str("; dormouse does not stop a machine");
    } else if !service.waking.stop_foreign {
        text.push_str("; only if dormouse started it (wake.stop_foreign)");
    }
    text
}

/// Warns of containers that a Quadlet unit creates: starting the unit is better.
fn warn_of_quadlets(config: &Config) {
    let servers = config.services.iter().flat_map(|service| {
        let name = &service.name;
        service.servers.iter().filter_map(move |server| Some((name, server.wake.as_ref()?)))
    });
    for (service, workload) in servers {
        if let Some(unit) = unit_of(workload) {
            out::complain(format_args!(
                "services.{service}: {workload} belongs to the Quadlet {unit}: use wake = {{ unit = \"{unit}\" }} (warning)"
            ));
        }
    }
}

/// Asks the container engine for the Quadlet unit of a container.
fn unit_of(workload: &ActivatorConfig) -> Option<String> {
    const TIMEOUT: Duration = Duration::from_secs(10);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let unit = runtime.block_on(async { tokio::time::timeout(TIMEOUT, workload.owning_unit()).await });
    runtime.shutdown_background();
    unit.ok().flatten()
}
