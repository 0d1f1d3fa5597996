//! The severity and the format of log lines.

use std::fmt;

/// The severity of a line, as in syslog(3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// A failure that dormouse does not recover from.
    Err = 3,
    /// A condition that an administrator should look at.
    Warning = 4,
    /// A normal but unusual condition.
    Notice = 5,
    /// A normal event.
    Info = 6,
    /// Details, among them a line for each session.
    Debug = 7,
}

impl Level {
    /// Parses a level in systemd's syntax: a name or a number.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "emerg" | "alert" | "crit" | "err" | "error" | "0" | "1" | "2" | "3" => Some(Self::Err),
            "warning" | "warn" | "4" => Some(Self::Warning),
            "notice" | "5" => Some(Self::Notice),
            "info" | "6" => Some(Self::Info),
            "debug" | "7" => Some(Self::Debug),
            _ => None,
        }
    }
}

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// Plain text. Sessions are logged at debug level.
    #[default]
    Text,
    /// Sessions in the format of `HAProxy`'s `option tcplog`, at info level; all other lines as plain text.
    Tcplog,
    /// One JSON object for each line. Sessions are logged at info level.
    Json,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Err => "err",
            Self::Warning => "warning",
            Self::Notice => "notice",
            Self::Info => "info",
            Self::Debug => "debug",
        })
    }
}
