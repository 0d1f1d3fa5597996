//! A `dormouse run` with little servers behind it.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use dormouse_tests::failure::Doing;
use dormouse_tests::process::{Launch, Running};
use dormouse_tests::temp::TempDir;
use dormouse_tests::wait::SOON;
use dormouse_tests::{Address, Failure, Family, Listener, Result, Stream, wait};

/// Long enough to see that nothing happens.
pub(super) const MOMENT: Duration = Duration::from_millis(150);

/// Where servers are: a directory with their script and their files, and ports that nobody else takes.
pub(super) struct Place {
    dir: TempDir,
    ports: Vec<Listener>,
}

impl Place {
    /// A place with so many ports.
    pub(super) fn new(ports: usize) -> Result<Self> {
        let dir = TempDir::new()?;
        fs::write(dir.join("server.py"), include_str!("server.py"))
            .doing(|| "write the server".to_owned())?;
        let ports = (0..ports).map(|_| Listener::bound(Family::Tcp4)).collect::<Result<_>>()?;
        Ok(Self { dir, ports })
    }

    /// The address of one of the ports.
    pub(super) fn port(&self, index: usize) -> String {
        self.ports[index].address().to_string()
    }

    /// The path of a file.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The command that starts the server at one of the ports. Of the options, `x` stands for `x=PATH`, the path of a
    /// file of that name; `x=y` is given as it is.
    pub(super) fn server(&self, index: usize, options: &[&str]) -> String {
        self.server_at(&self.port(index), options)
    }

    /// The same at any address.
    pub(super) fn server_at(&self, address: &str, options: &[&str]) -> String {
        let file = |name: &str| format!("{name}={}", self.path(name).display());
        let mut command =
            format!("python3 {} {address} {}", self.path("server.py").display(), file("starts"));
        for option in options {
            let option = if option.contains('=') { format!("'{option}'") } else { file(option) };
            command.extend([" ", &option]);
        }
        command
    }

    /// Makes the file that a server, or dormouse, waits for.
    pub(super) fn open(&self, gate: &str) -> Result<()> {
        fs::write(self.path(gate), "").doing(|| format!("make the file {gate}"))
    }

    /// Removes it.
    pub(super) fn shut(&self, gate: &str) -> Result<()> {
        fs::remove_file(self.path(gate)).doing(|| format!("remove the file {gate}"))
    }

    /// What a file holds; nothing if it does not exist.
    pub(super) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_default()
    }

    /// How many servers were started.
    pub(super) fn starts(&self) -> usize {
        self.read("starts").len()
    }
}

/// A `dormouse run` at such a place.
pub(super) struct Scene {
    pub(super) dormouse: Running,
    pub(super) place: Place,
}

impl Scene {
    /// One service, called main, with the server at the first port. What is usually slow is quick here: no minimum
    /// uptime.
    pub(super) fn new(options: &[&str], flags: &[&str]) -> Result<Self> {
        Self::at(Place::new(1)?, options, flags)
    }

    /// The same at a place that was prepared.
    pub(super) fn at(place: Place, options: &[&str], flags: &[&str]) -> Result<Self> {
        let launch = Launch::dormouse()
            .args(["run", "--listen=127.0.0.1:0", "--log-level=debug", "--minimum-uptime=0"])
            .arg(format!("--to={}", place.port(0)))
            .arg(format!("--exec={}", place.server(0, options)))
            .args(flags);
        Self::launch(place, launch)
    }

    /// Services of a file, in which `LISTEN` is a free port.
    pub(super) fn of_file(place: Place, text: &str) -> Result<Self> {
        let launch = Launch::dormouse();
        Self::of_file_by(place, text, launch)
    }

    /// The same, with what else `launch` says.
    pub(super) fn of_file_by(place: Place, text: &str, launch: Launch) -> Result<Self> {
        let file = place.path("dormouse.toml");
        let text = format!("log_level = \"debug\"\n{}", text.replace("LISTEN", "\"127.0.0.1:0\""));
        fs::write(&file, text).doing(|| "write the configuration".to_owned())?;
        let launch = launch.arg("run").arg(format!("--config={}", file.display()));
        Self::launch(place, launch)
    }

    /// Whatever `launch` says.
    pub(super) fn launch(place: Place, launch: Launch) -> Result<Self> {
        let dormouse = launch.start()?;
        let scene = Self { dormouse, place };
        scene.told("Listening on")?;
        Ok(scene)
    }

