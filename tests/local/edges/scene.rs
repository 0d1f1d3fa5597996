//! A `dormouse run` with one service, and a server of the test behind it.

use std::net::SocketAddr;
use std::ops::Deref;
use std::path::PathBuf;

use dormouse_tests::process::Launch;
use dormouse_tests::rig::{Dormouse, configured};
use dormouse_tests::temp::TempDir;
use dormouse_tests::wait::SOON;
use dormouse_tests::{Address, Family, Listener, Result, Stream};

/// A `dormouse run` with one service, called main.
pub(crate) struct Scene {
    pub(crate) dormouse: Dormouse,
    dir: TempDir,
    /// The server of the service.
    pub(crate) server: Listener,
}

impl Deref for Scene {
    type Target = Dormouse;

    fn deref(&self) -> &Dormouse {
        &self.dormouse
    }
}

impl Scene {
    /// A service on a port, with these keys besides.
    pub(crate) fn new(keys: &str) -> Result<Self> {
        Self::listening("127.0.0.1:0", keys)
    }

    /// A service that listens here.
    pub(crate) fn listening(listen: &str, keys: &str) -> Result<Self> {
        let server = Listener::bind(Family::Tcp4)?;
        let to = server.address().to_string();
        Self::in_front_of(server, &to, listen, keys)
    }

    /// The same in front of another server.
    pub(crate) fn in_front_of(server: Listener, to: &str, listen: &str, keys: &str) -> Result<Self> {
        let dir = TempDir::new()?;
        let dormouse = Dormouse::start(launch(&dir, to, listen, keys)?)?;
        Ok(Self { dormouse, dir, server })
    }

    /// A file in its directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The port that it listens on.
    pub(crate) fn port(&self) -> Result<SocketAddr> {
        self.address()
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

    /// Whether nobody comes to the server for a moment.
    pub(crate) fn nobody_comes(&self) -> Result<bool> {
        Ok(!self.server.has_pending(std::time::Duration::from_millis(150))?)
    }
}

/// A dormouse about to be started, with its files in `dir`.
pub(crate) fn launch(dir: &TempDir, to: &str, listen: &str, keys: &str) -> Result<Launch> {
    let text =
        format!("log_level = \"debug\"\n[services.main]\nlisten = \"{listen}\"\nto = \"{to}\"\n{keys}\n");
    configured(dir, &text, Launch::dormouse())
}

/// Asserts that a stream says just this.
#[track_caller]
pub(crate) fn hears(stream: &Stream, words: &[u8]) {
    let heard = stream.receive(words.len(), SOON).unwrap();
    assert_eq!(String::from_utf8_lossy(&heard), String::from_utf8_lossy(words));
}
