//! Parses the options after the address of a listener: `?mode=0660&group=www-data`.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use dormouse_core::address::ListenAddress;
use dormouse_core::timespan::{TimeSpan, TimeSpanError};
use dormouse_sys::users;

use super::quote::quoted;
use super::suggest::nearest;
use crate::listen_options::{ListenOptions, Owner};

/// The options of a UNIX socket, of TCP and of vsock.
const PATH: &[&str] = &["mode", "owner", "group", "backlog"];
const TCP: &[&str] = &["v6only", "freebind", "interface", "defer_accept", "fastopen", "backlog"];
const VSOCK: &[&str] = &["backlog"];

/// Parses the text after the question mark.
pub(super) fn parse(text: &str, address: &ListenAddress) -> Result<ListenOptions, OptionError> {
    let known = known(address);
    let mut options = ListenOptions::default();
    let mut seen = Vec::new();
    for option in text.split('&') {
        let (name, value) = match option.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (option, None),
        };
        let Some(name) = known.iter().copied().find(|known| *known == name) else {
            return Err(OptionError::Unknown { name: name.to_owned(), known });
        };
        if seen.contains(&name) {
            return Err(OptionError::Twice(name));
        }
        seen.push(name);
        set(&mut options, name, value, address)?;
    }
    Ok(options)
}

/// Returns the address with `?` before its options and `&` between them if other separators are used. A comma is
/// always taken for one: it would become a part of the name of a file.
pub(super) fn with_separators(text: &str) -> Option<String> {
    let is_option = |part: &str| {
        let name = part.trim().split('=').next().unwrap_or_default();
        [PATH, TCP, VSOCK].concat().contains(&name)
    };
    let (address, options) = text.split_once('?').unwrap_or((text, ""));
    let in_address = address.contains(',') || address.split([';', '&', ' ']).skip(1).any(is_option);
    if !in_address && !options.contains([',', ';', '?', ' ']) {
        return None;
    }
    let mut parts = text.split([',', ';', '&', '?', ' ']).map(str::trim).filter(|part| !part.is_empty());
    let address = parts.next()?;
    let options: Vec<_> = parts.map(with_octal_mode).collect();
    let mark = if options.is_empty() { "" } else { "?" };
    Some(format!("{address}{mark}{}", options.join("&")))
}

/// Returns the option, for a mode with four digits.
fn with_octal_mode(option: &str) -> String {
    match option.strip_prefix("mode=") {
        Some(digits) if digits.len() == 3 => format!("mode=0{digits}"),
        _ => option.to_owned(),
    }
}

fn known(address: &ListenAddress) -> &'static [&'static str] {
    match address {
        ListenAddress::Tcp(_) => TCP,
        ListenAddress::Unix(_) => PATH,
        ListenAddress::Vsock { .. } | ListenAddress::Abstract(_) => VSOCK,
    }
}

fn set(
    options: &mut ListenOptions,
    name: &'static str,
    value: Option<&str>,
    address: &ListenAddress,
) -> Result<(), OptionError> {
    let ListenOptions { backlog, file, tcp } = options;
    let Some(value) = value.filter(|value| !value.is_empty()) else {
        match name {
            "v6only" if matches!(address, ListenAddress::Tcp(tcp) if tcp.is_ipv4()) => {
                return Err(OptionError::NotV6);
            }
            "v6only" => tcp.v6only = true,
            "freebind" => tcp.freebind = true,
            _ => return Err(OptionError::NeedsValue(name)),
        }
        return Ok(());
    };
    match name {
        "mode" => file.mode = Some(mode(value).ok_or(OptionError::Mode)?),
        "owner" => file.owner = Some(owner(value, "user", users::user_id)?),
        "group" => file.group = Some(owner(value, "group", users::group_id)?),
        "interface" => tcp.interface = Some(interface(value)?),
        "defer_accept" => tcp.defer_accept = Some(span(name, value)?),
        "fastopen" => tcp.fast_open = Some(count(name, value)?),
        "backlog" => *backlog = Some(count(name, value)?),
        _ => return Err(OptionError::NoValue(name)),
    }
    Ok(())
}

fn mode(digits: &str) -> Option<u32> {
    let octal = (3..=4).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    u32::from_str_radix(digits, 8).ok().filter(|mode| octal && *mode <= 0o777)
}

/// Parses a name or a number.
fn owner(
    text: &str,
    kind: &'static str,
    look_up: impl FnOnce(&str) -> std::io::Result<Option<u32>>,
) -> Result<Owner, OptionError> {
    let name = || text.to_owned();
    let id = match decimal(text) {
        // The largest number means "no user" to the system.
        Some(id) if id != u32::MAX => id,
        _ => match look_up(text) {
            Ok(Some(id)) => id,
            Ok(None) => return Err(OptionError::UnknownOwner { kind, name: name() }),
            Err(error) => {
                return Err(OptionError::Database { kind, name: name(), reason: error.to_string() });
            }
        },
    };
    Ok(Owner { name: name(), id })
}

