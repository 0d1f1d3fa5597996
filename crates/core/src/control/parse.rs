//! Parses lines into commands. The error messages are `HAProxy`'s, because its users and tools expect them.

use std::fmt;
use std::time::Duration;

use super::tokenize::tokenize;
use super::{
    AdminState, Command, OutputFormat, ProxyId, Selector, ServerName, SessionQuery, StatFilter, Weight,
    WorkloadCommand,
};

/// Parses a line into its commands, in their order.
pub fn parse(line: &[u8]) -> Vec<Result<Command, CommandError>> {
    tokenize(line).iter().map(|words| command(words)).collect()
}

/// Why a text is not a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandError {
    /// No command has this name.
    Unknown(String),
    /// The server is missing, or is not in the form `backend/server`.
    NoServerName,
    /// `set server B/S` without a known property.
    NoProperty,
    /// The state does not exist.
    InvalidState,
    /// The weight is missing.
    NoWeight,
    /// The weight is not a valid number.
    InvalidWeight,
    /// The frontend is missing.
    NoFrontend,
    /// The number is missing or not valid.
    InvalidNumber(&'static str),
    /// The session is missing or not valid.
    NoSession,
    /// The timeout is missing.
    NoDelay,
    /// The timeout is not a time span, or is zero.
    InvalidDelay,
    /// The timeout cannot be set.
    UnknownTimeout,
    /// The service is missing.
    NoService(&'static str),
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(_) => f.write_str("Unknown command."),
            Self::NoServerName => f.write_str("Require 'backend/server'."),
            Self::NoProperty => f.write_str("usage: set server <backend>/<server> state | weight"),
            Self::InvalidState => {
                f.write_str("'set server <srv> state' expects 'ready', 'drain' and 'maint'.")
            }
            Self::NoWeight => f.write_str("Require <weight> or <weight%>."),
            Self::InvalidWeight => f.write_str("Absolute weight can only be between 0 and 256 inclusive."),
            Self::NoFrontend => f.write_str("A frontend name is expected."),
            Self::InvalidNumber(what) => write!(f, "{what} empty or preceded by garbage"),
            Self::NoSession => f.write_str("Session pointer expected (use 'show sess')."),
            Self::NoDelay => f.write_str("Expects an integer value."),
            Self::InvalidDelay => f.write_str("Invalid timeout value."),
            Self::UnknownTimeout => f.write_str("'set timeout' only supports 'cli'."),
            Self::NoService(verb) => write!(f, "Require a service: {verb} NAME (use 'show services')."),
        }
    }
}

fn command(words: &[String]) -> Result<Command, CommandError> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["show", rest @ ..] => show(rest),
        ["set", rest @ ..] => set(rest),
        ["enable", "server", rest @ ..] => Ok(Command::SetState(server(rest)?, AdminState::Ready)),
        ["disable", "server", rest @ ..] => Ok(Command::SetState(server(rest)?, AdminState::Maint)),
        ["get", "weight", rest @ ..] => Ok(Command::GetWeight(server(rest)?)),
        ["shutdown", "sessions", "server", rest @ ..] => Ok(Command::ShutdownSessions(server(rest)?)),
        ["shutdown", "session", rest @ ..] => {
            let id = rest.first().and_then(|text| session_id(text));
            id.map(Command::ShutdownSession).ok_or(CommandError::NoSession)
        }
        ["clear", "counters", ..] => Ok(Command::ClearCounters),
        ["explain", rest @ ..] => Ok(Command::Explain(selector("explain", rest)?)),
        ["wake", rest @ ..] => workload(WorkloadCommand::Wake, "wake", rest),
        ["sleep", rest @ ..] => workload(WorkloadCommand::Sleep, "sleep", rest),
        ["freeze", rest @ ..] => workload(WorkloadCommand::Freeze, "freeze", rest),
        ["thaw", rest @ ..] => workload(WorkloadCommand::Thaw, "thaw", rest),
        ["drain", rest @ ..] => workload(WorkloadCommand::Drain, "drain", rest),
        ["undrain", rest @ ..] => workload(WorkloadCommand::Undrain, "undrain", rest),
        ["help", rest @ ..] => Ok(Command::Help((!rest.is_empty()).then(|| rest.join(" ")))),
        ["prompt", ..] => Ok(Command::Prompt),
        ["quit", ..] => Ok(Command::Quit),
        _ => Err(CommandError::Unknown(words.join(" "))),
    }
}