    /// Where the service of this name listens.
    pub(super) fn front(&self, service: &str) -> Result<Address> {
        let behind = format!("for {service} (");
        let address = |line: &str| -> Option<SocketAddr> {
            let (address, rest) = line.strip_prefix("Listening on ")?.split_once(' ')?;
            address.parse().ok().filter(|_| rest.starts_with(&behind))
        };
        let found = wait::until(&format!("Listening on … {behind}"), SOON, || {
            Ok(self.log().lines().find_map(address))
        });
        found.map(Address::Tcp).map_err(|failure| self.dormouse.with_log(&failure))
    }

    /// A client of the service main.
    pub(super) fn client(&self) -> Result<Stream> {
        self.client_of("main")
    }

    /// A client of this service.
    pub(super) fn client_of(&self, service: &str) -> Result<Stream> {
        Stream::connect(&self.front(service)?, SOON)
    }

    /// What was logged.
    pub(super) fn log(&self) -> String {
        self.dormouse.stderr().text()
    }

    /// Waits until this is in the log.
    pub(super) fn told(&self, part: &str) -> Result<()> {
        self.told_times(part, 1)
    }

    /// Waits until one of these is in the log.
    pub(super) fn told_one_of(&self, parts: &[&str]) -> Result<()> {
        let what = format!("one of {parts:?} in the log");
        let found =
            wait::until(&what, SOON, || Ok(parts.iter().any(|part| self.count(part) > 0).then_some(())));
        found.map_err(|failure| self.dormouse.with_log(&failure))
    }

    /// Waits until this is in the log so many times.
    pub(super) fn told_times(&self, part: &str, times: usize) -> Result<()> {
        let what = format!("{part:?} ({times} times) in the log");
        let found = wait::until(&what, SOON, || Ok((self.count(part) >= times).then_some(())));
        found.map_err(|failure| self.dormouse.with_log(&failure))
    }

    /// Waits until this is in the log so many times, and fails if it is there more often.
    pub(super) fn told_just(&self, part: &str, times: usize) -> Result<()> {
        self.told_times(part, times)?;
        match self.count(part) {
            count if count == times => Ok(()),
            count => {
                let what = format!("{part:?} is in the log {count} times, not {times}");
                Err(self.dormouse.with_log(&Failure::Unexpected(what)))
            }
        }
    }

    /// How often this is in the log by now. Lines come a little after what they tell of: wait for what must be there.
    pub(super) fn count(&self, part: &str) -> usize {
        self.log().matches(part).count()
    }

    /// Has a client say something and hear it back.
    pub(super) fn echo(&self, client: &Stream, words: &str) -> Result<()> {
        client.send(words.as_bytes(), SOON)?;
        self.hears(client, words)
    }

    /// A new client of the service main says something and hears it back.
    pub(super) fn visit(&self, words: &str) -> Result<()> {
        self.visit_of("main", words)
    }

    /// A new client of this service does.
    pub(super) fn visit_of(&self, service: &str, words: &str) -> Result<()> {
        self.echo(&self.client_of(service)?, words)
    }

    /// Waits until a client has heard just this.
    pub(super) fn hears(&self, client: &Stream, words: &str) -> Result<()> {
        let heard = client.receive(words.len(), SOON).map_err(|failure| self.dormouse.with_log(&failure))?;
        if heard == words.as_bytes() {
            return Ok(());
        }
        let heard = String::from_utf8_lossy(&heard);
        Err(self.dormouse.with_log(&Failure::Unexpected(format!("heard {heard:?} and not {words:?}"))))
    }

    /// Waits until a client's connection was ended without a byte.
    pub(super) fn is_turned_away(&self, client: &Stream) -> Result<()> {
        let received = client.receive_to_end(SOON).map_err(|failure| self.dormouse.with_log(&failure))?;
        if received.bytes.is_empty() {
            return Ok(());
        }
        Err(self.dormouse.with_log(&Failure::Unexpected(format!("was served: {received:?}"))))
    }

    /// Fails with the log if this does not hold.
    #[track_caller]
    pub(super) fn expect(&self, holds: bool, what: &str) {
        assert!(holds, "{what}; the log:\n{}", self.log());
    }
}
