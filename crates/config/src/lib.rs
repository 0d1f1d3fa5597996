//! The configuration of dormouse: its model, its reader, and the table of its keys.
//!
//! Files and flags become the same tree of values with their places, and one reader reads both. The reader continues
//! after an error, so that it reports all errors at once.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

mod admin;
mod credentials;
mod defaults;
pub mod endpoint;
mod environment;
mod files;
pub mod keys;
mod layout;
pub mod limit;
pub mod listen_options;
mod listen_parse;
pub mod model;
mod own_users;
pub mod places;
mod pool;
mod proxy_headers;
pub mod proxy_protocol;
mod quote;
pub mod report;
mod sandbox;
mod servers;
mod service;
pub mod shell;
pub mod socket_index;
mod sockets;
pub mod spelling;
pub mod suggest;
pub mod synonyms;
mod syntax;
mod tables;
#[cfg(test)]
mod tests;
pub mod tree;
mod value;
mod wake;
pub mod width;
mod workloads;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dormouse_core::timespan::TimeSpan;
use dormouse_log::Level;

use admin::AdminDraft;
pub use environment::{Environment, ProgramUser};
pub use files::{DEFAULT, load, paths};
use layout::Layout;
use model::{AdminConfig, Config};
use places::Places;
pub use report::Problem;
use report::{Place, Report};
use service::Draft;
use sockets::RequestedSocket;
use suggest::nearest_choice;
use tree::{Node, Parsed, Value};
use value::{Field, Section};
use workloads::PlacedService;

/// The text of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The path of the file, for messages.
    pub path: PathBuf,
    /// The contents of the file.
    pub text: String,
    /// Whether the file may consist of the keys of one service, which gets the name of the file.
    pub of_one_service: bool,
}

/// The result of reading a configuration.
#[derive(Debug)]
pub struct ReadResult {
    /// The configuration, or all errors, of which there is at least one.
    pub result: Result<Config, Vec<Problem>>,
    /// Problems that do not prevent a start.
    pub warnings: Vec<Problem>,
    /// The places of the settings.
    pub places: Places,
}

/// Reads files, which together are one configuration.
pub fn read(sources: &[Source], environment: Environment) -> ReadResult {
    read_into(Report::default(), sources, environment)
}

/// Reads files; the report has the problems of files that cannot be read.
fn read_into(mut report: Report, sources: &[Source], environment: Environment) -> ReadResult {
    let mut builder = Builder::default();
    for source in sources {
        builder.read_file(source, environment, &mut report);
    }
    builder.finish(sources.first().map(|source| Place::file(&source.path)), report)
}

/// Reads the configuration of one service from flags; `service` contains its keys.
pub fn read_flags(
    name: &str,
    service: &Node,
    general: Vec<(String, Node)>,
    environment: Environment,
    mut report: Report,
) -> ReadResult {
    let mut builder = Builder::default();
    let general = Node { place: service.place.clone(), value: Value::Table(general) };
    let understood = report.errors.is_empty();
    builder.general(&general, &mut report);
    builder.service(name, service, environment, &mut report);
    // A flag that was not understood may be the one that is missing.
    for problems in [&mut report.errors, &mut report.warnings] {
        problems.retain(|problem| understood || problem.absent.is_none());
    }
    builder.finish(None, report)
}

/// The settings from flags that override those of a file.
pub struct Overrides(Builder);

impl Overrides {
    /// Reads the settings, and reports their errors.
    pub fn read(general: Vec<(String, Node)>, report: &mut Report) -> Self {
        let mut builder = Builder::default();
        builder.general(&Node { place: Place::flag(""), value: Value::Table(general) }, report);
        Self(builder)
    }

    /// Replaces the settings of the file.
    pub fn apply(self, config: &mut Config, report: &mut Report) {
        let Self(builder) = self;
        let services = config.services.iter().enumerate().flat_map(RequestedSocket::by_service_of_a_file);
        sockets::differ(&services.chain(builder.admin.wanted()).collect::<Vec<_>>(), report);
        config.log_level = builder.log_level.map(|(level, _)| level).or(config.log_level);
        config.restrict_self = builder.restrict_self.map_or(config.restrict_self, |(on, _)| on);
        config.drain_timeout = builder.drain_timeout.map(|(span, _)| span).or(config.drain_timeout);
        builder.admin.apply(&mut config.admin);
    }
}

/// The part of the configuration that has been read.
#[derive(Default)]
struct Builder {
    log_level: Option<(Level, Place)>,
    drain_timeout: Option<(TimeSpan, Place)>,
    restrict_self: Option<(bool, Place)>,
    admin: AdminDraft,
    services: Vec<Draft>,
    /// The place of the first service of each name.
    names: BTreeMap<String, Place>,
    places: Places,
}

impl Builder {
    fn read_file(&mut self, source: &Source, environment: Environment, report: &mut Report) {
        let Parsed { node, broken } = tree::parse(&source.path, &source.text, report);
        let Some(node) = node else { return };
        let mut inner = Report::beside(broken);
        let Layout { general, service, misplaced } = Layout::of(node, source, &mut inner);
        if let Some(general) = general {
            self.general(&general, &mut inner);
            self.services(&general, source, environment, &mut inner);
        }
        if let Some(service) = service {
            let name = source.path.file_stem().unwrap_or_default().to_string_lossy();
            self.service(&name, &service, environment, &mut inner);
        }
        for (name, service) in misplaced {
            let mut part = inner.part();
            service::read(&name, &service, environment, &mut part);
            // What is missing may be in the table of the service.
            part.errors.retain(|problem| problem.absent.is_none());
            inner.append(part);
        }
        report.append(inner);
    }