/// Checks the name of a network interface as the kernel does.
fn interface(name: &str) -> Result<String, OptionError> {
    let allowed = |c: char| c != '/' && c != ':' && !c.is_whitespace() && !c.is_control();
    if name.len() < 16 && name != "." && name != ".." && name.chars().all(allowed) {
        Ok(name.to_owned())
    } else {
        Err(OptionError::Interface)
    }
}

fn span(name: &'static str, text: &str) -> Result<Duration, OptionError> {
    let span: TimeSpan = text.parse().map_err(OptionError::Span)?;
    span.finite().filter(|span| !span.is_zero()).ok_or(OptionError::NoEnd(name))
}

fn count(name: &'static str, digits: &str) -> Result<NonZeroU32, OptionError> {
    decimal(digits).and_then(NonZeroU32::new).ok_or(OptionError::Count(name))
}

fn decimal(text: &str) -> Option<u32> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Why the options are not valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum OptionError {
    Unknown { name: String, known: &'static [&'static str] },
    Twice(&'static str),
    NeedsValue(&'static str),
    NoValue(&'static str),
    Mode,
    UnknownOwner { kind: &'static str, name: String },
    Database { kind: &'static str, name: String, reason: String },
    Interface,
    Span(TimeSpanError),
    NoEnd(&'static str),
    Count(&'static str),
    NotV6,
}

impl fmt::Display for OptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { name, known } => {
                write!(f, "{} is not an option of this kind of listener; ", quoted(name))?;
                match nearest(name, known.iter().copied()) {
                    Some(meant) => write!(f, "did you mean {meant}?"),
                    None => write!(f, "valid options: {}", known.join(", ")),
                }
            }
            Self::Twice(name) => write!(f, "{name} is given twice; remove one"),
            Self::NeedsValue(name) => write!(f, "{name} needs a value; write {}", example(name)),
            Self::NoValue(name) => write!(f, "{name} takes no value; write {}", example(name)),
            Self::Mode => f.write_str("the mode is an octal number from 0000 to 0777; write ?mode=0660"),
            Self::UnknownOwner { kind, name } => {
                write!(f, "the {kind} {} does not exist; write another name, or a number", quoted(name))
            }
            Self::Database { kind, name, reason } => {
                write!(f, "the {kind} {} cannot be looked up: {reason}; write a number", quoted(name))
            }
            Self::Interface => f.write_str(
                "the name of a network interface has at most 15 characters; write ?interface=eth0",
            ),
            Self::Span(error) => write!(f, "{error}; write ?defer_accept=5s"),
            Self::NoEnd(name) => {
                write!(f, "{name} takes a finite time above zero; write {}", example(name))
            }
            Self::Count(name) => {
                write!(f, "{name} takes a number from 1 to {}; write {}", u32::MAX, example(name))
            }
            Self::NotV6 => f.write_str("v6only requires an IPv6 address; remove it"),
        }
    }
}

fn example(name: &str) -> &'static str {
    match name {
        "mode" => "?mode=0660",
        "owner" => "?owner=www-data",
        "group" => "?group=www-data",
        "v6only" => "?v6only",
        "freebind" => "?freebind",
        "interface" => "?interface=eth0",
        "defer_accept" => "?defer_accept=5s",
        "fastopen" => "?fastopen=256",
        _ => "?backlog=1024",
    }
}

#[cfg(test)]
mod tests {
    use super::with_separators;

    #[test]
    fn other_separators_are_replaced() {
        for (text, right) in [
            ("/tmp/web.sock,mode=660", "/tmp/web.sock?mode=0660"),
            ("/run/a.sock;mode=0660;group=www", "/run/a.sock?mode=0660&group=www"),
            ("/run/a.sock?mode=0660,group=www", "/run/a.sock?mode=0660&group=www"),
            ("/run/a.sock?mode=0660?owner=www", "/run/a.sock?mode=0660&owner=www"),
            ("/run/a.sock&mode=0660", "/run/a.sock?mode=0660"),
            ("unix:/run/a.sock mode=0660", "unix:/run/a.sock?mode=0660"),
            ("127.0.0.1:80,freebind", "127.0.0.1:80?freebind"),
        ] {
            assert_eq!(with_separators(text).as_deref(), Some(right), "{text}");
        }
        for text in
            ["/run/a.sock", "/run/a.sock?mode=0660&group=www", "[::]:80?v6only", "/run/a;b&c.sock", "*:80"]
        {
            assert_eq!(with_separators(text), None, "{text}");
        }
    }
}
