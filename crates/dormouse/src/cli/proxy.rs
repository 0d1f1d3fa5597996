//! `dormouse proxy`: the command line of systemd-socket-proxyd to the letter, with the additions of dormouse.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::process::ExitCode;

use dormouse_config::endpoint::{fold, shown};
use dormouse_config::limit::{AtLimit, Cap};
use dormouse_config::model::Listen;
use dormouse_config::suggest::nearest_choice;
use dormouse_core::address::{ListenAddress, Target};
use dormouse_core::getopt::{Getopt, GetoptError, OptSpec, Tier};
use dormouse_core::number::parse_u32;
use dormouse_core::proxy_protocol::Version;
use dormouse_core::timespan::TimeSpan;
use dormouse_log::{Escaped, Level, write_stderr_lines};
use dormouse_proxy::listener::PassedFds;
use dormouse_sys::notify::Notifier;
use rustix::io::Errno;

use super::flags;
use super::proxy_flags::{Flag, PROXY};
use super::{out, version};
use crate::proxy::{self, Settings};

pub(super) fn run(argv0: &OsStr, args: impl Iterator<Item = OsString>, passed: PassedFds) -> ExitCode {
    match parse(argv0, args) {
        Ok(Request::Help) => out::print(help()),
        Ok(Request::Version) => out::print(format_args!("{}\n", version())),
        Ok(Request::Serve(settings)) => match proxy::run(*settings, passed) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail_with([Escaped(&error)], error.errno(), 1),
        },
        // In systemd-socket-proxyd the C library prints this message, without a priority.
        Err(error @ UsageError::Option(_)) => {
            write_stderr_lines(None, [Escaped(error)]);
            failed(Errno::INVAL, 1)
        }
        Err(error) => fail_with([Escaped(error)], Errno::INVAL, 1),
    }
}

/// Reports errors, whose texts of others are escaped, on standard error, each in a line, and the number of an error to the service manager.
pub(super) fn fail_with(errors: impl IntoIterator<Item: fmt::Display>, errno: Errno, status: u8) -> ExitCode {
    write_stderr_lines(Some(Level::Err), errors);
    failed(errno, status)
}

/// Reports the number of an error to the service manager, and returns the exit status.
fn failed(errno: Errno, status: u8) -> ExitCode {
    if let Some(manager) = Notifier::from_env() {
        manager.send_blocking(&format!("ERRNO={}", errno.raw_os_error()));
    }
    ExitCode::from(status)
}

#[derive(Debug)]
enum Request {
    Help,
    Version,
    Serve(Box<Settings>),
}

/// An error of the command line. The messages of the first five are those of systemd-socket-proxyd.
#[derive(Debug)]
enum UsageError {
    Option(GetoptError),
    NoTarget,
    TooMany,
    Argument { flag: &'static str, value: String },
    LimitTooLow,
    Target { text: String, reason: dormouse_core::address::AddressError },
    Listen { text: String, reason: dormouse_core::address::AddressError },
    ListenOptions(String),
    ListenTwice(ListenAddress),
    ListenIsTarget { listen: ListenAddress, target: Target },
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Option(error) => match flags::meant(error, PROXY) {
                Some(meant) => write!(f, "{error}; did you mean --{meant}?"),
                None => write!(f, "{error}"),
            },
            Self::NoTarget => f.write_str("Not enough parameters."),
            Self::TooMany => f.write_str("Too many parameters."),
            Self::Argument { flag, value } => {
                write!(f, "Failed to parse --{flag}= argument: {value}")?;
                meant(flag, value).map_or(Ok(()), |meant| write!(f, "; did you mean {meant}?"))
            }
            Self::LimitTooLow => f.write_str("Connection limit is too low."),
            Self::Target { text, reason } => write!(f, "Target \"{text}\" can never work: {reason}"),
            Self::Listen { text, reason } => {
                write!(f, "Failed to parse --listen= argument: {text}: {reason}")
            }
            Self::ListenOptions(text) => write!(
                f,
                "Failed to parse --listen= argument: {text}: dormouse proxy takes no options behind a path; use a \
                 socket unit with SocketMode=, or dormouse run --listen=/PATH?mode=0660"
            ),
            Self::ListenTwice(address) => {
                write!(f, "--listen={} is given twice; keep one", shown(address, false))
            }
            Self::ListenIsTarget { listen, target } => write!(
                f,
                "--listen={} is also the address of the target ({target}), so that dormouse would connect to itself; \
                 choose another address",
                shown(listen, false)
            ),
        }
    }
}

/// Returns the word that was probably meant. The messages about options of systemd-socket-proxyd stay as they are.
fn meant(flag: &str, value: &str) -> Option<&'static str> {
    let definition = PROXY.iter().find(|definition| definition.spec.long == flag)?;
    let is_ours = definition.spec.tier == Tier::Extension;
    is_ours.then(|| nearest_choice(value, definition.choices())).flatten()
}

