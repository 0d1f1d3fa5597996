//! The kinds of activators: one table of what each kind can do, and one value for each configured workload.
//!
//! A kind that leaves a property out does not compile, and neither does a `match` that leaves a kind out. No code
//! outside this crate decides by a list of kinds of its own.

use std::fmt;

use tokio::sync::mpsc::{Receiver, Sender};

use crate::process::command_line;
use crate::{ActivatorContext, Event, Operation, Request};
use crate::{command, container, exec, unit, wol};

/// What one kind of activator can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Properties {
    /// The key in the table `wake` that selects the kind.
    pub key: &'static str,
    /// The further keys in the table `wake` that belong to this kind alone.
    pub options: &'static [&'static str],
    /// Whether dormouse can freeze the workload.
    pub freeze: Support,
    /// Whether dormouse can stop the workload.
    pub stop: Support,
    /// Whether the workload can report that it is ready (`ready = "notify"`).
    pub notify: Support,
    /// Whether the workload has a health check (`ready = "healthy"`).
    pub health_check: bool,
    /// Whose listener a connection may reach where the server's address is on this machine.
    pub listener: ListenerRule,
    /// Whether the workload keeps running when dormouse crashes, so that its name is saved and recognised again.
    pub survives_crash: bool,
    /// The reason to report when the workload ends in good order before it was ready.
    pub ended_early: &'static str,
}

/// Whether a kind supports an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// It always works.
    Always,
    /// It works if the user has configured a command for it.
    WithCommand,
    /// It never works, for this reason.
    Never(&'static str),
}

/// Whose listener a connection may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListenerRule {
    /// Only that of the workload.
    Own,
    /// A listener that was there before dormouse started the workload must be that of the workload, its manager or its
    /// engine. The workload may let any program listen for it.
    OwnBeforeStart,
    /// Any: dormouse does not know the processes of the workload.
    Any,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident: $properties:expr;)+) => {
        /// A kind of activator.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Kind {
            $($(#[$doc])* $kind,)+
        }

        impl Kind {
            /// All kinds, in the order of the manual.
            pub const ALL: &[Self] = &[$(Self::$kind),+];

            /// Returns what this kind can do.
            #[must_use]
            pub const fn properties(self) -> Properties {
                match self {
                    $(Self::$kind => $properties,)+
                }
            }
        }
    };
}

const ENDED_EARLY: &str = "it exited without an error before it was ready; see its log";

kinds! {
    /// A systemd unit.
    Unit: Properties {
        key: "unit",
        options: &["manager"],
        freeze: Support::Always,
        stop: Support::Always,
        notify: Support::Always,
        health_check: false,
        listener: ListenerRule::OwnBeforeStart,
        survives_crash: true,
        ended_early: ENDED_EARLY,
    };
    /// A container of Podman or Docker.
    Container: Properties {
        key: "container",
        options: &["engine"],
        freeze: Support::Always,
        stop: Support::Always,
        notify: Support::Never(
            "containers do not notify; use healthy (the health check) or connect",
        ),
        health_check: true,
        listener: ListenerRule::OwnBeforeStart,
        survives_crash: true,
        ended_early: ENDED_EARLY,
    };
    /// A child process of dormouse.
    Exec: Properties {
        key: "exec",
        options: &["environment", "directory", "user", "group", "sandbox"],
        freeze: Support::Always,
        stop: Support::Always,
        notify: Support::Always,
        health_check: false,
        listener: ListenerRule::Own,
        survives_crash: false,
        ended_early: "it exited with code 0 before it was ready; exec must run the server itself; for a server that another program starts use start (commands), unit or container",
    };
    /// The user's own commands.
    Command: Properties {
        key: "start",
        options: &["stop", "freeze", "thaw", "status"],
        freeze: Support::WithCommand,
        stop: Support::WithCommand,
        notify: Support::Never("commands do not notify; use connect, file:PATH or command:COMMAND"),
        health_check: false,
        listener: ListenerRule::Any,
        survives_crash: true,
        ended_early: ENDED_EARLY,
    };
    /// A machine that a Wake-on-LAN packet wakes.
    WakeOnLan: Properties {
        key: "wol",
        options: &["broadcast"],
        freeze: Support::Never("a machine cannot be frozen over the network"),
        stop: Support::Never("a machine cannot be stopped over the network; it must suspend itself"),
        notify: Support::Never("a machine does not notify; use connect"),
        health_check: false,
        listener: ListenerRule::Any,
        survives_crash: false,
        ended_early: ENDED_EARLY,
    };
}

/// The configuration of one activator: the workload, and how it is started.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ActivatorConfig {
    /// A child process of dormouse.
    Exec(exec::Exec),
    /// A systemd unit.
    Unit(unit::Unit),
    /// A container of Podman or Docker.
    Container(container::Container),
    /// The user's own commands.
    Command(command::Commands),
    /// A machine that a Wake-on-LAN packet wakes.
    WakeOnLan(wol::Machine),
}

