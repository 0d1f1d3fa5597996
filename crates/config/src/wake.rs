//! The table `wake`: the workload, and which clients may start it.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use dormouse_activate::command::Commands;
use dormouse_activate::container::Container;
use dormouse_activate::exec::{Account, AccountError, Exec, Sandbox};
use dormouse_activate::unit::{Manager, Unit};
use dormouse_activate::wol::{Machine, parse_mac};
use dormouse_activate::{ActivatorConfig, Kind};

use super::model::{ForeignListener, WakeOn, Waking};
use super::report::Report;
use super::tree::Value;
use super::value::{Field, Section};
use super::{Environment, ProgramUser, sandbox};

/// The keys that apply to all servers of a service.
const WAKING: [&str; 6] =
    ["on", "allow", "stop_foreign", "foreign_listener", "start_timeout", "stop_timeout"];

/// Reads the workload. Returns `None` without one, or after an error.
pub(super) fn wake(
    section: &Section<'_>,
    environment: Environment,
    report: &mut Report,
) -> Option<ActivatorConfig> {
    let kinds: Vec<_> = Kind::ALL
        .iter()
        .filter_map(|kind| section.get(kind.properties().key).map(|field| (*kind, field)))
        .collect();
    let call = |field: &Field<'_>| field.place().call(field.key.path);
    if let [(_, first), others @ ..] = kinds.as_slice() {
        for (_, other) in others {
            let message = format!("conflicts with {}; keep only one", call(first));
            report.error(other.place(), message);
        }
    }
    for (key, option) in options() {
        if let (Some(field), None) = (section.get(option), section.get(key)) {
            let owner = format!("wake.{key}");
            let message = format!("requires {}; add it, or remove this setting", field.place().call(&owner));
            report.absence(&owner, field.place(), message);
        }
    }
    let (kind, field) = kinds.first()?;
    match kind {
        Kind::Unit => unit(field, section, environment, report).map(ActivatorConfig::Unit),
        Kind::Container => container(field, section, report).map(ActivatorConfig::Container),
        Kind::Exec => exec(field, section, environment, report).map(ActivatorConfig::Exec),
        Kind::Command => commands(field, section, report).map(ActivatorConfig::Command),
        Kind::WakeOnLan => machine(field, section, report).map(ActivatorConfig::WakeOnLan),
    }
}

/// Returns the keys that select a kind of activator.
pub(super) fn keys() -> impl Iterator<Item = &'static str> {
    Kind::ALL.iter().map(|kind| kind.properties().key)
}

/// Returns the further keys of the kinds, each after the key that selects its kind.
fn options() -> impl Iterator<Item = (&'static str, &'static str)> {
    Kind::ALL
        .iter()
        .map(|kind| kind.properties())
        .flat_map(|properties| properties.options.iter().map(move |option| (properties.key, *option)))
}

/// Returns whether a key selects a kind of activator, or belongs to one.
pub(super) fn is_kind(name: &str) -> bool {
    keys().any(|key| key == name) || options().any(|(_, option)| option == name)
}

/// Reports the keys that belong in the other table: that of the service, or that of a server.
pub(super) fn belongs_elsewhere(section: &Section<'_>, in_server: bool, report: &mut Report) {
    let (names, advice): (Vec<&str>, _) = if in_server {
        (WAKING.to_vec(), "applies to all servers; set it in the wake table of the service")
    } else {
        (
            keys().chain(options().map(|(_, option)| option)).collect(),
            "applies to one server; set it in the wake table of its servers entry",
        )
    };
    for field in names.into_iter().filter_map(|name| section.get(name)) {
        report.error(field.place(), advice);
    }
}

/// Reads which clients may start the workload, and how long starts and stops may take.
pub(super) fn waking(section: Option<&Section<'_>>, report: &mut Report) -> Waking {
    let get = |name| section.and_then(|section| section.get(name));
    let on = get("on")
        .and_then(|field| field.choice(&[("connect", WakeOn::Connect), ("data", WakeOn::Data)], report));
    let allow = get("allow").map(|field| field.several(report, str::parse));
    let stop_foreign = get("stop_foreign").and_then(|field| field.switch(report));
    let foreign_listener = get("foreign_listener").and_then(|field| {
        field.choice(&[("refuse", ForeignListener::Refuse), ("allow", ForeignListener::Allow)], report)
    });
    let start_timeout = get("start_timeout").and_then(|field| {
        let span = field.duration(report)?;
        if span.is_zero() {
            report.error(field.place(), "must be greater than zero, for example 120s");
        }
        Some(span)
    });
    let stop_timeout = get("stop_timeout").and_then(|field| field.duration(report));
    let defaults = Waking::default();
    Waking {
        on: on.unwrap_or(defaults.on),
        allow,
        stop_foreign: stop_foreign.unwrap_or(defaults.stop_foreign),
        foreign_listener: foreign_listener.unwrap_or(defaults.foreign_listener),
        start_timeout: start_timeout.unwrap_or(defaults.start_timeout),
        stop_timeout: stop_timeout.unwrap_or(defaults.stop_timeout),
    }
}

