//! A `dormouse run` with one service whose server is a listener of the test.

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
    /// Starts dormouse with a service on a port and these additional keys.
    pub(crate) fn new(keys: &str) -> Result<Self> {
        Self::listening("127.0.0.1:0", keys)
    }

    /// Like [`new`](Self::new), with this listener.
    pub(crate) fn listening(listen: &str, keys: &str) -> Result<Self> {
        let server = Listener::bind(Family::Tcp4)?;
        let to = server.address().to_string();
        Self::in_front_of(server, &to, listen, keys)
    }

    /// Like [`new`](Self::new), with this listener and this server.
    pub(crate) fn in_front_of(server: Listener, to: &str, listen: &str, keys: &str) -> Result<Self> {
        let dir = TempDir::new()?;
        let dormouse = Dormouse::start(launch(&dir, to, listen, keys)?)?;
        Ok(Self { dormouse, dir, server })
    }

    /// The path of a file in the directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The address of the service.
    pub(crate) fn port(&self) -> Result<SocketAddr> {
        self.address()
    }

    /// Connects a client to the port.
    pub(crate) fn client(&self) -> Result<Stream> {
        Stream::connect(&Address::Tcp(self.port()?), SOON)
    }

    /// Connects a client to a UNIX socket.
    pub(crate) fn local_client(&self, name: &str) -> Result<Stream> {
        Stream::connect(&Address::Unix(self.path(name)), SOON)
    }

    /// Connects a client; returns its connection and that of the server.
    pub(crate) fn session(&self) -> Result<(Stream, Stream)> {
        let client = self.client()?;
        Ok((client, self.server.accept(SOON)?))
    }

    /// Whether the server gets no connection for 150 ms.
    pub(crate) fn server_gets_no_connection(&self) -> Result<bool> {
        Ok(!self.server.has_pending(std::time::Duration::from_millis(150))?)
    }
}

/// Returns the launch of a dormouse with its files in `dir`.
pub(crate) fn launch(dir: &TempDir, to: &str, listen: &str, keys: &str) -> Result<Launch> {
    let text =
        format!("log_level = \"debug\"\n[services.main]\nlisten = \"{listen}\"\nto = \"{to}\"\n{keys}\n");
    configured(dir, &text, Launch::dormouse())
}

/// Asserts that a stream receives these bytes.
#[track_caller]
pub(crate) fn expect_received(stream: &Stream, words: &[u8]) {
    let received = stream.receive(words.len(), SOON).unwrap();
    assert_eq!(String::from_utf8_lossy(&received), String::from_utf8_lossy(words));
}