    /// Reads the keys at the top of a file.
    fn general(&mut self, node: &Node, report: &mut Report) {
        let Some(section) = Section::open(node, "", keys::TOP, report) else { return };
        if let Some(field) = section.get("log_level") {
            let level = field.parsed(report, |text| Level::parse(text).ok_or_else(|| no_level(text)));
            once(&mut self.log_level, level, &field, report);
        }
        if let Some(field) = section.get("drain_timeout") {
            let span = field.span(report);
            once(&mut self.drain_timeout, span, &field, report);
        }
        if let Some(field) = section.get("restrict_self") {
            let on = field.switch(report);
            once(&mut self.restrict_self, on, &field, report);
        }
        self.admin.read(&section, report);
        self.places.add_general(node);
    }

    fn services(&mut self, node: &Node, source: &Source, environment: Environment, report: &mut Report) {
        let Value::Table(entries) = &node.value else { return };
        for (_, services) in entries.iter().filter(|(name, _)| name == "services") {
            let Value::Table(services) = &services.value else {
                let found = services.value.kind();
                report.error(
                    &services.place,
                    format!("takes a table for each service, not {found}; write [services.web]"),
                );
                continue;
            };
            for (name, service) in services {
                self.service(name, service, environment, report);
            }
        }
        if entries.is_empty() && source.of_one_service {
            report.warning(&node.place, "is empty; add the keys of a service, or remove the file");
        }
    }

    fn service(&mut self, name: &str, node: &Node, environment: Environment, report: &mut Report) {
        if let Some(other) = self.names.get(name) {
            report.error(
                &node.place,
                format!("the name {name} is already used ({other}); choose another name"),
            );
        }
        let mut part = report.part();
        if let Some(draft) = service::read(name, node, environment, &mut part) {
            self.names.entry(name.to_owned()).or_insert_with(|| draft.place.clone());
            self.places.add_service(name, node, &draft.listen);
            self.services.push(draft);
        }
        report.append(part);
    }

    /// Checks all services together, and returns the configuration.
    fn finish(self, place: Option<Place>, mut report: Report) -> ReadResult {
        if self.services.is_empty() && report.errors.is_empty() {
            let place = place.unwrap_or_else(|| Place::flag(""));
            report.absence(
                "services",
                &place,
                "no service is configured; add for example [services.web] with listen and to",
            );
        }
        let services = self.services.iter().enumerate().flat_map(RequestedSocket::by_service);
        sockets::differ(&services.chain(self.admin.wanted()).collect::<Vec<_>>(), &mut report);
        own_users::differ(&self.services, &mut report);
        self.groups_have_members(&mut report);
        let services = self.services.iter().map(|draft| PlacedService {
            config: &draft.config,
            place: &draft.place,
            agreed: &draft.agreed,
        });
        workloads::agree(services, &mut report);
        let mut admin = AdminConfig::default();
        self.admin.apply(&mut admin);
        let Report { errors, warnings, .. } = report;
        let config = Config {
            log_level: self.log_level.map(|(level, _)| level),
            drain_timeout: self.drain_timeout.map(|(span, _)| span),
            restrict_self: self.restrict_self.map_or(defaults::RESTRICT_SELF.value, |(on, _)| on),
            admin,
            services: self.services.into_iter().map(|draft| draft.config).collect(),
        };
        ReadResult {
            result: if errors.is_empty() { Ok(config) } else { Err(errors.in_order("errors")) },
            warnings: warnings.in_order("warnings"),
            places: self.places,
        }
    }

    fn groups_have_members(&self, report: &mut Report) {
        let mut groups: BTreeMap<&str, Vec<&Draft>> = BTreeMap::new();
        for draft in &self.services {
            if let Some(group) = &draft.config.exclusive {
                groups.entry(group).or_default().push(draft);
            }
        }
        for (group, members) in groups {
            if let [Draft { exclusive: Some(place), .. }] = members.as_slice() {
                report.warning(
                    place,
                    format!(
                        "the group {group} has no other member; check its spelling, or remove this setting"
                    ),
                );
            }
        }
    }
}

/// Keeps the first value, and reports a second one.
fn once<T>(kept: &mut Option<(T, Place)>, value: Option<T>, field: &Field<'_>, report: &mut Report) {
    match kept {
        Some((_, place)) => {
            report.error(field.place(), format!("is also set in {place}; keep only one"));
        }
        None => *kept = value.map(|value| (value, field.place().clone())),
    }
}

/// Returns why a text is no log level.
fn no_level(text: &str) -> String {
    match nearest_choice(text, ["err", "warning", "notice", "info", "debug"]) {
        Some(meant) => format!("not a log level; did you mean {meant}?"),
        None => "not a log level; write err, warning, notice, info or debug".to_owned(),
    }
}

/// The name of the service that flags configure.
pub const UNNAMED: &str = "main";

/// Returns a source that is the only file of its configuration.
#[doc(hidden)]
pub fn single(path: &Path, text: &str) -> Source {
    Source { path: path.to_owned(), text: text.to_owned(), of_one_service: false }
}
