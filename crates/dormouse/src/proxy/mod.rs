//! `dormouse proxy`: one service without a workload, between the passed sockets and one target.

mod serve;

use std::fmt;
use std::io;
use std::time::Duration;

use dormouse_config::limit::{AtLimit, Cap};
use dormouse_config::listen_options::ListenOptions;
use dormouse_core::address::{ListenAddress, Target};
use dormouse_core::proxy_protocol::Version;
use dormouse_core::timespan::TimeSpan;
use dormouse_log::Level;
use dormouse_proxy::listener::{self, Listener, OpenError, PassedError, PassedFds};
use dormouse_proxy::server::block_on;
use dormouse_sys::notify::Notifier;
use dormouse_sys::resolve::ResolveError;
use rustix::io::Errno;

/// The settings from the command line.
#[derive(Debug)]
pub struct Settings {
    /// The target of all sessions.
    pub target: Target,
    /// The addresses to listen on if no socket is passed; none covers another.
    pub listen: Vec<ListenAddress>,
    /// The maximum number of sessions.
    pub cap: Cap,
    /// The handling of clients beyond it.
    pub at_limit: AtLimit,
    /// The time without a session after which the process exits.
    pub exit_idle_time: Option<Duration>,
    /// The version of the PROXY header for the target.
    pub proxy_protocol: Option<Version>,
    /// The longest time to hold a client.
    pub wait: TimeSpan,
    /// The longest time for an address to answer.
    pub connect_timeout: Option<Duration>,
    /// The longest time without traffic in a session.
    pub idle_timeout: Option<Duration>,
    /// The same after one side has ended.
    pub half_close_timeout: Option<Duration>,
    /// The time that open sessions have after SIGTERM.
    pub drain_timeout: TimeSpan,
    /// The log level; `None`: that of the environment.
    pub log_level: Option<Level>,
}

/// The reason why the proxy failed.
#[derive(Debug)]
pub enum ProxyError {
    /// The passed descriptors are unusable.
    Passed(PassedError),
    /// No socket was passed, and there is no address to listen on.
    NoSockets,
    /// A listener cannot be opened.
    Open(OpenError),
    /// The name service of the target cannot be resolved.
    Target(ResolveError),
    /// The event loop cannot be created.
    Runtime(io::Error),
    /// A listener failed.
    Listener {
        /// Its name.
        name: String,
        /// The error.
        error: io::Error,
    },
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed(error) => write!(f, "{error}"),
            Self::NoSockets => f.write_str(
                "Didn't get any sockets passed in. (Start it from a socket unit, or give --listen=127.0.0.1:8080.)",
            ),
            Self::Open(error) => write!(f, "{error}"),
            Self::Target(error) => write!(f, "{error}"),
            Self::Runtime(error) => write!(f, "cannot set up the event loop: {error}"),
            Self::Listener { name, error } => write!(f, "{name}: cannot accept clients: {error}"),
        }
    }
}

impl std::error::Error for ProxyError {}

impl ProxyError {
    /// Returns the error number for the service manager (`ERRNO=`, `sd_notify(3)`).
    pub fn errno(&self) -> Errno {
        let error = match self {
            Self::Open(error) => &error.error,
            Self::Runtime(error) | Self::Listener { error, .. } => error,
            Self::Passed(_) | Self::NoSockets | Self::Target(_) => return Errno::INVAL,
        };
        Errno::from_io_error(error).unwrap_or(Errno::IO)
    }
}

/// The source of sessions.
enum Source {
    Listeners(Vec<Listener>),
    Connected(std::os::fd::OwnedFd),
}

/// Serves until the proxy is idle, stopped by a signal, or fails.
///
/// # Errors
/// The proxy cannot start, or a listener fails.
pub fn run(settings: Settings, passed: PassedFds) -> Result<(), ProxyError> {
    let passed = passed.map_err(|error| ProxyError::Passed(error.into()))?;
    let source = match listener::classify(passed.fds).map_err(ProxyError::Passed)? {
        listener::Passed::Listeners(listeners) => {
            Source::Listeners(listeners.into_iter().map(Listener::named_by_address).collect())
        }
        listener::Passed::Connected(socket) => Source::Connected(socket),
        listener::Passed::Nothing if settings.listen.is_empty() => return Err(ProxyError::NoSockets),
        listener::Passed::Nothing => {
            let options = ListenOptions::default();
            let opened: Result<_, _> =
                settings.listen.iter().map(|address| listener::open(address, &options)).collect();
            Source::Listeners(opened.map_err(ProxyError::Open)?)
        }
    };
    let manager = Notifier::from_env();
    block_on(serve::serve(settings, source, &passed.left_out, manager)).map_err(ProxyError::Runtime)?
}
