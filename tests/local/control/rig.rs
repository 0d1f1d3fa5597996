//! A `dormouse run` with a control socket and a web address, and an echo server.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::ops::Deref;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use dormouse_tests::failure::Doing;
use dormouse_tests::process::Launch;
use dormouse_tests::rig::{self, Dormouse};
use dormouse_tests::temp::TempDir;
use dormouse_tests::wait::{self, SOON};
use dormouse_tests::{Failure, Result, Stream, Subject, ask, messages};

/// A `dormouse run` with a control socket and a web address.
pub(super) struct Rig {
    pub(super) dir: TempDir,
    pub(super) dormouse: Dormouse,
}

impl Deref for Rig {
    type Target = Dormouse;

    fn deref(&self) -> &Dormouse {
        &self.dormouse
    }
}

impl Rig {
    /// Starts dormouse with these services below these lines at the top of the file; see
    /// [`dormouse_tests::rig::expand`].
    pub(super) fn new(top: &str, services: &str) -> Result<Self> {
        Self::within((1024, 20_000), top, services)
    }

    /// Starts dormouse with these services, and with these files in its directory.
    pub(super) fn with_files(files: &[(&str, &str)], services: &str) -> Result<Self> {
        let dir = TempDir::new()?;
        for (name, text) in files {
            rig::write(&dir.join(name), text)?;
        }
        Self::start(dir, (1024, 20_000), "", services)
    }

    /// Like [`new`](Self::new), with these limits on descriptors.
    pub(super) fn within(limits: (u64, u64), top: &str, services: &str) -> Result<Self> {
        Self::start(TempDir::new()?, limits, top, services)
    }

    fn start(dir: TempDir, (soft, hard): (u64, u64), top: &str, services: &str) -> Result<Self> {
        let text = format!("control = \"DIR/control\"\nhttp = \"127.0.0.1:0\"\n{top}\n{services}");
        let dormouse = Dormouse::with_config(&dir, &text, Launch::dormouse().nofile(soft, hard))?;
        dormouse.wait_for_log(messages::PAGE_IS_AT)?;
        Ok(Self { dir, dormouse })
    }

    /// Changes the configuration file and reloads dormouse.
    pub(super) fn reload(&self, change: impl FnOnce(&str) -> String) -> Result<()> {
        let (file, line) = (self.dir.join("dormouse.toml"), messages::RELOADED);
        let before = self.log().matches(line).count();
        let text = fs::read_to_string(&file).doing(|| "read the configuration".to_owned())?;
        fs::write(&file, change(&text)).doing(|| "write the configuration".to_owned())?;
        self.dormouse.signal(rustix::process::Signal::HUP)?;
        let reloaded = || Ok((self.log().matches(line).count() > before).then_some(()));
        wait::until(line, SOON, reloaded).map_err(|failure| self.dormouse.with_log(&failure))
    }

    /// The path of the control socket.
    pub(super) fn control(&self) -> PathBuf {
        self.dir.join("control")
    }

    /// The address of the web page.
    pub(super) fn http(&self) -> Result<SocketAddr> {
        let log = self.log();
        let address = log.split_once("at http://").and_then(|(_, rest)| rest.split_once('/')?.0.parse().ok());
        address.ok_or(Failure::Unexpected(log))
    }

    /// Connects a client, waits for an echo and keeps the connection open.
    pub(super) fn client(&self, service: &str) -> Result<Stream> {
        let client = self.client_of(service)?;
        client.send(b"hello", SOON)?;
        let echoed = client.receive(5, SOON).map_err(|failure| self.dormouse.with_log(&failure))?;
        if echoed == b"hello" { Ok(client) } else { Err(Failure::Unexpected(format!("{echoed:?}"))) }
    }

    /// Sends these lines to the control socket and returns the answer.
    pub(super) fn socat(&self, lines: &str) -> Result<String> {
        socat(&self.control(), lines)
    }

    /// Sends one line to the control socket and returns the answer.
    pub(super) fn ask(&self, line: &str) -> Result<String> {
        ask(&self.control(), line)
    }

