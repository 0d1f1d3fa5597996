//! A directory with a server's script and its files, and reserved ports.

use std::fs;
use std::path::PathBuf;

use super::write;
use crate::failure::Doing;
use crate::temp::TempDir;
use crate::{Family, Listener, Result};

/// The files and addresses of test servers: a directory with their script and files, and ports that are bound but
/// do not listen.
#[derive(Debug)]
pub struct Place {
    dir: TempDir,
    ports: Vec<Listener>,
}

impl Place {
    /// Makes the directory and reserves this number of ports.
    ///
    /// # Errors
    /// When the script cannot be written or a port cannot be bound.
    pub fn new(ports: usize) -> Result<Self> {
        let dir = TempDir::new()?;
        write(&dir.join("server.py"), include_str!("server.py"))?;
        let ports = (0..ports).map(|_| Listener::bound(Family::Tcp4)).collect::<Result<_>>()?;
        Ok(Self { dir, ports })
    }

    /// The directory.
    pub fn dir(&self) -> &TempDir {
        &self.dir
    }

    /// The address of one of the ports.
    ///
    /// # Panics
    /// When there is no such port.
    #[expect(clippy::indexing_slicing, reason = "a test that asks for a port too many is wrong")]
    pub fn port(&self, index: usize) -> String {
        self.ports[index].address().to_string()
    }

    /// The path of a file.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Returns the command that starts the server on one of the ports. An option `x` becomes `x=PATH`, the path of
    /// the file `x` in the directory; `x=y` is passed unchanged. The server records its starts in the file
    /// `starts`.
    pub fn server(&self, index: usize, options: &[&str]) -> String {
        self.server_at(&self.port(index), options)
    }

    /// Like [`server`](Self::server), on any address.
    pub fn server_at(&self, address: &str, options: &[&str]) -> String {
        self.command(address, "starts", options)
    }

    /// Like [`server`](Self::server), but the server records its starts in the file `starts`.
    pub fn server_recording(&self, index: usize, starts: &str) -> String {
        self.command(&self.port(index), starts, &[])
    }

    fn command(&self, address: &str, starts: &str, options: &[&str]) -> String {
        let (script, starts) = (self.path("server.py"), self.path(starts));
        let mut command = format!("python3 {} {address} starts={}", script.display(), starts.display());
        for option in options {
            let option = if option.contains('=') {
                format!("'{option}'")
            } else {
                format!("{option}={}", self.path(option).display())
            };
            command.extend([" ", &option]);
        }
        command
    }

    /// Creates the file that a server, or dormouse, waits for.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn open(&self, gate: &str) -> Result<()> {
        write(&self.path(gate), "")
    }

    /// Removes the file again.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn shut(&self, gate: &str) -> Result<()> {
        fs::remove_file(self.path(gate)).doing(|| format!("remove the file {gate}"))
    }

    /// The content of a file; empty if it does not exist.
    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_default()
    }

    /// The number of servers that were started.
    pub fn starts(&self) -> usize {
        self.starts_in("starts")
    }

    /// The number of starts that servers recorded in the file of this name.
    pub fn starts_in(&self, name: &str) -> usize {
        self.read(name).len()
    }
}
