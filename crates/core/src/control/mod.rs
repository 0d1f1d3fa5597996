//! The language of the control socket: `HAProxy`'s words (its management guide, "Unix Socket commands"), and ours.
//!
//! Bytes become lines of bounded length ([`LineBuffer`]), a line becomes commands ([`parse`]). Nothing here knows what a
//! command does.

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

/// Something that is asked for.
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
    /// `show errors`: there are none to show where nothing is parsed.
    ShowErrors,
    /// `show services`: ours.
    ShowServices {
        /// For a program.
        json: bool,
    },
    /// `explain SERVICE`, `explain SERVICE/SERVER`: ours.
    Explain(Selector),
    /// `wake`, `sleep`, `freeze`, `thaw`, `drain`: ours; what it is done to is a service or a server.
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
    /// `clear counters`: the maxima begin anew.
    ClearCounters,
    /// `help [WORD]`.
    Help(Option<String>),
    /// `prompt`: further lines follow, each after a prompt.
    Prompt,
    /// `quit`.
    Quit,
}

/// How figures are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputFormat {
    /// For people, or as CSV.
    Plain,
    /// A value a line, with its type.
    Typed,
    /// JSON.
    Json,
}

/// Which filter of the statistics are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StatFilter {
    /// Of this proxy only.
    pub proxy: Option<ProxyId>,
    /// Of these kinds: 1 for frontends, 2 for backends, 4 for servers, added up. `None`: all.
    pub kinds: Option<u8>,
    /// Of this server only.
    pub server: Option<u32>,
    /// Servers that are down are left out.
    pub up: bool,
    /// Servers in maintenance are left out.
    pub no_maint: bool,
}

/// A proxy by its number or its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProxyId {
    /// Its number (iid).
    Number(u32),
    /// Its name.
    Name(String),
}

/// Which sessions are wanted, and how much of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionQuery {
    /// A line each.
    Summary,
    /// All that is known of each.
    Details,
    /// All that is known of one.
    One(u64),
}

/// What is done to something that sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WorkloadCommand {
    /// It is woken.
    Wake,
    /// It is stopped, if nobody uses it.
    Sleep,
    /// It is frozen, if nobody uses it.
    Freeze,
    /// It is thawed.
    Thaw,
    /// It gets no new sessions, and sleeps when the last one has ended.
    Drain,
}

/// A service, or one server of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// All servers of it.
    Service(String),
    /// One.
    Server(ServerName),
}

/// `BACKEND/SERVER`; neither is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerName {
    /// The service.
    pub backend: String,
    /// The server in it.
    pub server: String,
}

/// A weight: absolute, or a share of what is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// From 0 to 256.
    Absolute(u16),
    /// Percent.
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
