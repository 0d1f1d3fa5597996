//! The difference between two configurations: which services and listeners are kept, moved, opened and closed. No I/O.

use std::collections::{HashMap, HashSet};

use dormouse_config::model::{AdminConfig, Config, Listen, ServiceConfig};
use dormouse_config::socket_index::SocketIndex;

/// The steps from one configuration to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    /// One step for each service of the new configuration, in its order.
    pub(super) steps: Vec<Step>,
    /// The old services that the new configuration does not contain.
    pub(super) removed: Vec<usize>,
}

/// What happens to one service. Numbers are indices into the old configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// The service is equal in both configurations and is not touched.
    Keep(usize),
    /// The service is new, or replaces an old one of the same name, which drains.
    SetUp {
        /// The old service of the same name.
        previous: Option<usize>,
        /// The origin of each of its listeners, in their order.
        listeners: Vec<Origin>,
    },
}

/// The origin of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// An old service has it open; the socket moves over.
    Moved {
        /// The old service.
        service: usize,
        /// The listener of that service.
        listener: usize,
    },
    /// It is opened.
    Opened,
    /// It is opened after old listeners are closed, because one of them uses its address.
    OpenedAfter,
}

/// The services and listeners of the old configuration that stay.
#[derive(Debug)]
pub(super) struct Kept {
    services: HashSet<usize>,
    moved: HashSet<(usize, usize)>,
}

impl Plan {
    /// Returns what stays of the old configuration.
    pub(super) fn kept(&self) -> Kept {
        let mut kept = Kept { services: HashSet::new(), moved: HashSet::new() };
        for step in &self.steps {
            match step {
                Step::Keep(number) => drop(kept.services.insert(*number)),
                Step::SetUp { listeners, .. } => {
                    kept.moved.extend(listeners.iter().filter_map(Origin::moved));
                }
            }
        }
        kept
    }
}

impl Kept {
    /// Returns whether this service of the old configuration is not touched.
    pub(super) fn has_service(&self, service: usize) -> bool {
        self.services.contains(&service)
    }

    /// Returns whether this listener of the old configuration stays open, for whichever service.
    pub(super) fn has_listener(&self, service: usize, listener: usize) -> bool {
        self.has_service(service) || self.moved.contains(&(service, listener))
    }
}

impl Origin {
    fn moved(&self) -> Option<(usize, usize)> {
        match *self {
            Self::Moved { service, listener } => Some((service, listener)),
            Self::Opened | Self::OpenedAfter => None,
        }
    }
}

/// The listeners of the old services that change, until a new service takes them.
struct FreeListeners<'a> {
    /// The old service, its listener, and the address. `None`: taken.
    all: Vec<Option<(usize, usize, &'a Listen)>>,
    index: SocketIndex,
    /// Those whose port the kernel chose, by their service.
    any_port: HashMap<usize, Vec<usize>>,
}

impl<'a> FreeListeners<'a> {
    fn new(services: impl Iterator<Item = (usize, &'a ServiceConfig)>) -> Self {
        let mut free = Self { all: Vec::new(), index: SocketIndex::default(), any_port: HashMap::new() };
        for (number, service) in services {
            for (listener, listen) in service.listen.iter().enumerate() {
                let place = free.all.len();
                if listen.is_any_port() {
                    free.any_port.entry(number).or_default().push(place);
                }
                free.index.insert(place, listen);
                free.all.push(Some((number, listener, listen)));
            }
        }
        free
    }

    /// Takes the listener of this socket, of the service `of` or of any service.
    fn take(&mut self, listen: &Listen, of: Option<usize>) -> Option<(usize, usize)> {
        let fits = |place: &usize| {
            let found = self.all.get(*place).copied().flatten();
            found.is_some_and(|(number, _, other)| {
                count_comparison();
                of.is_none_or(|of| of == number) && other.is_same_socket(listen)
            })
        };
        let place = if listen.is_any_port() {
            let places = self.any_port.get_mut(&of?)?;
            let at = places.iter().position(fits)?;
            places.remove(at)
        } else {
            self.index.first(listen, |place| fits(&place))?
        };
        let (number, listener, _) = self.all.get_mut(place)?.take()?;
        Some((number, listener))
    }

    /// Returns whether one that nobody took is in the way of a new listener.
    fn has_conflict(&self, listen: &Listen) -> bool {
        let conflicts = |place: usize| {
            let found = self.all.get(place).copied().flatten();
            found.is_some_and(|(_, _, other)| {
                count_comparison();
                other.conflicts_with(listen)
            })
        };
        self.index.first(listen, conflicts).is_some()
    }
}

/// Returns the keys of all services whose values differ. A reload applies each of them but `restrict_self`, which applies from
/// the next start on.
pub(super) fn changed_settings(old: &Config, new: &Config) -> Vec<&'static str> {
    // A key that is missing here does not compile.
    let Config { log_level, drain_timeout, restrict_self, admin, services: _ } = old;
    let AdminConfig { control, http, http_hosts, format } = admin;
    let changed = [
        ("log_level", *log_level != new.log_level),
        ("drain_timeout", *drain_timeout != new.drain_timeout),
        ("restrict_self", *restrict_self != new.restrict_self),
        ("log", *format != new.admin.format),
        ("control", *control != new.admin.control),
        ("http", *http != new.admin.http),
        ("http_hosts", *http_hosts != new.admin.http_hosts),
    ];
    changed.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
}

