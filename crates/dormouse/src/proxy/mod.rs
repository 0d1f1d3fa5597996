//! `dormouse proxy`: one service that has nothing to wake, between the sockets passed in and one target.

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

/// What the command line asks for.
#[derive(Debug)]
pub struct Settings {
    /// Where sessions go.
    pub target: Target,
    /// Where to listen when nothing is passed in; none of them takes in another.
    pub listen: Vec<ListenAddress>,
    /// How many sessions at once.
    pub cap: Cap,
    /// What happens to the next one.
    pub at_limit: AtLimit,
    /// Exit after so long without a session.
    pub exit_idle_time: Option<Duration>,
    /// The header that the server gets.
    pub proxy_protocol: Option<Version>,
    /// How long a client is held.
    pub wait: TimeSpan,
    /// How long an address may take to answer.
    pub connect_timeout: Option<Duration>,
    /// How long a session may be silent.
    pub idle_timeout: Option<Duration>,
    /// How long it may be silent when half of it is closed.
    pub half_close_timeout: Option<Duration>,
    /// How long open sessions may go on after SIGTERM.
    pub drain_timeout: TimeSpan,
    /// What is logged; `None`: as the environment says.
    pub log_level: Option<Level>,
}

/// Why the proxy did not start, or did not go on.
#[derive(Debug)]
pub enum ProxyError {
    /// What was passed in is of no use.
    Passed(PassedError),
    /// Nothing was passed in, and there is nowhere to listen.
    NoSockets,
    /// We cannot listen.
    Open(OpenError),
    /// The target cannot be completed.
    Target(ResolveError),
    /// The system gives us no event loop.
    Runtime(io::Error),
    /// A listener died.
    Listener {
        /// Which.
        name: String,
        /// What the kernel said.
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
            Self::Runtime(error) => write!(f, "Failed to set up the event loop: {error}"),
            Self::Listener { name, error } => write!(f, "Failed to accept on {name}: {error}"),
        }
    }
}

impl std::error::Error for ProxyError {}

impl ProxyError {
    /// The kernel's number for it, as the service manager is told (`ERRNO=`, `sd_notify(3)`).
    pub fn errno(&self) -> Errno {
        let error = match self {
            Self::Open(error) => &error.error,
            Self::Runtime(error) | Self::Listener { error, .. } => error,
            Self::Passed(_) | Self::NoSockets | Self::Target(_) => return Errno::INVAL,
        };
        Errno::from_io_error(error).unwrap_or(Errno::IO)
    }
}

/// What is served.
enum Source {
    Listeners(Vec<Listener>),
    Connected(std::os::fd::OwnedFd),
}

/// Serves until idle, told to stop, or failed.
///
/// # Errors
/// When it cannot start, or a listener dies.
pub fn run(settings: Settings, passed: PassedFds) -> Result<(), ProxyError> {
    let source = match listener::classify(passed).map_err(ProxyError::Passed)? {
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
    block_on(serve::serve(settings, source, manager)).map_err(ProxyError::Runtime)?
}
