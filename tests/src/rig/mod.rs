//! A running dormouse: each suite uses this to configure and start it, read its log and connect to its listeners.

mod place;

use std::fs;
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::time::Duration;

pub use self::place::Place;
use crate::failure::Doing;
use crate::process::{Launch, Running};
use crate::temp::TempDir;
use crate::wait::{self, LIMIT, SOON};
use crate::{Address, Failure, Result, Stream, messages};

/// A server that echoes each client until the client ends its stream, at the UNIX socket of its argument.
const ECHO: &str = include_str!("echo.py");

/// An echo server that runs independently of its start command. Its arguments are the path of its UNIX socket and that of
/// the file for its number.
pub const DAEMON: &str = include_str!("daemon.py");

/// The name of the configuration file in the directory of an instance.
const FILE: &str = "dormouse.toml";

/// A running `dormouse run` (or `dormouse proxy`).
#[derive(Debug)]
pub struct Dormouse(Running);

impl Deref for Dormouse {
    type Target = Running;

    fn deref(&self) -> &Running {
        &self.0
    }
}

impl DerefMut for Dormouse {
    fn deref_mut(&mut self) -> &mut Running {
        &mut self.0
    }
}

impl Dormouse {
    /// Starts `launch` and waits until dormouse listens.
    ///
    /// # Errors
    /// When it cannot be started or does not listen in time.
    pub fn start(launch: Launch) -> Result<Self> {
        let dormouse = Self(launch.start()?);
        dormouse.wait_for_log(messages::LISTENING)?;
        Ok(dormouse)
    }

    /// Writes a configuration to `dir`, starts `dormouse run` on it and waits until it listens. [`expand`]
    /// describes the placeholders that the configuration may contain.
    ///
    /// # Errors
    /// When the file cannot be written, or as [`Self::start`].
    pub fn with_config(dir: &TempDir, text: &str, launch: Launch) -> Result<Self> {
        Self::start(configured(dir, text, launch)?)
    }

    /// The log so far.
    pub fn log(&self) -> String {
        self.stderr().text()
    }

    /// The number of times that the log contains `part` so far. dormouse writes log lines a little after the events
    /// that they report: wait for an expected line.
    pub fn count_in_log(&self, part: &str) -> usize {
        self.log().matches(part).count()
    }

    /// Waits until the log contains `part`.
    ///
    /// # Errors
    /// When it does not in time; the failure contains the log.
    pub fn wait_for_log(&self, part: &str) -> Result<()> {
        self.stderr().wait_for(part, LIMIT).map_err(|failure| self.with_log(&failure))
    }

    /// Waits until the log contains `part` this many times.
    ///
    /// # Errors
    /// When it does not in time; the failure contains the log.
    pub fn wait_for_log_times(&self, part: &str, times: usize) -> Result<()> {
        let what = format!("{part:?} ({times} times) in the log");
        let found = wait::until(&what, LIMIT, || Ok((self.count_in_log(part) >= times).then_some(())));
        found.map_err(|failure| self.with_log(&failure))
    }

    /// Waits until the log contains `part` this many times, and fails if it contains it more often.
    ///
    /// # Errors
    /// When the number differs; the failure contains the log.
    pub fn expect_in_log_times(&self, part: &str, times: usize) -> Result<()> {
        self.wait_for_log_times(part, times)?;
        match self.count_in_log(part) {
            count if count == times => Ok(()),
            count => {
                let what = format!("{part:?} is in the log {count} times instead of {times}");
                Err(self.with_log(&Failure::Unexpected(what)))
            }
        }
    }

    /// Waits until the log contains one of these.
    ///
    /// # Errors
    /// When it contains none in time; the failure contains the log.
    pub fn wait_for_one_in_log(&self, parts: &[&str]) -> Result<()> {
        let what = format!("one of {parts:?} in the log");
        let found = wait::until(&what, LIMIT, || {
            Ok(parts.iter().any(|part| self.count_in_log(part) > 0).then_some(()))
        });
        found.map_err(|failure| self.with_log(&failure))
    }

    /// The address that dormouse listens on: the first that it logged.
    ///
    /// # Errors
    /// When the log has no such line.
    pub fn address(&self) -> Result<SocketAddr> {
        let log = self.log();
        let address = log.lines().find_map(|line| messages::listening_address(line, None));
        address.ok_or(Failure::Unexpected(log))
    }

