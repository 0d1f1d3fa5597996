//! `dormouse demo`: a service that starts on demand, with everything built in.

mod server;

use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dormouse_activate::ActivatorConfig;
use dormouse_activate::exec::{Exec, Sandbox};
use dormouse_config::limit::Cap;
use dormouse_config::listen_options::ListenOptions;
use dormouse_config::model::{AdminConfig, Config, Control, Idle, Listen, ServerConfig, ServiceConfig};
use dormouse_core::address::{AddressError, ListenAddress, Target};
use dormouse_log::Level;
use dormouse_proxy::listener::PassedFds;

use crate::supervisor::{RunError, run_with};
pub use server::serve;

/// The hidden command that the demo starts: its server.
pub const SERVER: &str = "demo-server";

/// The time without a session after which the server stops.
const IDLE: Duration = Duration::from_secs(10);

/// The reason why the demo failed.
#[derive(Debug)]
pub enum DemoError {
    /// The directory for the socket of the server cannot be created.
    Directory(PathBuf, io::Error),
    /// The path of the directory cannot be an address.
    Address(AddressError),
    /// The supervisor failed.
    Run(RunError),
}

impl fmt::Display for DemoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path, error) => write!(
                f,
                "Failed to create {}: {error}; set TMPDIR to a directory that you may write to",
                path.display()
            ),
            Self::Address(error) => {
                write!(
                    f,
                    "The path of the temporary directory is unsuitable for a socket: {error}; set TMPDIR to a shorter path"
                )
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
pub fn run(passed: PassedFds) -> Result<(), DemoError> {
    let directory = std::env::temp_dir().join(format!("dormouse-demo-{}", std::process::id()));
    let made = fs::DirBuilder::new().mode(0o700).create(&directory);
    made.map_err(|error| DemoError::Directory(directory.clone(), error))?;
    let result = config(&directory)
        .map_err(DemoError::Address)
        .and_then(|config| run_with(config, None, passed, print_address).map_err(DemoError::Run));
    if result.is_ok() {
        // The demo has ended whether or not the message can be written.
        let _ =
            writeln!(io::stdout(), "The demo has ended: its web server is stopped and its port is closed.");
    }
    // Only the socket of a killed server is left in the directory.
    let _ = fs::remove_dir_all(&directory);
    result
}

/// Prints how to try the demo.
fn print_address(listeners: &[String]) {
    // The log contains the address, too.
    let _ = writeln!(
        io::stdout(),
        "dormouse listens on this address; the first connection starts a web server, which takes a second.\n\
         In another terminal:\n\n    \
         curl http://{}/\n\n\
         The web server stops {} s after the last session. Ctrl-C ends the demo.\n",
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
        user: None,
        sandbox: Sandbox::None,
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
    // Log every session.
    Ok(Config {
        restrict_self: false,
        log_level: Some(Level::Debug),
        drain_timeout: None,
        admin: AdminConfig { control: Control::Off, ..AdminConfig::default() },
        services: vec![service],
    })
}
