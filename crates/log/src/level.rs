//! How severe a line is, and the format of lines.

use std::fmt;

/// How grave a line is, by syslog(3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something failed for good.
    Err = 3,
    /// Somebody should look.
    Warning = 4,
    /// Unusual, but right.
    Notice = 5,
    /// What an administrator wants to know.
    Info = 6,
    /// Every session.
    Debug = 7,
}

impl Level {
    /// Reads a level as systemd writes them: a name or a number.
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

/// What lines look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// In words; a session's only at debug level.
    #[default]
    Text,
    /// Sessions as `HAProxy` tells them with `option tcplog`, at info level; all else in words.
    Tcplog,
    /// Every line is a JSON object; a session's at info level.
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