    /// The address on which dormouse listens for `service`: the last that it logged.
    ///
    /// # Errors
    /// When the log has no such line in time.
    pub fn front(&self, service: &str) -> Result<SocketAddr> {
        let found = wait::until(&format!("the listener of {service}"), LIMIT, || {
            Ok(self.log().lines().rev().find_map(|line| messages::listening_address(line, Some(service))))
        });
        found.map_err(|failure| self.with_log(&failure))
    }

    /// A new client of `service`.
    ///
    /// # Errors
    /// When it cannot connect.
    pub fn client_of(&self, service: &str) -> Result<Stream> {
        Stream::connect(&Address::Tcp(self.front(service)?), SOON)
    }

    /// Sends `words` as a client and waits until the server echoes them.
    ///
    /// # Errors
    /// When the client receives anything else.
    pub fn echo(&self, client: &Stream, words: &str) -> Result<()> {
        client.send(words.as_bytes(), SOON)?;
        self.receives(client, words)
    }

    /// Waits until a client has received exactly these words.
    ///
    /// # Errors
    /// When it receives other bytes, or none in time; the failure contains the log.
    pub fn receives(&self, client: &Stream, words: &str) -> Result<()> {
        let received = client.receive(words.len(), LIMIT).map_err(|failure| self.with_log(&failure))?;
        if received == words.as_bytes() {
            return Ok(());
        }
        let received = String::from_utf8_lossy(&received);
        Err(self.with_log(&Failure::Unexpected(format!("received {received:?} instead of {words:?}"))))
    }

    /// Waits until a client's connection has ended without a byte received.
    ///
    /// # Errors
    /// When the client received a byte, or the connection did not end in time; the failure contains the log.
    pub fn is_refused(&self, client: &Stream) -> Result<()> {
        let received = client.receive_to_end(LIMIT).map_err(|failure| self.with_log(&failure))?;
        if received.bytes.is_empty() {
            return Ok(());
        }
        Err(self.with_log(&Failure::Unexpected(format!("the client was served: {received:?}"))))
    }

    /// Waits until a client's connection has ended.
    ///
    /// # Errors
    /// When it does not end within `limit`; the failure contains the log.
    pub fn is_ended(&self, client: &Stream, limit: Duration) -> Result<()> {
        match client.ended_within(limit)? {
            Some(_) => Ok(()),
            None => Err(self.with_log(&Failure::Unexpected("the session did not end".to_owned()))),
        }
    }

    /// Fails the test, with the log, unless `holds`.
    ///
    /// # Panics
    /// When it does not hold.
    #[track_caller]
    pub fn expect(&self, holds: bool, what: &str) {
        assert!(holds, "{what}; the log:\n{}", self.log());
    }
}

/// A launch of `dormouse run` on this configuration, which is written to `dir`.
///
/// # Errors
/// When it cannot be written.
pub fn configured(dir: &TempDir, text: &str, launch: Launch) -> Result<Launch> {
    let file = dir.join(FILE);
    write(&file, &expand(dir, text)?)?;
    Ok(launch.arg("run").arg(format!("--config={}", file.display())))
}

/// Replaces, in a configuration: `LISTEN` by a free port as a string; `DIR/` by the directory; `ECHO(NAME)` by the
/// keys of a server of that name: the UNIX socket NAME in the directory, and the command that starts an echo server.
///
/// # Errors
/// When the echo server's script cannot be written.
pub fn expand(dir: &TempDir, text: &str) -> Result<String> {
    let place = dir.path().display();
    let mut text = text.replace("LISTEN", "\"127.0.0.1:0\"").replace("DIR/", &format!("{place}/"));
    while let Some((before, rest)) = text.split_once("ECHO(") {
        let (name, after) = rest.split_once(')').ok_or(Failure::Unexpected("ECHO(".to_owned()))?;
        write(&dir.join("echo.py"), ECHO)?;
        text = format!(
            "{before}to = \"{place}/{name}\"\nwake.exec = \"python3 {place}/echo.py {place}/{name}\"{after}"
        );
    }
    Ok(text)
}

/// Writes a file.
///
/// # Errors
/// When it cannot be written.
pub fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).doing(|| format!("write {}", path.display()))
}
