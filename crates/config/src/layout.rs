//! The layout of a file: keys of all services above a table for each service, or the keys of one service.

use std::path::Path;

use super::keys;
use super::report::Report;
use super::tree::{Node, Value};
use super::{Source, UNNAMED};

/// A key and its value.
type Entry = (String, Node);

/// The parts of a file.
pub(super) struct Layout {
    /// The keys of all services, and the tables of the services.
    pub(super) general: Option<Node>,
    /// The keys of one service, which has the name of the file.
    pub(super) service: Option<Node>,
    /// The keys of services that are in the wrong place. The mistakes are reported; the values are read only to report
    /// errors.
    pub(super) misplaced: Vec<Entry>,
}

impl Layout {
    /// Sorts the keys at the top of a file, and reports the first that is in the wrong place. The others follow from it.
    pub(super) fn of(node: Node, source: &Source, report: &mut Report) -> Self {
        let Node { place, value: Value::Table(entries) } = node else {
            return Self { general: Some(node), service: None, misplaced: Vec::new() };
        };
        let table = |entries: Vec<Entry>| Node { place: place.clone(), value: Value::Table(entries) };
        let has_services = entries.iter().any(|(name, _)| name == SERVICES);
        let has_general = entries.iter().any(is_general);
        let has_own = entries.iter().any(is_of_service);
        if source.of_one_service && !has_general && !entries.is_empty() {
            return Self { general: None, service: Some(table(entries)), misplaced: Vec::new() };
        }
        let (mut misplaced, entries): (Vec<_>, Vec<_>) = entries.into_iter().partition(is_whole_service);
        for (name, node) in &misplaced {
            report.misplaced(&node.place, format!("unknown key; write a service as [services.{name}]"), []);
        }
        if !has_own {
            return Self { general: Some(table(entries)), service: None, misplaced };
        }
        // Unknown keys belong to the service, if there is only one.
        let (own, general): (Vec<_>, Vec<_>) = entries
            .into_iter()
            .partition(|entry| is_of_service(entry) || !has_services && !is_general(entry));
        if source.of_one_service && !has_services {
            general_among_own(&general, &source.path, report);
        } else {
            own_among_general(&own, &general, report);
        }
        misplaced.push((UNNAMED.to_owned(), table(own)));
        Self { general: Some(table(general)), service: None, misplaced }
    }
}

const SERVICES: &str = "services";

fn is_general((name, _): &Entry) -> bool {
    keys::TOP.iter().any(|key| key.path == name)
}

fn is_of_service((name, _): &Entry) -> bool {
    keys::SERVICE.iter().any(|key| key.path == name)
}

/// Returns whether an unknown table has the keys of a service.
fn is_whole_service(entry: &Entry) -> bool {
    let Value::Table(entries) = &entry.1.value else { return false };
    !is_general(entry) && !is_of_service(entry) && entries.iter().any(is_of_service)
}

/// Reports keys of all services among those of one.
fn general_among_own(general: &[Entry], path: &Path, report: &mut Report) {
    let Some(((_, first), others)) = general.split_first() else { return };
    let name = path.file_stem().map_or_else(|| UNNAMED.into(), |stem| stem.to_string_lossy());
    let them = if others.is_empty() { "it" } else { "them" };
    let message = format!(
        "applies to all services{}, but this file contains the keys of one; move {them} to dormouse.toml, or write \
         [services.{name}] above the keys of the service",
        as_others(others)
    );
    report.misplaced(&first.place, message, []);
}

/// Reports keys of a service outside of its table.
fn own_among_general(own: &[Entry], general: &[Entry], report: &mut Report) {
    let known: Vec<_> = own.iter().filter(|entry| is_of_service(entry)).cloned().collect();
    let Some(((name, first), others)) = known.split_first() else { return };
    let remedy = match (nearest_service(first, general), &first.value) {
        (None, _) => "write a line such as [services.web] above the keys of the service".to_owned(),
        (Some(service), Value::Table(_)) => format!("write it as [services.{service}.{name}]"),
        (Some(service), _) => format!("write it below the line [services.{service}]"),
    };
    let message = format!("belongs to a service{}; {remedy}", as_others(others));
    report.misplaced(&first.place, message, known.iter().map(|(name, _)| name.clone()));
}

/// Returns the name of the last service above a key, or else of the first one.
fn nearest_service<'a>(node: &Node, general: &'a [Entry]) -> Option<&'a str> {
    let services = general.iter().find(|(name, _)| name == SERVICES);
    let Some((_, Node { value: Value::Table(services), .. })) = services else { return None };
    let above = services.iter().rev().find(|(_, service)| service.place.line() < node.place.line());
    above.or_else(|| services.first()).map(|(name, _)| name.as_str())
}

/// Returns the names of the keys for which the same holds: `, as does http`.
fn as_others(others: &[Entry]) -> String {
    let names: Vec<_> = others.iter().map(|(name, _)| name.as_str()).collect();
    match names.as_slice() {
        [] => String::new(),
        [one] => format!(", as does {one}"),
        several => format!(", as do {}", several.join(", ")),
    }
}
