//! A DNS server (unbound) whose records a test can change.

use std::fs;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::process::{Child, Command, Stdio};

use crate::failure::Doing;
use crate::temp::TempDir;
use crate::wait::{self, SOON};
use crate::{Failure, Result};

/// A DNS server for the zone example.test, on a port that the kernel chooses.
#[derive(Debug)]
pub struct Dns {
    child: Child,
    dir: TempDir,
    address: SocketAddr,
}

impl Dns {
    /// Starts a server without records; `options` are additional lines of its `server:` section.
    ///
    /// # Errors
    /// When unbound is missing or does not come up.
    pub fn start(options: &str) -> Result<Self> {
        // Another process may take the port between the choice and the server's start.
        for _ in 0..5 {
            if let Some(dns) = Self::try_start(options)? {
                return Ok(dns);
            }
        }
        Err(Failure::Unexpected("unbound does not start".to_owned()))
    }

    fn try_start(options: &str) -> Result<Option<Self>> {
        let dir = TempDir::new()?;
        let address = free()?;
        let (port, place) = (address.port(), dir.path().display());
        let config = format!(
            "server:\n interface: 127.0.0.1@{port}\n port: {port}\n do-ip6: no\n do-daemonize: no\n chroot: \"\"\n \
             username: \"\"\n directory: \"{place}\"\n pidfile: \"\"\n use-syslog: no\n num-threads: 1\n \
             extended-statistics: yes\n module-config: \"iterator\"\n local-zone: \"example.test.\" static\n {options}\n\
             remote-control:\n control-enable: yes\n control-interface: {place}/control\n control-use-cert: no\n"
        );
        let file = dir.join("unbound.conf");
        fs::write(&file, config).doing(|| format!("write {}", file.display()))?;
        let mut command = Command::new("unbound");
        command.args(["-d", "-c"]).arg(file);
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = quiet.spawn().doing(|| "start unbound (scripts/test-deps.sh installs it)".to_owned())?;
        let mut dns = Self { child, dir, address };
        let up = wait::until("unbound", SOON, || {
            let ended = dns.child.try_wait().doing(|| "get the state of unbound".to_owned())?.is_some();
            Ok((ended || dns.control(&["status"]).is_ok()).then_some(!ended))
        })?;
        Ok(up.then_some(dns))
    }

    /// The address on which the server answers, over UDP and TCP.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Adds a record in the format of a zone file.
    ///
    /// # Errors
    /// When the server does not accept it.
    pub fn add(&self, record: &str) -> Result<()> {
        self.control(&["local_data", record]).map(drop)
    }

    /// Removes all records of a name.
    ///
    /// # Errors
    /// When the server does not do it.
    pub fn remove(&self, name: &str) -> Result<()> {
        self.control(&["local_data_remove", name]).map(drop)
    }

    /// Returns the number of queries for SRV records so far.
    ///
    /// # Errors
    /// When the server does not report its counters.
    pub fn srv_queries(&self) -> Result<u64> {
        let counters = self.control(&["stats_noreset"])?;
        // A query type that was never requested has no line.
        let count = counters.lines().find_map(|line| line.strip_prefix("num.query.type.SRV="));
        let number = |count: &str| count.parse().map_err(|_| Failure::Unexpected(counters.clone()));
        count.map_or(Ok(0), number)
    }

    /// Sends a command to the server and returns its output.
    fn control(&self, words: &[&str]) -> Result<String> {
        let mut command = Command::new("unbound-control");
        command.arg("-c").arg(self.dir.join("unbound.conf")).args(words);
        let output = command
            .output()
            .doing(|| "start unbound-control (scripts/test-deps.sh installs it)".to_owned())?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            Ok(text)
        } else {
            Err(Failure::Unexpected(format!("{words:?}: {text}")))
        }
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address that is free over UDP and TCP.
///
/// # Errors
/// When there is none.
pub fn free() -> Result<SocketAddr> {
    loop {
        let udp = UdpSocket::bind("127.0.0.1:0").doing(|| "bind a UDP socket".to_owned())?;
        let address = udp.local_addr().doing(|| "get the address of a UDP socket".to_owned())?;
        if TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
}