impl ActivatorConfig {
    /// Returns the kind of activator.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Exec(_) => Kind::Exec,
            Self::Unit(_) => Kind::Unit,
            Self::Container(_) => Kind::Container,
            Self::Command(_) => Kind::Command,
            Self::WakeOnLan(_) => Kind::WakeOnLan,
        }
    }

    /// Returns what this kind of activator can do.
    #[must_use]
    pub fn properties(&self) -> Properties {
        self.kind().properties()
    }

    /// Returns whether the user has configured a command for an operation. False for kinds that need no commands.
    #[must_use]
    pub fn has_command(&self, operation: Operation) -> bool {
        match self {
            Self::Command(commands) => commands.has(operation),
            Self::Exec(_) | Self::Unit(_) | Self::Container(_) | Self::WakeOnLan(_) => false,
        }
    }

    /// Makes the activator send [`Event::Ready`] when the workload itself reports that it is ready: by `READY=1`, or by
    /// its health check. Kinds that report this anyway, or never do, stay as they are.
    pub fn expect_ready(&mut self) {
        match self {
            Self::Exec(exec) => exec.notify = true,
            Self::Container(container) => container.healthy = true,
            Self::Unit(_) | Self::Command(_) | Self::WakeOnLan(_) => {}
        }
    }

    /// Returns the systemd unit that owns the workload, if there is one: such a workload should be started as that unit.
    pub async fn owning_unit(&self) -> Option<String> {
        match self {
            Self::Container(container) => container::quadlet_unit(container).await,
            Self::Exec(_) | Self::Unit(_) | Self::Command(_) | Self::WakeOnLan(_) => None,
        }
    }

    /// Describes for `dormouse check` how the workload is started and stopped.
    #[must_use]
    pub fn summary(&self) -> String {
        match self {
            Self::Unit(unit) => {
                let manager = match unit.manager {
                    unit::Manager::System => "system",
                    unit::Manager::User => "user",
                };
                format!("started and stopped as unit {} of the {manager} manager", unit.name)
            }
            Self::Container(container) => format!("started and stopped as container {}", container.name),
            Self::Exec(exec) => {
                let (process, user) = match &exec.sandbox {
                    exec::Sandbox::None => ("process", None),
                    exec::Sandbox::Strict(strict) => ("confined process", strict.own_user.as_ref()),
                };
                let user = match (&exec.user, user) {
                    (Some(user), _) => format!(" of user {}", user.name),
                    (None, Some(own)) => format!(" of its own user {}", own.name),
                    (None, None) => String::new(),
                };
                format!("started and stopped as a {process}{user}: {}", command_line(&exec.argv))
            }
            Self::Command(commands) => {
                let stop = commands.stop.as_ref().map_or_else(
                    || "; never stopped (no wake.stop)".to_owned(),
                    |stop| format!("; stopped by: {}", command_line(stop)),
                );
                format!("started by: {}{stop}", command_line(&commands.start))
            }
            Self::WakeOnLan(machine) => {
                format!("woken by a packet for {} to {}", wol::format_mac(machine.mac), machine.broadcast)
            }
        }
    }

    /// Carries out requests until the channel of requests is closed.
    pub(crate) async fn run(
        self,
        context: ActivatorContext,
        requests: Receiver<Request>,
        events: Sender<Event>,
    ) {
        match self {
            Self::Exec(exec) => exec::run(exec, context, requests, events).await,
            Self::Unit(unit) => unit::run(unit, context, requests, events).await,
            Self::Container(container) => container::run(container, context, requests, events).await,
            Self::Command(commands) => command::run(commands, context, requests, events).await,
            Self::WakeOnLan(machine) => wol::run(machine, context, requests, events).await,
        }
    }
}

/// The name of the workload. The saved wake state contains it: a version that changes it does not recognise the
/// workloads that the version before it has started.
impl fmt::Display for ActivatorConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exec(exec) => write!(f, "{exec}"),
            Self::Unit(unit) => write!(f, "{unit}"),
            Self::Container(container) => write!(f, "{container}"),
            Self::Command(commands) => write!(f, "{commands}"),
            Self::WakeOnLan(machine) => write!(f, "{machine}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_belongs_to_one_kind() {
        let mut keys: Vec<_> = Kind::ALL.iter().map(|kind| kind.properties().key).collect();
        keys.extend(Kind::ALL.iter().flat_map(|kind| kind.properties().options));
        let count = keys.len();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), count, "{keys:?}");
    }

    #[test]
    fn names_in_the_saved_state_stay_the_same() {
        let unit = unit::Unit { name: "web.service".to_owned(), manager: unit::Manager::System };
        let container = container::Container { name: "web".to_owned(), engine: None, healthy: false };
        let commands = command::Commands {
            start: vec!["virsh".into(), "start".into()],
            stop: None,
            freeze: None,
            thaw: None,
            status: None,
        };
        let exec = exec::Exec {
            argv: vec!["python3".into()],
            environment: Vec::new(),
            directory: None,
            user: None,
            sandbox: exec::Sandbox::None,
            notify: false,
        };
        let machine = wol::Machine { mac: [10, 0, 0, 0, 0, 1], broadcast: ([10, 0, 0, 255], 9).into() };
        for (config, name) in [
            (ActivatorConfig::Unit(unit), "unit web.service"),
            (ActivatorConfig::Container(container), "container web"),
            (ActivatorConfig::Command(commands), "virsh"),
            (ActivatorConfig::Exec(exec), "python3"),
            (ActivatorConfig::WakeOnLan(machine), "machine 0a:00:00:00:00:01"),
        ] {
            assert_eq!(config.to_string(), name);
        }
    }
}
