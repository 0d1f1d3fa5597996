//! Services that lead to the same workload: it has one owner, so the settings of its start and stop must agree.

use std::collections::HashMap;

use dormouse_activate::{ActivatorConfig, WorkloadId};

use super::model::ServiceConfig;
use super::report::{Place, Report};

/// A setting that all services of a workload have in common.
struct Agreed {
    /// The full name of the key in a service.
    key: &'static str,
    is_equal: fn(&ServiceConfig, &ServiceConfig) -> bool,
}

const AGREED: [Agreed; 6] = [
    Agreed { key: "ready", is_equal: |one, other| one.ready == other.ready },
    Agreed { key: "settle", is_equal: |one, other| one.settle == other.settle },
    Agreed { key: "exclusive", is_equal: |one, other| one.exclusive == other.exclusive },
    Agreed {
        key: "wake.start_timeout",
        is_equal: |one, other| one.waking.start_timeout == other.waking.start_timeout,
    },
    Agreed {
        key: "wake.stop_timeout",
        is_equal: |one, other| one.waking.stop_timeout == other.waking.stop_timeout,
    },
    Agreed {
        key: "wake.stop_foreign",
        is_equal: |one, other| one.waking.stop_foreign == other.waking.stop_foreign,
    },
];

/// The places of the settings that services of one workload have in common, in the order of the table; `None`: the
/// default applies.
#[derive(Debug, Clone)]
pub(super) struct AgreedPlaces(Vec<Option<Place>>);

impl AgreedPlaces {
    /// Finds the places. `place`: returns the place of a key of the service.
    pub(super) fn find(place: impl Fn(&str) -> Option<Place>) -> Self {
        Self(AGREED.iter().map(|agreed| place(agreed.key)).collect())
    }
}

/// A service with its places.
#[derive(Debug, Clone, Copy)]
pub(super) struct PlacedService<'a> {
    pub(super) config: &'a ServiceConfig,
    pub(super) place: &'a Place,
    pub(super) agreed: &'a AgreedPlaces,
}

/// Reports each setting in which two services of the same workload differ.
pub(super) fn agree<'a>(services: impl Iterator<Item = PlacedService<'a>>, report: &mut Report) {
    let mut first_of: HashMap<WorkloadId, PlacedService<'_>> = HashMap::new();
    let mut containers: HashMap<&str, (PlacedService<'_>, &ActivatorConfig)> = HashMap::new();
    for service in services {
        for wake in service.config.servers.iter().filter_map(|server| server.wake.as_ref()) {
            if let ActivatorConfig::Container(container) = wake {
                let (first, other) = *containers.entry(&container.name).or_insert((service, wake));
                warn_of_engines((first, other), (service, wake), report);
            }
            let first = *first_of.entry(wake.workload()).or_insert(service);
            if first.config.name != service.config.name {
                report_differences(first, service, &wake.to_string(), report);
            }
        }
    }
}

/// Warns of two services with the same container of which only one names the engine: it may be the same engine.
fn warn_of_engines(
    (first, one): (PlacedService<'_>, &ActivatorConfig),
    (second, other): (PlacedService<'_>, &ActivatorConfig),
    report: &mut Report,
) {
    let names_engine =
        |wake: &ActivatorConfig| matches!(wake, ActivatorConfig::Container(one) if one.engine.is_some());
    if names_engine(one) != names_engine(other) && one.workload() != other.workload() {
        let (name, place, key) = (&first.config.name, first.place, second.place.call("wake.engine"));
        let message = format!(
            "{name} ({place}) has a {other}, too, and only one of them names its engine, so each is woken and stopped by \
             itself; set {key} in both, to the same value if it is one container"
        );
        report.warning(second.place, message);
    }
}

fn report_differences(
    first: PlacedService<'_>,
    second: PlacedService<'_>,
    workload: &str,
    report: &mut Report,
) {
    for (index, Agreed { key, is_equal }) in AGREED.iter().enumerate() {
        if is_equal(first.config, second.config) {
            continue;
        }
        let place = |service: PlacedService<'_>| service.agreed.0.get(index).cloned().flatten();
        let (at, other, name) = match (place(second), place(first)) {
            (Some(at), Some(other)) => (at, other, &first.config.name),
            (Some(at), None) => (at, first.place.clone(), &first.config.name),
            (None, Some(at)) => (at, second.place.clone(), &second.config.name),
            // A difference has a cause.
            (None, None) => (second.place.clone(), first.place.clone(), &first.config.name),
        };
        let message = format!(
            "differs from {key} of {name} ({other}), but both have the same workload, {workload}; set both to the same value"
        );
        report.error(&at, message);
    }
}
