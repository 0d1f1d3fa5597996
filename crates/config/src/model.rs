//! The configuration as types, from a file or from flags.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use dormouse_activate::ActivatorConfig;
use dormouse_core::address::{Host, ListenAddress, Target};
pub use dormouse_core::network::Network;
use dormouse_core::pool::{Balance, CheckSettings};
use dormouse_core::schedule::WeeklyWindow;
use dormouse_core::timespan::TimeSpan;
use dormouse_log::{Format, Level};
use dormouse_relay::Limits;

use crate::limit::{AtLimit, Cap};
use crate::listen_options::ListenOptions;
use crate::proxy_protocol::{SendProxy, Sources};

/// The whole configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The highest level to log; `None`: as `SYSTEMD_LOG_LEVEL=` says.
    pub log_level: Option<Level>,
    /// How long open sessions may go on after SIGTERM, and after a reload has changed their service. `None`: not at all
    /// after SIGTERM, without a limit after a reload.
    pub drain_timeout: Option<TimeSpan>,
    /// Whether the process restricts itself before it serves.
    pub restrict_self: bool,
    /// The control socket, the web server and the format of the log.
    pub admin: AdminConfig,
    /// The services, in the order of the file; their names are unique.
    pub services: Vec<ServiceConfig>,
}

/// The largest number of servers of one DNS name at a time, including removed servers with open sessions.
pub const SLOTS: u16 = 32;

/// The control socket, the web server and the format of the log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AdminConfig {
    /// The control socket.
    pub control: Control,
    /// The address of the web server with the page and the metrics.
    pub http: Option<SocketAddr>,
    /// The hosts that requests to the web server may name, besides this machine and the address.
    pub http_hosts: Vec<Host>,
    /// The format of the log.
    pub format: Format,
}

/// The place of the control socket.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Control {
    /// In `RUNTIME_DIRECTORY=`, if the service manager sets it.
    #[default]
    Usual,
    /// No control socket.
    Off,
    /// At this path.
    At {
        /// The path.
        address: ListenAddress,
        /// The options of the file; the default of its mode is 0600.
        options: ListenOptions,
    },
}

impl Control {
    /// Returns the configured listener, if there is one.
    pub fn listen(&self) -> Option<Listen> {
        match self {
            Self::Usual | Self::Off => None,
            Self::At { address, options } => {
                Some(Listen::Open { address: address.clone(), options: options.clone() })
            }
        }
    }
}

/// A service.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceConfig {
    /// The name: letters, digits, `-`, `_`, `.`.
    pub name: String,
    /// The listeners; never empty.
    pub listen: Vec<Listen>,
    /// The servers; never empty.
    pub servers: Vec<ServerConfig>,
    /// The DNS servers for servers with a DNS name; those of the system if empty.
    pub dns: Vec<SocketAddr>,
    /// How a session gets one of several servers.
    pub balance: Balance,
    /// The queue of clients that wait for a server below its `maxconn`.
    pub queue: Queue,
    /// The number of retries when a server does not accept a connection.
    pub retries: u32,
    /// Whether the last retry goes to another server.
    pub redispatch: bool,
    /// Whether to try all servers while all are down.
    pub fail_open: bool,
    /// When a started workload counts as ready.
    pub ready: Ready,
    /// How long the workload must have been ready before clients are forwarded.
    pub settle: Duration,
    /// The clients that wait for a start.
    pub hold: Hold,
    /// When the workload is frozen and stopped.
    pub idle: Idle,
    /// Which clients may start the workload, and how.
    pub waking: Waking,
    /// The group of services of which only one runs at a time.
    pub exclusive: Option<String>,
    /// Whether to send the bytes of a client again when a connection ends before the first byte of the server during a
    /// start.
    pub replay: bool,
    /// The largest number of sessions at once, over all listeners.
    pub maxconn: Cap,
    /// The treatment of further clients.
    pub at_limit: AtLimit,
    /// The clients whose PROXY headers are accepted; `None`: none.
    pub accept_proxy: Option<Sources>,
    /// The PROXY header that the server gets.
    pub proxy_protocol: Option<SendProxy>,
    /// Whose credentials a UNIX server sees.
    pub peer_credentials: PeerCredentials,
    /// The timeouts of a session.
    pub timeouts: Timeouts,
    /// How advice names the settings.
    pub spelling: Spelling,
}

/// What a service is configured by: advice names its settings likewise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spelling {
    /// Keys in a file.
    Keys,
    /// Flags on the command line.
    Flags,
}

/// Whose credentials a UNIX server sees (`SO_PEERCRED`, unix(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerCredentials {
    /// Those of dormouse, because nothing is configured: listeners that are wider than the server's socket are reported.
    Unstated,
    /// Those of dormouse. The server does not decide by them.
    Own,
    /// The user and the groups of the client, which is connected over a UNIX socket, too.
    Pass,
}

