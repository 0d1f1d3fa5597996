//! What a new configuration changes: what is kept, moved, opened and closed. No I/O.

use dormouse_config::model::{Config, Listen, ServiceConfig};

/// The way from one configuration to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    /// A step for each service of the new configuration, in its order.
    pub(super) steps: Vec<Step>,
    /// The old services that are in the new configuration no more.
    pub(super) gone: Vec<usize>,
}

/// What becomes of a service. Numbers are places in the old configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// It stays as it is; nothing of it is touched.
    Keep(usize),
    /// It is set up: anew, or in the place of an old one, which ends.
    SetUp {
        /// The old one of its name.
        before: Option<usize>,
        /// For each of its listeners, in their order.
        listeners: Vec<Origin>,
    },
}

/// Where a listener comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// It is open already, for this service as this listener of it, and moves over.
    Moved {
        /// The old service.
        service: usize,
        /// Its listener.
        listener: usize,
    },
    /// It is opened.
    Opened,
    /// It is opened when those that nobody wants any more have been closed: one of them takes its place.
    OpenedAfter,
}

impl Plan {
    /// Whether this listener of the old configuration stays open, wherever it moves to.
    pub(super) fn keeps(&self, service: usize, listener: usize) -> bool {
        self.steps.iter().any(|step| match step {
            Step::Keep(number) => *number == service,
            Step::SetUp { listeners, .. } => listeners.contains(&Origin::Moved { service, listener }),
        })
    }
}

