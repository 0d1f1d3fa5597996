//! A `dormouse run` with one service, and a server of the test behind it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use dormouse_tests::failure::Doing;
use dormouse_tests::process::{Launch, Running};
use dormouse_tests::temp::TempDir;
use dormouse_tests::wait::SOON;
use dormouse_tests::{Address, Failure, Family, Listener, Result, Stream, wait};

/// A running dormouse.
pub(crate) struct Scene {
    pub(crate) dormouse: Running,
    dir: TempDir,
    /// What is behind it.
    pub(crate) server: Listener,
}

impl Scene {
    /// A service on a port, with these keys besides.
    pub(crate) fn new(keys: &str) -> Result<Self> {
        Self::listening("127.0.0.1:0", keys)
    }

    /// A service here, where `DIR` stands for a directory of its own, in the keys as well.
    pub(crate) fn listening(listen: &str, keys: &str) -> Result<Self> {
        let server = Listener::bind(Family::Tcp4)?;
        let to = server.address().to_string();
        Self::in_front_of(server, &to, listen, keys)
    }

    /// The same in front of something else.
    pub(crate) fn in_front_of(server: Listener, to: &str, listen: &str, keys: &str) -> Result<Self> {
        let dir = TempDir::new()?;
        let launch = launch(&dir, to, listen, keys)?;
        let scene = Self { dormouse: launch.start()?, dir, server };
        scene.told("Listening on")?;
        Ok(scene)
    }

    /// A file in its directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The port that it listens on.
    pub(crate) fn port(&self) -> Result<SocketAddr> {
        let address = |line: &str| line.strip_prefix("Listening on ")?.split(' ').next()?.parse().ok();
        self.log().lines().find_map(address).ok_or_else(|| Failure::Unexpected(self.log()))
    }

    /// A client of its port.
    pub(crate) fn client(&self) -> Result<Stream> {
        Stream::connect(&Address::Tcp(self.port()?), SOON)
    }

    /// A client of its UNIX socket.
    pub(crate) fn local_client(&self, name: &str) -> Result<Stream> {
        Stream::connect(&Address::Unix(self.path(name)), SOON)
    }

    /// A client and what the server has of it.
    pub(crate) fn session(&self) -> Result<(Stream, Stream)> {
        let client = self.client()?;
        Ok((client, self.server.accept(SOON)?))
    }

    /// What was logged.
    pub(crate) fn log(&self) -> String {
        self.dormouse.stderr().text()
    }

    /// Waits until this is in the log.
    pub(crate) fn told(&self, part: &str) -> Result<()> {
        let found = wait::until(&format!("{part:?} in the log"), SOON, || {
            Ok(self.log().contains(part).then_some(()))
        });
        found.map_err(|failure| self.dormouse.with_log(&failure))
    }

    /// Whether nobody comes to the server for a moment.
    pub(crate) fn nobody_comes(&self) -> Result<bool> {
        Ok(!self.server.has_waiting(std::time::Duration::from_millis(150))?)
    }
}

/// A dormouse about to be started, with its files in `dir`.
pub(crate) fn launch(dir: &TempDir, to: &str, listen: &str, keys: &str) -> Result<Launch> {
    let file = dir.join("dormouse.toml");
    let text =
        format!("log_level = \"debug\"\n[services.main]\nlisten = \"{listen}\"\nto = \"{to}\"\n{keys}\n");
    write(&file, &text.replace("DIR", &dir.path().to_string_lossy()))?;
    Ok(Launch::dormouse().arg("run").arg(format!("--config={}", file.display())))
}

pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).doing(|| format!("write {}", path.display()))
}

/// Asserts that a stream says just this.
#[track_caller]
pub(crate) fn hears(stream: &Stream, words: &[u8]) {
    let heard = stream.receive(words.len(), SOON).unwrap();
    assert_eq!(String::from_utf8_lossy(&heard), String::from_utf8_lossy(words));
}