    /// Returns the body of a page of the web address.
    pub(super) fn get(&self, path: &str) -> Result<String> {
        let answer = self.exchange(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))?;
        let body = answer.split_once("\r\n\r\n").filter(|(head, _)| head.starts_with("HTTP/1.1 200 "));
        body.map(|(_, body)| body.to_owned()).ok_or(Failure::Unexpected(answer))
    }

    /// Sends a request to the web address and returns the whole answer.
    pub(super) fn exchange(&self, words: &str) -> Result<String> {
        let mut socket = TcpStream::connect(self.http()?).doing(|| "connect to the page".to_owned())?;
        socket.set_read_timeout(Some(SOON)).doing(|| "set a timeout".to_owned())?;
        socket.write_all(words.as_bytes()).doing(|| "request a page".to_owned())?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).doing(|| "read the page".to_owned())?;
        Ok(answer)
    }

    /// Runs `dormouse` with these arguments; returns whether it succeeded, and its output.
    pub(super) fn dormouse(&self, args: &[&str]) -> Result<(bool, String)> {
        let control = format!("--control={}", self.control().display());
        let output = Command::new(Subject::Dormouse.program()?).args(args).arg(control).output();
        let output = output.doing(|| format!("run dormouse {args:?}"))?;
        Ok((output.status.success(), all_of(&output)))
    }

    /// Waits until `show services` reports this state of a service.
    pub(super) fn is(&self, service: &str, state: &str) -> Result<()> {
        wait::until(&format!("{service} {state}"), SOON, || {
            let status = self.ask("show services")?;
            let line = status.lines().find(|line| line.starts_with(&format!("{service} ")));
            Ok(line.is_some_and(|line| line.split(' ').nth(1) == Some(state)).then_some(()))
        })
        .map_err(|failure| self.dormouse.with_log(&failure))
    }

    /// Waits until no client is connected.
    pub(super) fn is_empty(&self) -> Result<()> {
        wait::until("the end of the last session", SOON * 6, || {
            Ok(self.ask("show info")?.contains("\nCurrConns: 0\n").then_some(()))
        })
    }

    /// Fails with the log unless `holds`.
    #[track_caller]
    pub(super) fn expect(&self, holds: bool, what: &str) {
        assert!(holds, "{what}; the log:\n{}", self.log());
    }
}

/// Sends these lines to a UNIX socket, ends the stream and returns the answer, as socat does.
///
/// # Errors
/// When the socket cannot be reached or does not answer in time.
pub(super) fn socat(path: &std::path::Path, lines: &str) -> Result<String> {
    let doing = || format!("exchange lines with {}", path.display());
    let mut socket = UnixStream::connect(path).doing(doing)?;
    socket.set_read_timeout(Some(SOON)).doing(doing)?;
    // The server may answer and close before it has read a line that is too long.
    let _ = socket.write_all(lines.as_bytes());
    let _ = socket.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    match socket.read_to_end(&mut answer) {
        Err(error) if answer.is_empty() => return Err(error).doing(doing),
        _ => {}
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Returns the text of standard output and standard error.
pub(super) fn all_of(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), output.stderr.as_slice()].concat()).into_owned()
}

/// Returns the rows of `show stat` with their columns by name.
pub(super) fn rows(csv: &str) -> Vec<std::collections::HashMap<String, String>> {
    let mut lines = csv.lines();
    let names: Vec<_> = lines.next().unwrap_or_default().trim_start_matches("# ").split(',').collect();
    let row = |line: &str| {
        names.iter().map(|name| (*name).to_owned()).zip(line.split(',').map(str::to_owned)).collect()
    };
    lines.filter(|line| !line.is_empty()).map(row).collect()
}

/// Returns a column of a row of `show stat`.
#[track_caller]
pub(super) fn stat(csv: &str, service: &str, server: &str, column: &str) -> String {
    let row = rows(csv).into_iter().find(|row| row["pxname"] == service && row["svname"] == server);
    let found = row.and_then(|row| row.get(column).cloned());
    assert!(found.is_some(), "no {column} of {service}/{server}: {csv}");
    found.unwrap_or_default()
}

/// The time for which a test waits to see that an event does not happen.
pub(super) const MOMENT: Duration = Duration::from_millis(300);