fn unit(
    field: &Field<'_>,
    section: &Section<'_>,
    environment: Environment,
    report: &mut Report,
) -> Option<Unit> {
    let managers = [("system", Manager::System), ("user", Manager::User)];
    let manager = section.get("manager").and_then(|field| field.choice(&managers, report));
    let default = if environment.system_units { Manager::System } else { Manager::User };
    let name = field.parsed(report, unit_name)?;
    Some(Unit { name, manager: manager.unwrap_or(default) })
}

/// Checks the name of a unit as systemd does, and adds the suffix.
fn unit_name(text: &str) -> Result<String, String> {
    const TYPES: [&str; 11] = [
        "service",
        "socket",
        "target",
        "path",
        "timer",
        "mount",
        "automount",
        "swap",
        "slice",
        "scope",
        "device",
    ];
    // systemd creates these by itself.
    const NOT_STARTED: [&str; 2] = ["scope", "device"];
    let suffix = text.rsplit_once('.').map(|(_, suffix)| suffix).filter(|suffix| TYPES.contains(suffix));
    let name = if suffix.is_some() { text.to_owned() } else { format!("{text}.service") };
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte);
    let stem = name.rsplit_once('.').map_or("", |(stem, _)| stem);
    if stem.is_empty() || stem.starts_with('@') || name.len() > 255 || !text.bytes().all(allowed) {
        return Err("not the name of a unit; write it as systemctl shows it".to_owned());
    }
    if let Some(template) = stem.strip_suffix('@') {
        return Err(format!("a template; name an instance, {template}@NAME.{}", suffix.unwrap_or("service")));
    }
    match suffix.filter(|suffix| NOT_STARTED.contains(suffix)) {
        Some(suffix) => Err(format!("a {suffix} unit cannot be started; name a service")),
        None => Ok(name),
    }
}

fn container(field: &Field<'_>, section: &Section<'_>, report: &mut Report) -> Option<Container> {
    let engine = section.get("engine").and_then(|field| field.parsed(report, engine));
    let name = field.parsed(report, |text| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        let begins = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        if begins && text.bytes().all(allowed) {
            Ok(text.to_owned())
        } else {
            Err("not the name of a container; write it as podman ps shows it")
        }
    })?;
    Some(Container { name, engine, healthy: false })
}

/// Parses the path of the socket of a container engine, also in the form of `DOCKER_HOST`.
fn engine(text: &str) -> Result<PathBuf, &'static str> {
    super::value::absolute_path(text.strip_prefix("unix://").unwrap_or(text))
}

fn exec(
    field: &Field<'_>,
    section: &Section<'_>,
    environment: Environment,
    report: &mut Report,
) -> Option<Exec> {
    let variables = section.get("environment").map(|field| variables(&field, report)).unwrap_or_default();
    let directory = section.get("directory").and_then(|field| field.absolute_path(report));
    let user = section.get("user");
    let sandbox = sandbox::read(section, directory.as_deref(), report);
    if user.is_none() && sandbox == Some(Sandbox::None) {
        warn_of_root(field, environment.programs, report);
    }
    let account = account(user, section.get("group"), report);
    let argv = field.command(report)?;
    warn_of_engine(field, &argv, report);
    Some(Exec {
        argv,
        environment: variables,
        directory,
        user: account,
        sandbox: sandbox.unwrap_or_default(),
        notify: false,
    })
}

/// Warns of a program that runs as root because no user is configured.
fn warn_of_root(field: &Field<'_>, programs: ProgramUser, report: &mut Report) {
    let runs = match programs {
        ProgramUser::Root => "runs as root, because dormouse does",
        ProgramUser::PerhapsRoot => "runs as root where dormouse runs as root (not under the shipped unit)",
        ProgramUser::Other => return,
    };
    let key = field.place().call("wake.user");
    let strict = field.place().write("wake.sandbox", "\"strict\"");
    let message = format!(
        "{runs}; set {key} to another user, or to root if the program needs root, or write {strict} for a user of its own"
    );
    report.absence_warning("wake.user", field.place(), message);
}