fn parse(argv0: &OsStr, args: impl Iterator<Item = OsString>) -> Result<Request, UsageError> {
    let specs: Vec<OptSpec> = PROXY.iter().map(|definition| definition.spec).collect();
    let mut getopt = Getopt::new(argv0, &specs, args);
    let mut settings = Partial::default();
    // From left to right, as getopt does: a --help before a mistake still prints the help.
    for option in getopt.by_ref() {
        let option = option.map_err(UsageError::Option)?;
        let Some(definition) = PROXY.get(option.index) else { continue };
        let value = option.value.unwrap_or_default();
        match definition.flag {
            Flag::Help => return Ok(Request::Help),
            Flag::Version => return Ok(Request::Version),
            flag => settings.set(flag, definition.spec.long, &value)?,
        }
    }
    let mut positionals = getopt.positionals().into_iter();
    let target = positionals.next().ok_or(UsageError::NoTarget)?;
    if positionals.next().is_some() {
        return Err(UsageError::TooMany);
    }
    let parsed = Target::parse(&target)
        .map_err(|reason| UsageError::Target { text: target.to_string_lossy().into_owned(), reason })?;
    let settings = settings.complete(parsed);
    let is_target = |listen: &&ListenAddress| Listen::at((*listen).clone()).is_reached_by(&settings.target);
    match settings.listen.iter().find(is_target).cloned() {
        Some(listen) => Err(UsageError::ListenIsTarget { listen, target: settings.target }),
        None => Ok(Request::Serve(Box::new(settings))),
    }
}

/// The settings that the command line contains.
#[derive(Default)]
struct Partial {
    connections_max: Option<Cap>,
    exit_idle_time: Option<TimeSpan>,
    proxy_protocol: Option<Version>,
    wait: Option<TimeSpan>,
    at_limit: Option<AtLimit>,
    connect_timeout: Option<TimeSpan>,
    idle_timeout: Option<TimeSpan>,
    half_close_timeout: Option<TimeSpan>,
    drain_timeout: Option<TimeSpan>,
    listen: Vec<ListenAddress>,
    log_level: Option<Level>,
}

impl Partial {
    fn set(&mut self, flag: Flag, name: &'static str, value: &OsStr) -> Result<(), UsageError> {
        let bad = || UsageError::Argument { flag: name, value: value.to_string_lossy().into_owned() };
        let text = value.to_str().ok_or_else(bad)?;
        let span = || text.parse::<TimeSpan>().map_err(|_| bad());
        match flag {
            Flag::ConnectionsMax => {
                let number = parse_u32(text).map_err(|_| bad())?;
                self.connections_max = Some(Cap::new(number).ok_or(UsageError::LimitTooLow)?);
            }
            Flag::ExitIdleTime => self.exit_idle_time = Some(span()?),
            Flag::ProxyProtocol => {
                self.proxy_protocol = Some(match text {
                    "v1" => Version::V1,
                    "v2" => Version::V2,
                    _ => return Err(bad()),
                });
            }
            Flag::Wait => self.wait = Some(span()?),
            Flag::AtLimit => {
                self.at_limit = Some(match text {
                    "refuse" => AtLimit::Refuse,
                    "queue" => AtLimit::Queue,
                    _ => return Err(bad()),
                });
            }
            Flag::ConnectTimeout => self.connect_timeout = Some(span()?),
            Flag::IdleTimeout => self.idle_timeout = Some(span()?),
            Flag::HalfCloseTimeout => self.half_close_timeout = Some(span()?),
            Flag::DrainTimeout => self.drain_timeout = Some(span()?),
            Flag::Listen => {
                if text.starts_with('/') && text.contains(['?', ',']) {
                    return Err(UsageError::ListenOptions(text.to_owned()));
                }
                let listen = ListenAddress::parse(text)
                    .map_err(|reason| UsageError::Listen { text: text.to_owned(), reason })?;
                if !Listen::at(listen.clone()).is_any_port() && self.listen.contains(&listen) {
                    return Err(UsageError::ListenTwice(listen));
                }
                self.listen.push(listen);
            }
            Flag::LogLevel => self.log_level = Some(Level::parse(text).ok_or_else(bad)?),
            Flag::Help | Flag::Version => {}
        }
        Ok(())
    }

    fn complete(self, target: Target) -> Settings {
        let seconds = TimeSpan::from_secs;
        // A session limit of zero would end every session; as elsewhere with systemd, zero switches it off.
        let limit = |span: Option<TimeSpan>, default: TimeSpan| {
            span.unwrap_or(default).finite().filter(|s| !s.is_zero())
        };
        let mut listen: Vec<_> =
            self.listen.into_iter().map(|address| (Listen::at(address.clone()), address)).collect();
        fold(&mut listen);
        Settings {
            target,
            listen: listen.into_iter().map(|(_, address)| address).collect(),
            cap: self.connections_max.unwrap_or(Cap::DEFAULT),
            at_limit: self.at_limit.unwrap_or(AtLimit::Refuse),
            exit_idle_time: self.exit_idle_time.unwrap_or(TimeSpan::Infinite).finite(),
            proxy_protocol: self.proxy_protocol,
            wait: self.wait.unwrap_or(seconds(30)),
            connect_timeout: limit(self.connect_timeout, seconds(5)),
            idle_timeout: limit(self.idle_timeout, TimeSpan::Infinite),
            half_close_timeout: limit(self.half_close_timeout, seconds(60)),
            drain_timeout: self.drain_timeout.unwrap_or(TimeSpan::ZERO),
            log_level: self.log_level,
        }
    }
}

