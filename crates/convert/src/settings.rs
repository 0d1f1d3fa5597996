//! The settings that a section inherits from its defaults section.

use std::time::Duration;

use dormouse_core::pool::Balance;

use crate::check::{CheckMethod, TcpCheckRules};
use crate::report::Statement;
use crate::server_options::ServerOptions;

/// The mode of a section.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    #[default]
    Tcp,
    Other(String),
}

/// The timeouts. Zero means no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Timeouts {
    pub(crate) connect: Option<Duration>,
    pub(crate) client: Option<Duration>,
    pub(crate) server: Option<Duration>,
    pub(crate) client_fin: Option<Duration>,
    pub(crate) server_fin: Option<Duration>,
    pub(crate) tunnel: Option<Duration>,
    pub(crate) queue: Option<Duration>,
    pub(crate) check: Option<Duration>,
}

/// The settings of a section.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each one is a keyword that is present or absent")]
pub(crate) struct Settings {
    pub(crate) mode: Mode,
    pub(crate) timeouts: Timeouts,
    pub(crate) maxconn: Option<u32>,
    pub(crate) backlog: Option<u32>,
    /// `None` means roundrobin, or an algorithm that cannot be converted.
    pub(crate) balance: Option<Balance>,
    pub(crate) retries: Option<u32>,
    pub(crate) redispatch: bool,
    pub(crate) server: ServerOptions,
    /// The line that selects the backend.
    pub(crate) backend: Option<Statement>,
    pub(crate) check_method: CheckMethod,
    pub(crate) check_rules: TcpCheckRules,
    pub(crate) disabled: bool,
    /// Whether each session is logged.
    pub(crate) tcplog: bool,
    /// Whether there is a rule that rejects clients, which cannot be converted.
    pub(crate) has_reject_rule: bool,
}