fn show(words: &[&str]) -> Result<Command, CommandError> {
    match words {
        ["info", rest @ ..] => Ok(Command::ShowInfo(output_format(rest))),
        ["stat", rest @ ..] => Ok(stat(rest)),
        ["sess"] => Ok(Command::ShowSessions(SessionQuery::Summary)),
        ["sess", "all", ..] => Ok(Command::ShowSessions(SessionQuery::Details)),
        ["sess", id, ..] => {
            let id = session_id(id).ok_or(CommandError::NoSession)?;
            Ok(Command::ShowSessions(SessionQuery::One(id)))
        }
        ["servers", "state", rest @ ..] => {
            Ok(Command::ShowServersState(rest.first().map(|name| (*name).to_owned())))
        }
        ["backend", ..] => Ok(Command::ShowBackends),
        ["version", ..] => Ok(Command::ShowVersion),
        ["errors", ..] => Ok(Command::ShowErrors),
        ["services", rest @ ..] => Ok(Command::ShowServices { json: rest.contains(&"json") }),
        _ => Err(CommandError::Unknown(format!("show {}", words.join(" ")))),
    }
}

fn output_format(words: &[&str]) -> OutputFormat {
    if words.contains(&"typed") {
        OutputFormat::Typed
    } else if words.contains(&"json") {
        OutputFormat::Json
    } else {
        OutputFormat::Plain
    }
}

/// Parses `show stat [PROXY KINDS SERVER] [typed|json] [up] [no-maint]`. -1 selects all.
fn stat(words: &[&str]) -> Command {
    let flags = ["typed", "json", "up", "no-maint", "desc"];
    let mut filter = StatFilter {
        up: words.contains(&"up"),
        no_maint: words.contains(&"no-maint"),
        ..StatFilter::default()
    };
    let mut numbers = words.iter().filter(|word| !flags.contains(word));
    if let (Some(proxy), Some(kinds), Some(server)) = (numbers.next(), numbers.next(), numbers.next()) {
        filter.proxy = match proxy.parse::<i64>() {
            Ok(number) => u32::try_from(number).ok().map(ProxyId::Number),
            Err(_) => Some(ProxyId::Name((*proxy).to_owned())),
        };
        filter.kinds = kinds.parse::<i64>().ok().and_then(|kinds| u8::try_from(kinds).ok());
        filter.server = server.parse::<i64>().ok().and_then(|server| u32::try_from(server).ok());
    }
    Command::ShowStat(output_format(words), filter)
}

