//! The configuration as types that cannot be wrong. The file and the flags are two ways to write the same.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use dormouse_activate::ActivatorConfig;
use dormouse_core::address::{ListenAddress, Target};
pub use dormouse_core::network::Network;
use dormouse_core::pool::{Balance, CheckSettings};
use dormouse_core::schedule::WeeklyWindow;
use dormouse_core::timespan::TimeSpan;
use dormouse_log::{Format, Level};
use dormouse_relay::Limits;

use crate::limit::{AtLimit, Cap};
use crate::listen_options::ListenOptions;
use crate::proxy_protocol::{SendProxy, Sources};

/// Everything.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// What is logged; `None`: as the environment says.
    pub log_level: Option<Level>,
    /// How long open sessions may go on after SIGTERM, and under rules that a reload has changed. `None`: not at all at
    /// the end, and until they end by themselves after a reload.
    pub drain_timeout: Option<TimeSpan>,
    /// Who may look, and what is told.
    pub admin: AdminConfig,
    /// The services, in the order in which they were written; names are unique.
    pub services: Vec<ServiceConfig>,
}

/// How many servers of one name can serve at a time, those included whose last sessions go on.
pub const SLOTS: u16 = 32;

/// Who may look at what runs and steer it, and what is told of sessions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AdminConfig {
    /// Where commands are taken.
    pub control: Control,
    /// Where the page and the metrics are, if anywhere.
    pub http: Option<SocketAddr>,
    /// What lines of the log look like.
    pub format: Format,
}

/// Where commands are taken.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Control {
    /// In the directory that the service manager made for us, if it did.
    #[default]
    Usual,
    /// Nowhere.
    Off,
    /// At a UNIX socket.
    At {
        /// Its path.
        address: ListenAddress,
        /// Of its file; its mode is 0600 unless told.
        options: ListenOptions,
    },
}

impl Control {
    /// The socket that was told, if one was.
    pub fn listen(&self) -> Option<Listen> {
        match self {
            Self::Usual | Self::Off => None,
            Self::At { address, options } => {
                Some(Listen::Open { address: address.clone(), options: options.clone() })
            }
        }
    }
}

/// One service.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceConfig {
    /// Its name: letters, digits, `-`, `_`, `.`.
    pub name: String,
    /// Where clients arrive; never empty.
    pub listen: Vec<Listen>,
    /// Where they go; never empty.
    pub servers: Vec<ServerConfig>,
    /// Who is asked for servers by name; whom the system asks if empty.
    pub dns: Vec<SocketAddr>,
    /// Which of several servers a session gets.
    pub balance: Balance,
    /// Those that wait because all servers have as many sessions as they may.
    pub queue: Queue,
    /// How often a server that does not take a connection is tried again.
    pub retries: u32,
    /// Whether another server is tried then.
    pub redispatch: bool,
    /// Where all servers are down, all are tried.
    pub fail_open: bool,
    /// When a server that was started is taken for ready.
    pub ready: Ready,
    /// How long that must have lasted.
    pub settle: Duration,
    /// Clients that wait.
    pub hold: Hold,
    /// When it sleeps.
    pub idle: Idle,
    /// Who may wake it, and by what.
    pub waking: Waking,
    /// Only one service of a group runs at a time.
    pub exclusive: Option<String>,
    /// Whether what a client said is sent again when a connection ends before the server's first byte in a cold start.
    pub replay: bool,
    /// How many sessions at once, over all listeners (`HAProxy`'s maxconn).
    pub maxconn: Cap,
    /// What happens to the next one.
    pub at_limit: AtLimit,
    /// Whose PROXY headers say who the client is; `None`: nobody's.
    pub accept_proxy: Option<Sources>,
    /// The header that the server gets.
    pub proxy_protocol: Option<SendProxy>,
    /// The clocks of a session.
    pub timeouts: Timeouts,
}

/// Where clients arrive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// A socket that we open.
    Open {
        /// Its address.
        address: ListenAddress,
        /// How it is opened.
        options: ListenOptions,
    },
    /// The sockets that the service manager passed under this name (`fd:NAME`, `FileDescriptorName=`).
    Inherited(String),
}