fn help() -> String {
    format!(
        "dormouse proxy [OPTIONS...] HOST:PORT\n\
         dormouse proxy [OPTIONS...] /PATH | @ABSTRACT | vsock:CID:PORT\n\n\
         Forward connections to one target, and hold them while the target does not answer yet.\n\
         Takes the place of systemd-socket-proxyd: its options have the same meaning here.\n\n\
         {}\n\
         A SPAN is a time span as in systemd.time(7), for example \"1min 30s\"; a plain number is in seconds.\n\
         See dormouse-proxy(8), systemd.socket(5).\n",
        flags::help(PROXY)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<Request, String> {
        parse("dormouse".as_ref(), args.iter().map(OsString::from)).map_err(|error| error.to_string())
    }

    fn settings(args: &[&str]) -> Settings {
        match parsed(args) {
            Ok(Request::Serve(settings)) => *settings,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_originals_abbreviations_still_mean_the_same() {
        assert_eq!(settings(&["--conn=5", "/x"]).cap.get(), 5);
        assert_eq!(settings(&["/x", "-c5"]).cap.get(), 5);
        assert!(matches!(parsed(&["--v"]), Ok(Request::Version)));
        assert!(matches!(parsed(&["--h", "--bogus"]), Ok(Request::Help)));
    }

    #[test]
    fn the_originals_messages() {
        for (args, message) in [
            (&[][..], "Not enough parameters."),
            (&["a:1", "b:1"], "Too many parameters."),
            (&["-c", "0", "a:1"], "Connection limit is too low."),
            (&["-c", "5 ", "a:1"], "Failed to parse --connections-max= argument: 5 "),
            (&["--exit-idle-time=x", "a:1"], "Failed to parse --exit-idle-time= argument: x"),
            (&["--bogus"], "dormouse: unrecognized option '--bogus'"),
            (&["--proxy-protocol=V2", "a:1"], "Failed to parse --proxy-protocol= argument: V2"),
            (&["--at-limit=qeue", "a:1"], "Failed to parse --at-limit= argument: qeue; did you mean queue?"),
            (&["--at-limit=drop", "a:1"], "Failed to parse --at-limit= argument: drop"),
            (
                &["--log-level=dbug", "a:1"],
                "Failed to parse --log-level= argument: dbug; did you mean debug?",
            ),
            (
                &["--exit-idel-time=5"],
                "dormouse: unrecognized option '--exit-idel-time=5'; did you mean --exit-idle-time?",
            ),
        ] {
            assert_eq!(parsed(args).unwrap_err(), message);
        }
    }

    #[test]
    fn an_address_that_another_listener_covers_is_not_opened() {
        for (args, left) in [
            (["--listen=0.0.0.0:80", "--listen=[::]:80"], &["[::]:80"][..]),
            (["--listen=*:80", "--listen=127.0.0.1:80"], &["[::]:80"]),
            (["--listen=127.0.0.1:80", "--listen=[::1]:80"], &["127.0.0.1:80", "[::1]:80"]),
            (["--listen=127.0.0.1:0", "--listen=127.0.0.1:0"], &["127.0.0.1:0", "127.0.0.1:0"]),
        ] {
            let listen = settings(&[args[0], args[1], "/x"]).listen;
            assert_eq!(listen.iter().map(ToString::to_string).collect::<Vec<_>>(), left);
        }
    }

    #[test]
    fn a_listener_that_is_there_twice_is_no_other_program() {
        for (one, other, address) in [("*:80", "[::]:80", "*:80"), ("@a", "@a", "@a")] {
            let message = parsed(&["--listen", one, "--listen", other, "/x"]).unwrap_err();
            assert_eq!(message, format!("--listen={address} is given twice; keep one"));
        }
    }

    #[test]
    fn a_listener_must_not_be_the_target() {
        for (listen, target) in [
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("*:80", "localhost:80"),
            ("[::1]:80", "*:80"),
            ("/run/x", "/run/x"),
            ("@x", "@x"),
        ] {
            let message = parsed(&["--listen", listen, target]).unwrap_err();
            assert_eq!(
                message,
                format!(
                    "--listen={listen} is also the address of the target ({target}), so that dormouse would connect to \
                     itself; choose another address"
                )
            );
        }
        for (listen, target) in [("127.0.0.1:80", "127.0.0.2:80"), ("*:80", "127.0.0.1:81"), ("*:0", "*:80")]
        {
            assert_eq!(settings(&["--listen", listen, target]).listen.len(), 1);
        }
    }

    #[test]
    fn zero_switches_a_session_limit_off() {
        assert_eq!(settings(&["--half-close-timeout=0", "/x"]).half_close_timeout, None);
        assert_eq!(settings(&["--exit-idle-time=0", "/x"]).exit_idle_time, Some(std::time::Duration::ZERO));
    }
}
