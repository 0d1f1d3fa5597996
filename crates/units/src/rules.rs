//! The rights that follow from the configuration alone: one table, from a use to the lines of the unit.

use dormouse_activate::ActivatorConfig;
use dormouse_activate::exec::Sandbox;
use dormouse_config::model::{Config, Listen, PeerCredentials, Ready, ServiceConfig};
use dormouse_core::address::{ListenAddress, Target};

use super::{Need, Remedy};

/// A row of the table: what gives the right, and who needs it.
pub(super) struct Rule {
    /// The lines of the unit.
    pub(super) settings: &'static [(&'static str, &'static str)],
    /// Finds what needs the right.
    uses: fn(&Config) -> Vec<Use>,
}

/// A use of a right: the place in the configuration, and what it does.
struct Use {
    place: String,
    why: String,
}

/// All rules. A new key that needs a right gets a row here, or a line in the function of a row.
pub(super) const RULES: &[Rule] = &[
    Rule {
        settings: &[
            ("CapabilityBoundingSet", "CAP_NET_BIND_SERVICE"),
            ("AmbientCapabilities", "CAP_NET_BIND_SERVICE"),
        ],
        uses: low_ports,
    },
    Rule { settings: &[("RestrictAddressFamilies", "AF_VSOCK")], uses: vsock },
    Rule {
        settings: &[
            ("CapabilityBoundingSet", "CAP_CHOWN"),
            ("AmbientCapabilities", "CAP_CHOWN"),
            ("SystemCallFilter", "@chown"),
        ],
        uses: owners,
    },
    // What many programs do: generate code, read /proc/meminfo, choose CPUs and priorities.
    Rule {
        settings: &[
            ("MemoryDenyWriteExecute", "no"),
            ("ProcSubset", "all"),
            ("SystemCallFilter", "@resources"),
        ],
        uses: programs,
    },
    // The kernel's freezer needs a group of its own, and write access to it.
    Rule { settings: &[("Delegate", "yes"), ("ProtectControlGroups", "no")], uses: freezes },
    // The ids of another user, signals to its processes, and the sight of them in /proc.
    Rule {
        settings: &[
            ("CapabilityBoundingSet", "CAP_SETUID CAP_SETGID CAP_KILL"),
            ("AmbientCapabilities", "CAP_SETUID CAP_SETGID CAP_KILL"),
            ("SystemCallFilter", "@setuid"),
            ("ProtectProc", "default"),
        ],
        uses: other_users,
    },
    // A private /tmp and IPC of its own, without rights over the mounts of the machine. systemd 252 has the calls of Landlock in no
    // group of its filter.
    Rule {
        settings: &[
            ("RestrictNamespaces", "user mnt ipc"),
            (
                "SystemCallFilter",
                "@mount capset landlock_create_ruleset landlock_add_rule landlock_restrict_self",
            ),
        ],
        uses: confined,
    },
    // A thread takes the ids of the client, and drops its capabilities.
    Rule {
        settings: &[
            ("CapabilityBoundingSet", "CAP_SETUID CAP_SETGID"),
            ("AmbientCapabilities", "CAP_SETUID CAP_SETGID"),
            ("SystemCallFilter", "@setuid capset"),
        ],
        uses: client_credentials,
    },
];

/// Returns the needs of the configuration, in the order of the table.
pub(super) fn needs(config: &Config) -> Vec<Need> {
    let needs = RULES.iter().flat_map(|rule| {
        let settings: Vec<_> = rule.settings.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
        (rule.uses)(config).into_iter().map(move |Use { place, why }| Need {
            place,
            why,
            remedy: Remedy::DropIn(settings.clone()),
        })
    });
    needs.collect()
}

/// Returns all listeners that dormouse opens, with their places in the configuration.
pub(super) fn listeners(config: &Config) -> Vec<(String, Listen)> {
    let control = config.admin.control.listen().map(|listen| ("control".to_owned(), listen));
    let services = config.services.iter().flat_map(|service| {
        service.listen.iter().map(|listen| (format!("services.{}.listen", service.name), listen.clone()))
    });
    control.into_iter().chain(services).collect()
}

/// Returns all workloads, with their places in the configuration.
pub(super) fn workloads(config: &Config) -> Vec<(String, &ServiceConfig, &ActivatorConfig)> {
    let all = config.services.iter().flat_map(|service| {
        service.servers.iter().filter_map(move |server| {
            let wake = server.wake.as_ref()?;
            Some((format!("services.{}.wake.{}", service.name, wake.properties().key), service, wake))
        })
    });
    all.collect()
}

fn low_ports(config: &Config) -> Vec<Use> {
    /// The first port that needs no capability (`net.ipv4.ip_unprivileged_port_start`).
    const FIRST_FREE: u16 = 1024;
    /// How to do without the right.
    const BY_SOCKET_UNIT: &str =
        "with listen = \"fd:NAME\" a socket unit opens it, and dormouse needs no capability";
    const BY_PORT: &str = "a port from 1024 needs no capability";
    let ports = listeners(config).into_iter().filter_map(|(place, listen)| match listen {
        Listen::Open { address: ListenAddress::Tcp(address), .. } => {
            Some((place, address.port(), BY_SOCKET_UNIT))
        }
        Listen::Open { .. } | Listen::Inherited(_) => None,
    });
    let http = config.admin.http.map(|address| ("http".to_owned(), address.port(), BY_PORT));
    let low = ports.chain(http).filter(|(_, port, _)| (1..FIRST_FREE).contains(port));
    low.map(|(place, port, instead)| Use { place, why: format!("dormouse opens port {port}; {instead}") })
        .collect()
}