/// Plans the way. `beside`: what else was open and is closed.
pub(super) fn plan(old: &Config, new: &Config, beside: &[Listen]) -> Plan {
    let before = |service: &ServiceConfig| old.services.iter().position(|other| other.name == service.name);
    let kept: Vec<Option<usize>> = new
        .services
        .iter()
        .map(|service| before(service).filter(|place| old.services.get(*place) == Some(service)))
        .collect();
    // Listeners of services that stay as they are are not to be had.
    let mut free: Vec<(usize, usize, &Listen)> = Vec::new();
    for (number, service) in
        old.services.iter().enumerate().filter(|(number, _)| !kept.contains(&Some(*number)))
    {
        free.extend(service.listen.iter().enumerate().map(|(listener, listen)| (number, listener, listen)));
    }
    let mut moved: Vec<Vec<Option<(usize, usize)>>> =
        new.services.iter().map(|service| vec![None; service.listen.len()]).collect();
    // First a service's own, then those of others: of two that ask the kernel for a port each keeps its own.
    for own in [true, false] {
        for ((service, places), kept) in new.services.iter().zip(&mut moved).zip(&kept) {
            if kept.is_some() {
                continue;
            }
            let before = before(service);
            for (listen, place) in service.listen.iter().zip(places).filter(|(_, place)| place.is_none()) {
                let fits = |(number, _, other): &(usize, usize, &Listen)| {
                    let whose = if own { Some(*number) == before } else { !listen.is_any_port() };
                    whose && other.is_same_socket(listen)
                };
                if let Some(found) = free.iter().position(fits) {
                    let (number, listener, _) = free.swap_remove(found);
                    *place = Some((number, listener));
                }
            }
        }
    }
    let origin = |listen: &Listen, place: Option<(usize, usize)>| match place {
        Some((service, listener)) => Origin::Moved { service, listener },
        None if free
            .iter()
            .map(|(_, _, other)| *other)
            .chain(beside)
            .any(|other| other.is_in_the_way_of(listen)) =>
        {
            Origin::OpenedAfter
        }
        None => Origin::Opened,
    };
    let steps = new.services.iter().zip(moved).zip(&kept).map(|((service, places), kept)| {
        if let Some(number) = kept {
            return Step::Keep(*number);
        }
        let listeners = service.listen.iter().zip(places).map(|(listen, place)| origin(listen, place));
        Step::SetUp { before: before(service), listeners: listeners.collect() }
    });
    let steps = steps.collect();
    let stays = |service: &ServiceConfig| new.services.iter().any(|other| other.name == service.name);
    let gone =
        old.services.iter().enumerate().filter(|(_, service)| !stays(service)).map(|(number, _)| number);
    Plan { steps, gone: gone.collect() }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::fmt::Write as _;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use dormouse_config::{self, Environment};

    /// Addresses of which some take the place of others.
    const ADDRESSES: [&str; 9] = [
        "127.0.0.1:80",
        "127.0.0.2:80",
        "[::]:80",
        "0.0.0.0:80",
        "127.0.0.1:0",
        "/run/a",
        "/run/a?mode=0600",
        "@a",
        "fd:a",
    ];

    fn parse(services: &BTreeMap<u8, (Vec<usize>, u8)>) -> Option<Config> {
        let mut text = String::new();
        for (name, (addresses, maxconn)) in services {
            let listen: Vec<_> =
                addresses.iter().map(|address| format!("{:?}", ADDRESSES[*address])).collect();
            let _ = write!(
                text,
                "[services.s{name}]\nlisten = [{}]\nto = '127.0.0.1:9'\nmaxconn = {maxconn}\n",
                listen.join(", ")
            );
        }
        dormouse_config::read(&[dormouse_config::single("x".as_ref(), &text)], Environment { root: true })
            .result
            .ok()
    }

    /// Configurations as they can be: what clashes is none.
    fn configuration() -> impl Strategy<Value = Config> {
        let service = (vec(0..ADDRESSES.len(), 1..3), 1..3u8);
        let services = proptest::collection::btree_map(0..4u8, service, 1..4);
        services.prop_filter_map("clashes", |services| parse(&services))
    }

    fn listen(config: &Config, service: usize, listener: usize) -> &Listen {
        &config.services[service].listen[listener]
    }

    proptest! {
        #[test]
        fn what_is_the_same_is_not_touched(config in configuration()) {
            let plan = plan(&config, &config, &[]);
            let all: Vec<_> = (0..config.services.len()).map(Step::Keep).collect();
            prop_assert_eq!(plan, Plan { steps: all, gone: Vec::new() });
        }

        #[test]
        fn services_are_kept_if_and_only_if_they_are_equal(old in configuration(), new in configuration()) {
            let plan = plan(&old, &new, &[]);
            prop_assert_eq!(plan.steps.len(), new.services.len());
            for (step, service) in plan.steps.iter().zip(&new.services) {
                let before = old.services.iter().position(|other| other.name == service.name);
                match step {
                    Step::Keep(number) => prop_assert_eq!(&old.services[*number], service),
                    Step::SetUp { before: said, listeners } => {
                        prop_assert_eq!(*said, before);
                        prop_assert_eq!(listeners.len(), service.listen.len());
                        prop_assert!(before.is_none_or(|number| old.services[number] != *service));
                    }
                }
            }
            for (number, service) in old.services.iter().enumerate() {
                let stays = new.services.iter().any(|other| other.name == service.name);
                prop_assert_eq!(plan.gone.contains(&number), !stays);
            }
        }

        #[test]
        fn every_listener_has_one_place_and_none_is_closed_that_is_wanted(old in configuration(), new in configuration()) {
            let plan = plan(&old, &new, &[]);
            let mut moved = BTreeSet::new();
            for (step, service) in plan.steps.iter().zip(&new.services) {
                let Step::SetUp { listeners, before } = step else { continue };
                for (origin, wanted) in listeners.iter().zip(&service.listen) {
                    let Origin::Moved { service, listener } = *origin else { continue };
                    prop_assert!(moved.insert((service, listener)), "moved twice");
                    prop_assert!(listen(&old, service, listener).is_same_socket(wanted));
                    prop_assert!(!plan.steps.contains(&Step::Keep(service)), "taken from one that stays");
                    prop_assert!(Some(service) == *before || !wanted.is_any_port(), "another's port");
                }
            }
            for (number, service) in old.services.iter().enumerate() {
                if plan.steps.contains(&Step::Keep(number)) {
                    continue;
                }
                for (listener, socket) in service.listen.iter().enumerate() {
                    let wanted = |other: &ServiceConfig| {
                        let whose = other.name == service.name || !socket.is_any_port();
                        whose && other.listen.iter().any(|listen| listen.is_same_socket(socket))
                    };
                    let closed = !moved.contains(&(number, listener));
                    prop_assert!(!closed || !new.services.iter().any(wanted), "closed although {socket} is wanted");
                }
            }
        }

        #[test]
        fn what_is_opened_at_once_has_its_place_free(old in configuration(), new in configuration()) {
            let plan = plan(&old, &new, &[]);
            for (step, service) in plan.steps.iter().zip(&new.services) {
                let Step::SetUp { listeners, .. } = step else { continue };
                for (origin, wanted) in listeners.iter().zip(&service.listen) {
                    let in_the_way = |other: &&Listen| other.covers(wanted) || wanted.covers(other);
                    let clash = old.services.iter().flat_map(|service| &service.listen).find(in_the_way);
                    match origin {
                        Origin::Moved { .. } => {}
                        Origin::OpenedAfter => prop_assert!(clash.is_some(), "{wanted} waits for nothing"),
                        Origin::Opened => prop_assert!(clash.is_none(), "{wanted} is opened beside {clash:?}"),
                    }
                }
            }
        }
    }
}