/// Plans the change from `old` to `new`. `also_closed` are other listeners that the change closes.
pub(super) fn plan(old: &Config, new: &Config, also_closed: &[Listen]) -> Plan {
    let places: HashMap<&str, usize> =
        old.services.iter().enumerate().map(|(place, service)| (service.name.as_str(), place)).collect();
    let previous = |service: &ServiceConfig| places.get(service.name.as_str()).copied();
    let kept: Vec<Option<usize>> = new
        .services
        .iter()
        .map(|service| previous(service).filter(|place| old.services.get(*place) == Some(service)))
        .collect();
    let untouched: HashSet<usize> = kept.iter().copied().flatten().collect();
    let changing = old.services.iter().enumerate().filter(|(number, _)| !untouched.contains(number));
    let mut free = FreeListeners::new(changing);
    let mut moved: Vec<Vec<Option<(usize, usize)>>> =
        new.services.iter().map(|service| vec![None; service.listen.len()]).collect();
    // A service gets its own old listeners first: of two services with port 0 each keeps its port.
    for own in [true, false] {
        for ((service, places), kept) in new.services.iter().zip(&mut moved).zip(&kept) {
            let of = previous(service);
            if kept.is_some() || (own && of.is_none()) {
                continue;
            }
            for (listen, place) in service.listen.iter().zip(places).filter(|(_, place)| place.is_none()) {
                *place = free.take(listen, of.filter(|_| own));
            }
        }
    }
    let origin = |listen: &Listen, place: Option<(usize, usize)>| match place {
        Some((service, listener)) => Origin::Moved { service, listener },
        None if free.has_conflict(listen) || also_closed.iter().any(|other| other.conflicts_with(listen)) => {
            Origin::OpenedAfter
        }
        None => Origin::Opened,
    };
    let steps = new.services.iter().zip(moved).zip(&kept).map(|((service, places), kept)| {
        if let Some(number) = kept {
            return Step::Keep(*number);
        }
        let listeners = service.listen.iter().zip(places).map(|(listen, place)| origin(listen, place));
        Step::SetUp { previous: previous(service), listeners: listeners.collect() }
    });
    let steps = steps.collect();
    let names: HashSet<&str> = new.services.iter().map(|service| service.name.as_str()).collect();
    let stays = |service: &ServiceConfig| names.contains(service.name.as_str());
    let removed =
        old.services.iter().enumerate().filter(|(_, service)| !stays(service)).map(|(number, _)| number);
    Plan { steps, removed: removed.collect() }
}