fn vsock(config: &Config) -> Vec<Use> {
    let listens = listeners(config).into_iter().filter_map(|(place, listen)| {
        matches!(listen, Listen::Open { address: ListenAddress::Vsock { .. }, .. })
            .then(|| Use { place, why: "dormouse opens a vsock port".to_owned() })
    });
    let to_vsock = |service: &&ServiceConfig| {
        service.servers.iter().any(|server| matches!(server.to, Target::Vsock { .. }))
    };
    let connects = config.services.iter().filter(to_vsock).map(|service| Use {
        place: format!("services.{}.to", service.name),
        why: "dormouse connects to a vsock port".to_owned(),
    });
    listens.chain(connects).collect()
}

/// Finds socket files that get another user.
fn owners(config: &Config) -> Vec<Use> {
    let files = listeners(config).into_iter().filter_map(|(place, listen)| match listen {
        Listen::Open { options, .. } => options.file.owner.map(|owner| (place, owner)),
        Listen::Inherited(_) => None,
    });
    files
        .filter(|(_, owner)| owner.name != super::USER)
        .map(|(place, owner)| Use {
            place,
            why: format!(
                "dormouse gives the socket file to the user {}; ?group= and ?mode= need fewer rights",
                owner.name
            ),
        })
        .collect()
}

/// Finds programs that dormouse starts itself: they have the rights of the unit.
fn programs(config: &Config) -> Vec<Use> {
    const INSIDE: &str = "the restrictions of dormouse.service apply to this program, and many programs do not run with all of them";
    let mut uses = Vec::new();
    for (place, _, wake) in workloads(config) {
        match wake {
            ActivatorConfig::Exec(_) | ActivatorConfig::Command(_) => {
                uses.push(Use { place, why: INSIDE.to_owned() });
            }
            ActivatorConfig::Unit(_) | ActivatorConfig::Container(_) | ActivatorConfig::WakeOnLan(_) => {}
        }
    }
    for service in &config.services {
        if matches!(service.ready, Ready::Command(_)) {
            let place = format!("services.{}.ready", service.name);
            uses.push(Use { place, why: INSIDE.to_owned() });
        }
    }
    uses
}

/// Finds processes that dormouse freezes itself.
fn freezes(config: &Config) -> Vec<Use> {
    let frozen = workloads(config).into_iter().filter(|(_, service, wake)| match wake {
        ActivatorConfig::Exec(_) => service.idle.freeze.is_some(),
        ActivatorConfig::Unit(_)
        | ActivatorConfig::Container(_)
        | ActivatorConfig::Command(_)
        | ActivatorConfig::WakeOnLan(_) => false,
    });
    frozen
        .map(|(place, ..)| Use {
            place,
            why: "dormouse freezes this program by a control group; without this right it sends SIGSTOP"
                .to_owned(),
        })
        .collect()
}

/// Finds programs that run as another user.
fn other_users(config: &Config) -> Vec<Use> {
    let programs = workloads(config).into_iter().filter_map(|(place, _, wake)| match wake {
        ActivatorConfig::Exec(exec) => {
            let own = match &exec.sandbox {
                Sandbox::Strict(strict) => strict.own_user.as_ref(),
                Sandbox::None => None,
            };
            exec.user.as_ref().or(own).map(|account| (place, account.name.clone()))
        }
        ActivatorConfig::Unit(_)
        | ActivatorConfig::Container(_)
        | ActivatorConfig::Command(_)
        | ActivatorConfig::WakeOnLan(_) => None,
    });
    programs
        .filter(|(_, name)| name != super::USER)
        .map(|(place, name)| Use { place, why: format!("dormouse starts this program as the user {name}") })
        .collect()
}

/// Finds confined programs.
fn confined(config: &Config) -> Vec<Use> {
    let programs = workloads(config).into_iter().filter(|(.., wake)| match wake {
        ActivatorConfig::Exec(exec) => exec.sandbox != Sandbox::None,
        ActivatorConfig::Unit(_)
        | ActivatorConfig::Container(_)
        | ActivatorConfig::Command(_)
        | ActivatorConfig::WakeOnLan(_) => false,
    });
    programs
        .map(|(place, ..)| Use {
            place,
            why: "dormouse confines this program with namespaces and Landlock".to_owned(),
        })
        .collect()
}

/// Finds connections with the credentials of clients.
fn client_credentials(config: &Config) -> Vec<Use> {
    let passing = config.services.iter().filter(|service| service.peer_credentials == PeerCredentials::Pass);
    passing
        .map(|service| Use {
            place: format!("services.{}.peer_credentials", service.name),
            why: "dormouse connects to the server as the user of each client".to_owned(),
        })
        .collect()
}
