//! What dormouse and a guard say to each other over a pair of sockets: a byte is an order, a line is an answer.

use std::fmt;

use crate::process::Ending;

/// What dormouse wants of a guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    /// End all of it.
    Stop,
    /// Freeze all of it.
    Freeze,
    /// Let all of it go on.
    Thaw,
}

impl Ask {
    pub(super) fn to_byte(self) -> u8 {
        match self {
            Self::Stop => b's',
            Self::Freeze => b'f',
            Self::Thaw => b't',
        }
    }

    pub(super) fn from_byte(byte: u8) -> Option<Self> {
        [Self::Stop, Self::Freeze, Self::Thaw].into_iter().find(|ask| ask.to_byte() == byte)
    }
}

/// What a guard tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    /// The program runs.
    Started,
    /// The program could not be started, for this error of the system. The guard ends.
    Failed(i32),
    /// The program itself has ended, and left something behind that runs on.
    MainEnded(Ending),
    /// Nothing is left of it. The guard ends.
    Ended(Ending),
    /// All of it is frozen.
    Frozen,
    /// It cannot be frozen, and goes on.
    Unfreezable(String),
    /// All of it goes on.
    Thawed,
    /// For an administrator.
    Warning(String),
}

impl Said {
    /// Reads a line without its end.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        Some(match word {
            "started" => Self::Started,
            "failed" => Self::Failed(rest.parse().ok()?),
            "main" => Self::MainEnded(parse_ending(rest)?),
            "ended" => Self::Ended(parse_ending(rest)?),
            "frozen" => Self::Frozen,
            "unfreezable" => Self::Unfreezable(rest.to_owned()),
            "thawed" => Self::Thawed,
            "warning" => Self::Warning(rest.to_owned()),
            _ => return None,
        })
    }
}

/// As it is sent, with its end of line.
impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started => f.write_str("started\n"),
            Self::Failed(errno) => writeln!(f, "failed {errno}"),
            Self::MainEnded(ending) => writeln!(f, "main {}", Code(*ending)),
            Self::Ended(ending) => writeln!(f, "ended {}", Code(*ending)),
            Self::Frozen => f.write_str("frozen\n"),
            Self::Unfreezable(reason) => writeln!(f, "unfreezable {}", reason.replace('\n', " ")),
            Self::Thawed => f.write_str("thawed\n"),
            Self::Warning(text) => writeln!(f, "warning {}", text.replace('\n', " ")),
        }
    }
}

struct Code(Ending);

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Ending::Exited(code) => write!(f, "exited {code}"),
            Ending::Killed(signal) => write!(f, "killed {signal}"),
        }
    }
}

fn parse_ending(text: &str) -> Option<Ending> {
    match text.split_once(' ')? {
        ("exited", code) => Some(Ending::Exited(code.parse().ok()?)),
        ("killed", signal) => Some(Ending::Killed(signal.parse().ok()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_understood() {
        for said in [
            Said::Started,
            Said::Failed(2),
            Said::MainEnded(Ending::Exited(3)),
            Said::Ended(Ending::Killed(9)),
            Said::Frozen,
            Said::Unfreezable("no such thing".to_owned()),
            Said::Thawed,
            Said::Warning("a b".to_owned()),
        ] {
            let line = said.to_string();
            assert_eq!(Said::parse(line.strip_suffix('\n').unwrap()), Some(said));
        }
        for junk in ["", "failed", "failed x", "ended", "ended 3", "ended exited", "what"] {
            assert_eq!(Said::parse(junk), None, "{junk}");
        }
        assert_eq!(Ask::from_byte(b'f'), Some(Ask::Freeze));
        assert_eq!(Ask::from_byte(b'x'), None);
    }
}