fn set(words: &[&str]) -> Result<Command, CommandError> {
    match words {
        ["server", rest @ ..] => {
            let name = server(rest)?;
            match rest.get(1..).unwrap_or_default() {
                ["state", "ready", ..] => Ok(Command::SetState(name, AdminState::Ready)),
                ["state", "drain", ..] => Ok(Command::SetState(name, AdminState::Drain)),
                ["state", "maint", ..] => Ok(Command::SetState(name, AdminState::Maint)),
                ["state", ..] => Err(CommandError::InvalidState),
                ["weight", rest @ ..] => Ok(Command::SetWeight(name, weight(rest)?)),
                _ => Err(CommandError::NoProperty),
            }
        }
        ["weight", rest @ ..] => {
            let name = server(rest)?;
            Ok(Command::SetWeight(name, weight(rest.get(1..).unwrap_or_default())?))
        }
        ["maxconn", "frontend", rest @ ..] => {
            let name = rest.first().ok_or(CommandError::NoFrontend)?;
            let value = rest.get(1).and_then(|text| text.parse().ok());
            let value = value.ok_or(CommandError::InvalidNumber("maxconn string"))?;
            Ok(Command::SetMaxconnFrontend((*name).to_owned(), value))
        }
        ["maxconn", "server", rest @ ..] => {
            let name = server(rest)?;
            let value = rest.get(1).and_then(|text| text.parse().ok());
            Ok(Command::SetMaxconnServer(name, value.ok_or(CommandError::InvalidNumber("maxconn string"))?))
        }
        ["timeout", "cli", rest @ ..] => {
            let delay = delay(rest.first().ok_or(CommandError::NoDelay)?);
            Ok(Command::SetTimeout(delay.ok_or(CommandError::InvalidDelay)?))
        }
        ["timeout", ..] => Err(CommandError::UnknownTimeout),
        _ => Err(CommandError::Unknown(format!("set {}", words.join(" ")))),
    }
}

fn workload(command: WorkloadCommand, verb: &'static str, words: &[&str]) -> Result<Command, CommandError> {
    Ok(Command::Workload(command, selector(verb, words)?))
}

fn selector(verb: &'static str, words: &[&str]) -> Result<Selector, CommandError> {
    let name = words.first().ok_or(CommandError::NoService(verb))?;
    match name.split_once('/') {
        Some((backend, server)) if !backend.is_empty() && !server.is_empty() => {
            Ok(Selector::Server(ServerName { backend: backend.to_owned(), server: server.to_owned() }))
        }
        Some(_) => Err(CommandError::NoServerName),
        None => Ok(Selector::Service((*name).to_owned())),
    }
}

fn server(words: &[&str]) -> Result<ServerName, CommandError> {
    match words.first().and_then(|word| word.split_once('/')) {
        Some((backend, server)) if !backend.is_empty() && !server.is_empty() => {
            Ok(ServerName { backend: backend.to_owned(), server: server.to_owned() })
        }
        _ => Err(CommandError::NoServerName),
    }
}

fn weight(words: &[&str]) -> Result<Weight, CommandError> {
    let text = words.first().ok_or(CommandError::NoWeight)?;
    match text.strip_suffix('%') {
        Some(share) => share.parse().map(Weight::Percent).map_err(|_| CommandError::NoWeight),
        None => match text.parse() {
            Ok(weight @ 0..=256) => Ok(Weight::Absolute(weight)),
            Ok(_) => Err(CommandError::InvalidWeight),
            Err(_) => Err(CommandError::NoWeight),
        },
    }
}

/// Parses a session id: hexadecimal digits after 0x.
fn session_id(text: &str) -> Option<u64> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"))?;
    // `from_str_radix` accepts a sign, but an id has none.
    digits
        .bytes()
        .all(|byte| byte.is_ascii_hexdigit())
        .then(|| u64::from_str_radix(digits, 16).ok())
        .flatten()
}

/// Parses a delay as `HAProxy` does: a number of seconds, or a number with the unit us, ms, s, m, h or d. Delays below
/// a millisecond are rounded up to one. Zero is not a delay.
fn delay(text: &str) -> Option<Duration> {
    let end = text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    let number: u32 = number.parse().ok()?;
    let unit = match unit {
        "us" => Duration::from_micros(1),
        "ms" => Duration::from_millis(1),
        "" | "s" => Duration::from_secs(1),
        "m" => Duration::from_secs(60),
        "h" => Duration::from_secs(3600),
        "d" => Duration::from_secs(24 * 3600),
        _ => return None,
    };
    let delay = unit.checked_mul(number).filter(|delay| !delay.is_zero())?;
    Some(delay.max(Duration::from_millis(1)))
}
