//! The language of the control socket: `HAProxy`'s commands (its management guide, "Unix Socket commands") and the
//! commands of dormouse.
//!
//! [`LineBuffer`] turns bytes into lines of bounded length, [`parse`] turns a line into commands. This module does not
//! execute commands.

mod help;
mod line_buffer;
mod parse;
mod tokenize;

use std::fmt;
use std::time::Duration;

pub use crate::pool::AdminState;
pub use help::{CommandHelp, HELP};
pub use line_buffer::{Line, LineBuffer, MAX_LINE};
pub use parse::{CommandError, parse};

/// A command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// `show info`.
    ShowInfo(OutputFormat),
    /// `show stat`.
    ShowStat(OutputFormat, StatFilter),
    /// `show sess`.
    ShowSessions(SessionQuery),
    /// `show servers state [BACKEND]`.
    ShowServersState(Option<String>),
    /// `show backend`.
    ShowBackends,
    /// `show version`.
    ShowVersion,
    /// `show errors`. The answer is always empty, because dormouse parses no requests.
    ShowErrors,
    /// `show services`, a command of dormouse.
    ShowServices {
        /// Whether the output is JSON.
        json: bool,
    },
    /// `explain SERVICE`, `explain SERVICE/SERVER`, a command of dormouse.
    Explain(Selector),
    /// `wake`, `sleep`, `freeze`, `thaw`, `drain`, `undrain` for a service or a server, commands of dormouse.
    Workload(WorkloadCommand, Selector),
    /// `set server B/S state`, `enable server`, `disable server`.
    SetState(ServerName, AdminState),
    /// `set server B/S weight`, `set weight B/S`.
    SetWeight(ServerName, Weight),
    /// `get weight B/S`.
    GetWeight(ServerName),
    /// `set maxconn frontend F N`.
    SetMaxconnFrontend(String, u32),
    /// `set maxconn server B/S N`.
    SetMaxconnServer(ServerName, u32),
    /// `set timeout cli SPAN`.
    SetTimeout(Duration),
    /// `shutdown session ID`.
    ShutdownSession(u64),
    /// `shutdown sessions server B/S`.
    ShutdownSessions(ServerName),
    /// `clear counters`: resets the maxima.
    ClearCounters,
    /// `help [WORD]`.
    Help(Option<String>),
    /// `prompt`: keeps the connection open and prints a prompt before each command.
    Prompt,
    /// `quit`.
    Quit,
}

/// The output format of statistics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputFormat {
    /// Text, or CSV.
    Plain,
    /// One value with its type per line.
    Typed,
    /// JSON.
    Json,
}

/// Which rows of the statistics to show.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StatFilter {
    /// Only this proxy.
    pub proxy: Option<ProxyId>,
    /// Only these kinds, a sum of 1 (frontends), 2 (backends) and 4 (servers). `None`: all.
    pub kinds: Option<u8>,
    /// Only this server.
    pub server: Option<u32>,
    /// Whether to skip servers that are down.
    pub up: bool,
    /// Whether to skip servers in maintenance.
    pub no_maint: bool,
}

/// A proxy by its number or its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProxyId {
    /// The number (iid).
    Number(u32),
    /// The name.
    Name(String),
}

/// Which sessions to show, in which detail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionQuery {
    /// All sessions, one line each.
    Summary,
    /// All sessions with all details.
    Details,
    /// One session with all details.
    One(u64),
}

/// A command for a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WorkloadCommand {
    /// Wake the workload.
    Wake,
    /// Stop the workload, if it is not in use.
    Sleep,
    /// Freeze the workload, if it is not in use.
    Freeze,
    /// Thaw the workload.
    Thaw,
    /// Give the workload no new sessions, and stop it when the last session ends.
    Drain,
    /// End the drain: give the workload new sessions again.
    Undrain,
}

/// Selects a service or one server of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// All servers of a service.
    Service(String),
    /// One server.
    Server(ServerName),
}

/// `BACKEND/SERVER`. Neither part is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerName {
    /// The service.
    pub backend: String,
    /// The server of the service.
    pub server: String,
}

/// A weight: absolute, or a share of the configured weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// An absolute weight from 0 to 256.
    Absolute(u16),
    /// A percentage.
    Percent(u16),
}

impl fmt::Display for WorkloadCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Wake => "wake",
            Self::Sleep => "sleep",
            Self::Freeze => "freeze",
            Self::Thaw => "thaw",
            Self::Drain => "drain",
            Self::Undrain => "undrain",
        })
    }
}

impl fmt::Display for AdminState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ready => "ready",
            Self::Drain => "drain",
            Self::Maint => "maint",
        })
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.backend, self.server)
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(name) => f.write_str(name),
            Self::Server(server) => server.fmt(f),
        }
    }
}