/// One server.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerConfig {
    /// Its name, unique in its service.
    pub name: String,
    /// How it is reached.
    pub to: Target,
    /// How it is woken; without, it is taken to be there.
    pub wake: Option<ActivatorConfig>,
    /// Its share of the sessions, 0 to 256.
    pub weight: u32,
    /// It serves only while no other does.
    pub backup: bool,
    /// How many sessions it may have.
    pub maxconn: Option<NonZeroU32>,
    /// It begins in maintenance.
    pub disabled: bool,
    /// How it is checked.
    pub check: Option<CheckConfig>,
}

impl ServerConfig {
    /// A server without rules of its own.
    pub fn new(name: String, to: Target, wake: Option<ActivatorConfig>) -> Self {
        Self { name, to, wake, weight: 1, backup: false, maxconn: None, disabled: false, check: None }
    }

    /// What is behind, for a person; a name is told once for all its servers.
    pub fn behind(&self) -> Option<String> {
        match &self.to {
            Target::Slot { source, slot: 0 } => Some(source.to_string()),
            Target::Slot { .. } => None,
            to => Some(to.to_string()),
        }
    }

    /// Whether it has rules of its own.
    pub fn has_rules(&self) -> bool {
        *self != Self::new(self.name.clone(), self.to.clone(), self.wake.clone())
    }
}

/// How a server is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckConfig {
    /// When, and what follows from it.
    pub rules: CheckSettings,
    /// How long a check may take.
    pub timeout: Duration,
    /// Said once the server has taken the connection; may be empty.
    pub send: Vec<u8>,
    /// What it must answer; empty: nothing has to come.
    pub expect: Vec<u8>,
    /// When it goes down, its sessions end (`on-marked-down shutdown-sessions`).
    pub ends_sessions: bool,
}

/// Those that wait because all servers have as many sessions as they may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queue {
    /// How long; infinity is for ever.
    pub timeout: TimeSpan,
    /// How many.
    pub max: NonZeroU32,
}

/// When a server is taken for ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ready {
    /// When it takes a connection.
    Connect,
    /// When it says so itself: `READY=1`, a unit's start job that is done.
    Notify,
    /// When the container's health check says so.
    Healthy,
    /// When this file exists.
    File(PathBuf),
    /// When this command exits with 0.
    Command(Vec<std::ffi::OsString>),
    /// When it answers `send` with something that contains `expect`.
    Expect {
        /// Said first; may be empty.
        send: Vec<u8>,
        /// What it must answer; never empty.
        expect: Vec<u8>,
    },
}

/// Clients that wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    /// How long; infinity is for ever.
    pub timeout: TimeSpan,
    /// How many.
    pub max: NonZeroU32,
    /// What happens to the next one.
    pub overflow: AtLimit,
}

/// When a service sleeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idle {
    /// It is stopped after so long without use. `None`: never.
    pub stop: Option<Duration>,
    /// It is frozen after so long without use. `None`: never.
    pub freeze: Option<Duration>,
    /// A session that moved no byte for so long is no use. `None`: every session is.
    pub quiet: Option<Duration>,
    /// It is neither frozen nor stopped before it ran for so long.
    pub minimum_uptime: Duration,
    /// When it is kept awake, used or not.
    pub keep_warm: Vec<WeeklyWindow>,
}

/// Who may wake a service, by what, and how long waking may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waking {
    /// What a client has to do.
    pub on: WakeOn,
    /// Only these may wake it; everybody if `None`. Clients of its UNIX sockets always may.
    pub allow: Option<Vec<Network>>,
    /// Whether what somebody else has started is frozen and stopped, too.
    pub stop_foreign: bool,
    /// How long a start may take.
    pub start_timeout: Duration,
    /// How long a stop may take before it is enforced.
    pub stop_timeout: Duration,
}

/// What wakes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WakeOn {
    /// A connection.
    Connect,
    /// A client's first byte.
    Data,
}

/// The clocks of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// How long an address may take to answer. `None`: no limit.
    pub connect: Option<Duration>,
    /// How long a PROXY header may take to come.
    pub proxy_header: Duration,
    /// Those of a session that has its server.
    pub limits: Limits,
}