/// A listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// A socket that dormouse opens.
    Open {
        /// The address.
        address: ListenAddress,
        /// The options.
        options: ListenOptions,
    },
    /// The sockets that the service manager passed under this name (`fd:NAME`, `FileDescriptorName=`).
    Inherited(String),
}

/// A server.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerConfig {
    /// The name, unique in its service.
    pub name: String,
    /// The address.
    pub to: Target,
    /// The workload; without one the server is always running.
    pub wake: Option<ActivatorConfig>,
    /// The share of the sessions, 0 to 256.
    pub weight: u32,
    /// Whether the server is used only while no other is up.
    pub backup: bool,
    /// The largest number of sessions.
    pub maxconn: Option<NonZeroU32>,
    /// Whether the server starts in maintenance.
    pub disabled: bool,
    /// The health checks.
    pub check: Option<CheckConfig>,
}

impl ServerConfig {
    /// Returns the address for a message; for all servers of a DNS name only the first returns it.
    pub fn display_address(&self) -> Option<String> {
        match &self.to {
            Target::Slot { source, slot: 0 } => Some(source.to_string()),
            Target::Slot { .. } => None,
            to => Some(to.to_string()),
        }
    }

    /// Returns whether a setting of the server differs from the default.
    pub fn has_rules(&self) -> bool {
        *self != Self::new(self.name.clone(), self.to.clone(), self.wake.clone())
    }
}

/// The health checks of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckConfig {
    /// The intervals and the consequences.
    pub rules: CheckSettings,
    /// The longest time of a check.
    pub timeout: Duration,
    /// The bytes to send after the connection is established; may be empty.
    pub send: Vec<u8>,
    /// The bytes that the answer must contain; empty: no answer is needed.
    pub expect: Vec<u8>,
    /// Whether its sessions are reset when the server goes down (`on-marked-down shutdown-sessions`).
    pub ends_sessions: bool,
}

/// The queue of clients that wait for a server below its `maxconn`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queue {
    /// The longest time that a client waits.
    pub timeout: TimeSpan,
    /// The largest number of clients.
    pub max: NonZeroU32,
}

/// When a started workload counts as ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ready {
    /// It accepts a connection.
    Connect,
    /// It reports so: `READY=1`, or the end of the start job of a unit.
    Notify,
    /// The health check of the container passes.
    Healthy,
    /// This file exists.
    File(PathBuf),
    /// This command exits with status 0.
    Command(Vec<std::ffi::OsString>),
    /// It answers `send` with bytes that contain `expect`.
    Expect {
        /// The bytes to send first; may be empty.
        send: Vec<u8>,
        /// The bytes that the answer must contain; never empty.
        expect: Vec<u8>,
    },
}

/// The clients that wait for a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    /// The longest time that a client waits.
    pub timeout: TimeSpan,
    /// The largest number of clients.
    pub max: NonZeroU32,
    /// The treatment of further clients.
    pub overflow: AtLimit,
}

/// The mode of the control socket, unless another one is configured: commands are for the user of dormouse alone.
pub const CONTROL_MODE: u32 = 0o600;

/// When an unused workload is frozen and stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idle {
    /// The time without use after which it is stopped; `None`: never.
    pub stop: Option<Duration>,
    /// The time without use after which it is frozen; `None`: never.
    pub freeze: Option<Duration>,
    /// The time without traffic after which a session no longer counts as use; `None`: a session always counts.
    pub quiet: Option<Duration>,
    /// The time that a started workload runs at least.
    pub minimum_uptime: Duration,
    /// The times at which the workload is kept running.
    pub keep_warm: Vec<WeeklyWindow>,
}

/// Which clients may start a workload, how, and how long starts and stops may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waking {
    /// The event that starts the workload.
    pub on: WakeOn,
    /// The addresses that may start it; all if `None`. Clients of its UNIX sockets always may.
    pub allow: Option<Vec<Network>>,
    /// Whether a workload that dormouse did not start is frozen and stopped, too.
    pub stop_foreign: bool,
    /// What to do with a listener that does not belong to the workload.
    pub foreign_listener: ForeignListener,
    /// The longest time of a start.
    pub start_timeout: Duration,
    /// The longest time of a stop before the workload is killed.
    pub stop_timeout: Duration,
}

/// The words of `wake.sandbox`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Confined {
    /// The program has the rights of its user.
    No,
    /// The program is confined.
    Strictly,
}

/// What to do with a listener at the server's address that does not belong to the workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForeignListener {
    /// It gets no clients.
    Refuse,
    /// It gets the clients: the workload lets another program listen.
    Allow,
}

/// The event that starts a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WakeOn {
    /// A connection.
    Connect,
    /// A client's first byte.
    Data,
}

/// The timeouts of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// The longest time to wait for an answer of an address; `None`: no limit.
    pub connect: Option<Duration>,
    /// The longest time to wait for a PROXY header.
    pub proxy_header: Duration,
    /// The timeouts of a session that is connected to a server.
    pub limits: Limits,
}
