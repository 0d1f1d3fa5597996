//! `dormouse demo`: a service that sleeps until somebody connects, with everything built in.

mod server;

use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dormouse_activate::ActivatorConfig;
use dormouse_activate::exec::Exec;
use dormouse_config::limit::Cap;
use dormouse_config::listen_options::ListenOptions;
use dormouse_config::model::{AdminConfig, Config, Control, Idle, Listen, ServerConfig, ServiceConfig};
use dormouse_core::address::{AddressError, ListenAddress, Target};
use dormouse_log::Level;
use dormouse_proxy::listener::Received;

use crate::supervisor::{RunError, run_and_tell};
pub use server::serve;

/// The hidden command that the demo starts: its server.
pub const SERVER: &str = "demo-server";

/// It sleeps after so long without a session.
const IDLE: Duration = Duration::from_secs(10);

/// Why there is no demo.
#[derive(Debug)]
pub enum DemoError {
    /// No place for the server's socket.
    Directory(PathBuf, io::Error),
    /// Its name cannot be an address.
    Address(AddressError),
    /// It did not run.
    Run(RunError),
}

impl fmt::Display for DemoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path, error) => write!(f, "Failed to make {}: {error}", path.display()),
            Self::Address(error) => {
                write!(f, "The temporary directory's name is no good for a socket: {error}")
            }
            Self::Run(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for DemoError {}

/// Runs the demo until it is interrupted.
///
/// # Errors
/// When it cannot start.
pub fn run(passed: Received) -> Result<(), DemoError> {
    let directory = std::env::temp_dir().join(format!("dormouse-demo-{}", std::process::id()));
    let made = fs::DirBuilder::new().mode(0o700).create(&directory);
    made.map_err(|error| DemoError::Directory(directory.clone(), error))?;
    let result = config(&directory)
        .map_err(DemoError::Address)
        .and_then(|config| run_and_tell(config, None, passed, tell).map_err(DemoError::Run));
    // What is left in the directory is the socket of a server that was killed.
    let _ = fs::remove_dir_all(&directory);
    result
}

fn tell(listeners: &[String]) {
    // Whoever does not read it sees the listener in the log.
    let _ = writeln!(
        io::stdout(),
        "A web server sleeps behind this address; it takes a second to start.\n\
         In another terminal:\n\n    \
         curl http://{}/\n\n\
         It goes back to sleep {} s after the last session. Ctrl-C ends the demo.\n",
        listeners.first().map_or("", String::as_str),
        IDLE.as_secs()
    );
}

fn config(directory: &Path) -> Result<Config, AddressError> {
    let socket = directory.join("server.sock");
    let exec = Exec {
        argv: vec!["/proc/self/exe".into(), SERVER.into(), socket.clone().into()],
        environment: Vec::new(),
        directory: None,
        notify: false,
    };
    let to = Target::parse(socket.as_os_str())?;
    let server = ServerConfig::new("demo".to_owned(), to, Some(ActivatorConfig::Exec(exec)));
    let listen = ListenAddress::parse("127.0.0.1:0")?;
    let listen = Listen::Open { address: listen, options: ListenOptions::default() };
    let service = ServiceConfig {
        idle: Idle { stop: Some(IDLE), minimum_uptime: Duration::ZERO, ..Idle::default() },
        maxconn: Cap::DEFAULT,
        ..ServiceConfig::new("demo".to_owned(), vec![listen], vec![server])
    };
    // Every session is to be seen.
    Ok(Config {
        log_level: Some(Level::Debug),
        drain_timeout: None,
        admin: AdminConfig { control: Control::Off, ..AdminConfig::default() },
        services: vec![service],
    })
}