/// Warns of a client of a container engine: the container is a process of the engine, not of the program.
fn warn_of_engine(field: &Field<'_>, argv: &[OsString], report: &mut Report) {
    let mut words = argv.iter().map(|word| word.to_string_lossy());
    let program = words.next().unwrap_or_default();
    let engine = program.rsplit('/').next().unwrap_or_default();
    if !["docker", "podman"].contains(&engine) {
        return;
    }
    // Options stand before the command.
    let command = words.find(|word| !word.starts_with('-'));
    let Some(command @ ("run" | "start")) = command.as_deref() else { return };
    let container = field.place().write("wake.container", "\"NAME\"");
    let message = format!(
        "{engine} {command} has {engine} run the container, so its server is not a process of this program, and may go on \
         when dormouse stops the program; create the container ({engine} create), and write {container} instead"
    );
    report.warning(field.place(), message);
}

/// Reads the user and the group of a program.
fn account(user: Option<Field<'_>>, group: Option<Field<'_>>, report: &mut Report) -> Option<Account> {
    let group_name = group.and_then(|field| field.text(report));
    let Some(user) = user else {
        if let Some(group) = group {
            let key = group.place().call("wake.user");
            report.error(group.place(), format!("requires {key}; add it, or remove this setting"));
        }
        return None;
    };
    user.parsed(report, |name| {
        Account::find(name, group_name).map_err(|error| match error {
            AccountError::GroupNeeded => {
                let setting = user.place().write("wake.group", &format!("\"{name}\""));
                format!("no user has this number, so its group is not known; set the group too, for example {setting}")
            }
            error => error.to_string(),
        })
    })
}

fn variables(field: &Field<'_>, report: &mut Report) -> Vec<(OsString, OsString)> {
    let Value::Table(entries) = &field.node.value else {
        field.wrong_kind(report);
        return Vec::new();
    };
    let mut variables = Vec::new();
    for (name, node) in entries {
        if name.is_empty() || name.contains(['=', '\0']) {
            report.error(&node.place, "not the name of a variable; it must not be empty or contain '='");
        }
        match &node.value {
            Value::Text(text) if text.contains('\0') => {
                report.error(&node.place, "contains a zero byte, which cannot be passed to a program");
            }
            Value::Text(text) => variables.push((name.into(), text.into())),
            other => {
                let message = format!("takes a string, not {}; for example {name} = \"1\"", other.kind());
                report.error(&node.place, message);
            }
        }
    }
    variables
}

fn commands(field: &Field<'_>, section: &Section<'_>, report: &mut Report) -> Option<Commands> {
    let mut read = |name| section.get(name).and_then(|field| field.command(report));
    let (stop, freeze, thaw, status) = (read("stop"), read("freeze"), read("thaw"), read("status"));
    for (one, other) in [("freeze", "thaw"), ("thaw", "freeze")] {
        if let (Some(field), None) = (section.get(one), section.get(other)) {
            let missing = format!("wake.{other}");
            let message =
                format!("requires {}; add it, or remove this setting", field.place().call(&missing));
            report.absence(&missing, field.place(), message);
        }
    }
    Some(Commands { start: field.command(report)?, stop, freeze, thaw, status })
}

fn machine(field: &Field<'_>, section: &Section<'_>, report: &mut Report) -> Option<Machine> {
    let broadcast = section.get("broadcast").and_then(|field| {
        field.parsed(report, |text| {
            let with_port = text.parse::<SocketAddr>().ok();
            let alone = text.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, DISCARD));
            with_port
                .or(alone)
                .ok_or("not an IP address with or without a port; write for example 192.168.1.255:9")
        })
    });
    let default = SocketAddr::new(Ipv4Addr::BROADCAST.into(), DISCARD);
    let mac = field.parsed(report, |text| {
        parse_mac(text).ok_or("not a hardware address; write for example aa:bb:cc:dd:ee:ff")
    })?;
    Some(Machine { mac, broadcast: broadcast.unwrap_or(default) })
}

/// The discard port, the usual port of Wake-on-LAN.
const DISCARD: u16 = 9;