#[cfg(test)]
thread_local! {
    /// The number of comparisons of two sockets in this thread.
    static COMPARISONS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Counts a comparison of two sockets, in tests.
fn count_comparison() {
    #[cfg(test)]
    COMPARISONS.with(|count| count.set(count.get() + 1));
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::fmt::Write as _;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use dormouse_config::{self, Environment, ProgramUser};

    /// Addresses, some of which conflict with each other.
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
        dormouse_config::read(
            &[dormouse_config::single("x".as_ref(), &text)],
            Environment { system_units: true, programs: ProgramUser::Root },
        )
        .result
        .ok()
    }

    /// Valid configurations: those with conflicts are filtered out.
    fn configuration() -> impl Strategy<Value = Config> {
        let service = (vec(0..ADDRESSES.len(), 1..3), 1..3u8);
        let services = proptest::collection::btree_map(0..4u8, service, 1..4);
        services.prop_filter_map("clashes", |services| parse(&services))
    }

    fn listen(config: &Config, service: usize, listener: usize) -> &Listen {
        &config.services[service].listen[listener]
    }

    #[test]
    fn each_key_of_all_services_is_compared() {
        let read = |top: &str| {
            let text = format!("{top}\n[services.a]\nlisten = '@a'\nto = '@b'\n");
            let source = dormouse_config::single("x".as_ref(), &text);
            dormouse_config::read(&[source], Environment::SYSTEM).result.unwrap()
        };
        let keys = dormouse_config::keys::TOP.iter().filter(|key| key.path != "services");
        for key in keys {
            // The example of a key may be its default.
            let other = if key.path == "log_level" { "'debug'" } else { key.example };
            let changed = changed_settings(&read(""), &read(&format!("{} = {other}", key.path)));
            assert_eq!(changed, [key.path]);
        }
    }

    /// A configuration of many services, each with its listener.
    fn many(count: usize, maxconn: u32, listen: impl Fn(usize) -> String) -> Config {
        let mut text = String::new();
        for number in 0..count {
            let listen = listen(number);
            let _ =
                writeln!(text, "[services.s{number}]\nlisten = '{listen}'\nto = '@b'\nmaxconn = {maxconn}");
        }
        let file = dormouse_config::single("x".as_ref(), &text);
        let read = dormouse_config::read(&[file], Environment::SYSTEM);
        read.result.unwrap()
    }

    #[test]
    fn many_services_are_planned_without_a_comparison_of_each_with_all() {
        const COUNT: usize = 2000;
        let port = |number| format!("127.0.0.1:{}", number + 10);
        let other = |number| format!("127.0.0.2:{}", number + 10);
        let old = many(COUNT, 1, port);
        for (what, new) in [
            ("changed", many(COUNT, 2, port)),
            ("moved", many(COUNT, 1, |number| port(COUNT - 1 - number))),
            ("wider", many(COUNT, 1, |number| format!("*:{}", number + 10))),
            ("other addresses", many(COUNT, 1, other)),
            ("any port", many(COUNT, 1, |_| "127.0.0.1:0".to_owned())),
        ] {
            COMPARISONS.set(0);
            let plan = plan(&old, &new, &[]);
            assert_eq!(plan.steps.len(), COUNT);
            assert!(COMPARISONS.get() <= 4 * COUNT, "{what}: {} comparisons", COMPARISONS.get());
        }
    }

    proptest! {
        #[test]
        fn what_is_kept_is_what_the_steps_say(old in configuration(), new in configuration()) {
            let plan = plan(&old, &new, &[]);
            let kept = plan.kept();
            for (service, config) in old.services.iter().enumerate() {
                let is_kept = plan.steps.contains(&Step::Keep(service));
                prop_assert_eq!(kept.has_service(service), is_kept);
                for listener in 0..config.listen.len() {
                    let moved = Origin::Moved { service, listener };
                    let is_moved = plan.steps.iter().any(|step| {
                        matches!(step, Step::SetUp { listeners, .. } if listeners.contains(&moved))
                    });
                    prop_assert_eq!(kept.has_listener(service, listener), is_kept || is_moved);
                }
            }
        }

        #[test]
        fn equal_configurations_keep_all_services(config in configuration()) {
            let plan = plan(&config, &config, &[]);
            let all: Vec<_> = (0..config.services.len()).map(Step::Keep).collect();
            prop_assert_eq!(plan, Plan { steps: all, removed: Vec::new() });
        }

        #[test]
        fn services_are_kept_if_and_only_if_they_are_equal(old in configuration(), new in configuration()) {
            let plan = plan(&old, &new, &[]);
            prop_assert_eq!(plan.steps.len(), new.services.len());
            for (step, service) in plan.steps.iter().zip(&new.services) {
                let expected = old.services.iter().position(|other| other.name == service.name);
                match step {
                    Step::Keep(number) => prop_assert_eq!(&old.services[*number], service),
                    Step::SetUp { previous, listeners } => {
                        prop_assert_eq!(*previous, expected);
                        prop_assert_eq!(listeners.len(), service.listen.len());
                        prop_assert!(expected.is_none_or(|number| old.services[number] != *service));
                    }
                }
            }
            for (number, service) in old.services.iter().enumerate() {
                let stays = new.services.iter().any(|other| other.name == service.name);
                prop_assert_eq!(plan.removed.contains(&number), !stays);
            }
        }

        #[test]
        fn a_listener_moves_at_most_once_and_is_not_closed_if_wanted(old in configuration(), new in configuration()) {
            let plan = plan(&old, &new, &[]);
            let mut moved = BTreeSet::new();
            for (step, service) in plan.steps.iter().zip(&new.services) {
                let Step::SetUp { listeners, previous } = step else { continue };
                for (origin, wanted) in listeners.iter().zip(&service.listen) {
                    let Origin::Moved { service, listener } = *origin else { continue };
                    prop_assert!(moved.insert((service, listener)), "moved twice");
                    prop_assert!(listen(&old, service, listener).is_same_socket(wanted));
                    prop_assert!(!plan.steps.contains(&Step::Keep(service)), "taken from a service that is kept");
                    prop_assert!(Some(service) == *previous || !wanted.is_any_port(), "the port of another service");
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
        fn a_listener_waits_only_for_a_conflicting_one(old in configuration(), new in configuration()) {
            let plan = plan(&old, &new, &[]);
            for (step, service) in plan.steps.iter().zip(&new.services) {
                let Step::SetUp { listeners, .. } = step else { continue };
                for (origin, wanted) in listeners.iter().zip(&service.listen) {
                    let in_the_way = |other: &&Listen| other.covers(wanted) || wanted.covers(other);
                    let clash = old.services.iter().flat_map(|service| &service.listen).find(in_the_way);
                    match origin {
                        Origin::Moved { .. } => {}
                        Origin::OpenedAfter => prop_assert!(clash.is_some(), "{wanted} waits without a conflict"),
                        Origin::Opened => prop_assert!(clash.is_none(), "{wanted} is opened beside {clash:?}"),
                    }
                }
            }
        }
    }
}
