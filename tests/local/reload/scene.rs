//! A `dormouse run` with a file that changes, and a service manager's ear.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use dormouse_tests::failure::Doing;
use dormouse_tests::notify::Manager;
use dormouse_tests::process::{Launch, Running};
use dormouse_tests::temp::TempDir;
use dormouse_tests::wait::SOON;
use dormouse_tests::{Address, Failure, Family, Listener, Result, Stream, wait};
use rustix::process::Signal;

/// Where a scene plays: a directory, and ports that nobody else takes.
pub(crate) struct Place {
    dir: TempDir,
    ports: Vec<Listener>,
}

impl Place {
    /// A place with so many ports.
    pub(crate) fn new(ports: usize) -> Result<Self> {
        let dir = TempDir::new()?;
        fs::write(dir.join("server.py"), include_str!("../waking/rules/server.py"))
            .doing(|| "write the server".to_owned())?;
        let ports = (0..ports).map(|_| Listener::bound(Family::Tcp4)).collect::<Result<_>>()?;
        Ok(Self { dir, ports })
    }

    /// The address of one of the ports.
    pub(crate) fn port(&self, index: usize) -> String {
        self.ports.get(index).map(|port| port.address().to_string()).unwrap_or_default()
    }

    /// The path of a file.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The command that starts the server at one of the ports, noting its starts in the file of this name.
    pub(crate) fn server(&self, index: usize, starts: &str) -> String {
        let (script, starts) = (self.path("server.py"), self.path(starts));
        format!("python3 {} {} starts={}", script.display(), self.port(index), starts.display())
    }

    /// How many servers noted their start there.
    pub(crate) fn starts(&self, name: &str) -> usize {
        fs::read(self.path(name)).map_or(0, |starts| starts.len())
    }

    fn file(&self) -> PathBuf {
        self.path("dormouse.toml")
    }

    fn write(&self, text: &str) -> Result<()> {
        // As a whole: it may be read at any time.
        let new = self.path("dormouse.toml.new");
        let level = if text.contains("log_level") { "" } else { "log_level = \"debug\"\n" };
        fs::write(&new, format!("{level}{text}")).doing(|| "write the file".to_owned())?;
        fs::rename(&new, self.file()).doing(|| "put the file in its place".to_owned())
    }
}

/// A dormouse at such a place.
pub(crate) struct Scene {
    pub(crate) dormouse: Running,
    pub(crate) manager: Manager,
    pub(crate) place: Place,
}

impl Scene {
    /// One that serves what `text` says.
    pub(crate) fn new(place: Place, text: &str) -> Result<Self> {
        place.write(text)?;
        let manager = Manager::at_abstract_name()?;
        let launch = Launch::dormouse().notify(&manager).nofile(1024, 20_000);
        let launch = launch.env("RUNTIME_DIRECTORY", place.dir.path());
        let dormouse = launch.arg("run").arg(format!("--config={}", place.file().display())).start()?;
        let scene = Self { dormouse, manager, place };
        scene.ready(1)?;
        Ok(scene)
    }

    /// Waits until it said so many times that it is ready.
    fn ready(&self, times: usize) -> Result<()> {
        let count = || {
            let messages = self.manager.messages();
            messages.iter().filter(|message| message.get("READY") == Some("1")).count()
        };
        let ready =
            wait::until(&format!("READY=1 ({times} times)"), SOON, || Ok((count() >= times).then_some(())));
        ready.map_err(|failure| self.dormouse.with_log(&failure))
    }

    /// Changes the file, and waits until that has an effect, or none.
    pub(crate) fn reload(&self, text: &str) -> Result<()> {
        self.place.write(text)?;
        let ready = |message: &dormouse_tests::notify::Message| message.get("READY") == Some("1");
        let before = self.manager.messages().iter().filter(|message| ready(message)).count();
        self.dormouse.signal(Signal::HUP)?;
        self.ready(before + 1)
    }

    /// Where the service of this name listens, as was told last.
    pub(crate) fn front(&self, service: &str) -> Result<SocketAddr> {
        let behind = format!("for {service} (");
        let address = |line: &str| -> Option<SocketAddr> {
            let (address, rest) = line.strip_prefix("Listening on ")?.split_once(' ')?;
            address.parse().ok().filter(|_| rest.starts_with(&behind))
        };
        let found = wait::until(&format!("Listening on … {behind}"), SOON, || {
            Ok(self.log().lines().rev().find_map(address))
        });
        found.map_err(|failure| self.dormouse.with_log(&failure))
    }

    /// What was logged.
    pub(crate) fn log(&self) -> String {
        self.dormouse.stderr().text()
    }

    /// Waits until this is in the log.
    pub(crate) fn told(&self, part: &str) -> Result<()> {
        let told = self.dormouse.stderr().wait_for(part, SOON);
        told.map_err(|failure| self.dormouse.with_log(&failure))
    }

    /// Waits until this is in the log so many times.
    pub(crate) fn told_times(&self, part: &str, times: usize) -> Result<()> {
        let what = format!("{part:?} ({times} times) in the log");
        let told = wait::until(&what, SOON, || Ok((self.log().matches(part).count() >= times).then_some(())));
        told.map_err(|failure| self.dormouse.with_log(&failure))
    }

    /// Waits until it is written down that these services, and no others, run because of it.
    pub(crate) fn has_woken(&self, services: &[&str]) -> Result<()> {
        let written = || {
            let text = fs::read_to_string(self.place.path("woken")).unwrap_or_default();
            let names = text.lines().skip(1).take_while(|line| *line != "end");
            names.filter_map(|line| Some(line.split_once(' ')?.0.to_owned())).collect::<Vec<_>>()
        };
        let what = format!("{services:?} in the file of what was woken");
        let found = wait::until(&what, SOON, || Ok((written() == services).then_some(())));
        found.map_err(|failure| self.dormouse.with_log(&failure))
    }

    /// A client of this service.
    pub(crate) fn client_of(&self, service: &str) -> Result<Stream> {
        Stream::connect(&Address::Tcp(self.front(service)?), SOON)
    }

    /// Has a client say something and hear it back.
    pub(crate) fn echo(&self, client: &Stream, words: &str) -> Result<()> {
        client.send(words.as_bytes(), SOON)?;
        let heard = client.receive(words.len(), SOON).map_err(|failure| self.dormouse.with_log(&failure))?;
        if heard == words.as_bytes() {
            return Ok(());
        }
        let heard = String::from_utf8_lossy(&heard);
        Err(self.dormouse.with_log(&Failure::Unexpected(format!("heard {heard:?} and not {words:?}"))))
    }

    /// Waits until a client's connection has ended.
    pub(crate) fn is_ended(&self, client: &Stream, limit: Duration) -> Result<()> {
        match client.ended_within(limit)? {
            Some(_) => Ok(()),
            None => Err(self.dormouse.with_log(&Failure::Unexpected("a session goes on".to_owned()))),
        }
    }

    /// Fails with the log if this does not hold.
    #[track_caller]
    pub(crate) fn expect(&self, holds: bool, what: &str) {
        assert!(holds, "{what}; the log:\n{}", self.log());
    }
}
