//! A `dormouse run` with small test servers.

use std::ops::Deref;
use std::time::Duration;

use dormouse_tests::process::Launch;
pub(super) use dormouse_tests::rig::Place;
use dormouse_tests::rig::{Dormouse, configured};
use dormouse_tests::{Result, Stream};

/// The time for which a test waits to see that nothing happens.
pub(super) const MOMENT: Duration = Duration::from_millis(150);

/// A `dormouse run` with the files and ports of its servers.
pub(super) struct Scene {
    pub(super) dormouse: Dormouse,
    pub(super) place: Place,
}

impl Deref for Scene {
    type Target = Dormouse;

    fn deref(&self) -> &Dormouse {
        &self.dormouse
    }
}

impl Scene {
    /// Starts one service, main, with the server on the first port and without a minimum uptime.
    pub(super) fn new(options: &[&str], flags: &[&str]) -> Result<Self> {
        Self::at(Place::new(1)?, options, flags)
    }

    /// Like [`new`](Self::new), with a prepared place.
    pub(super) fn at(place: Place, options: &[&str], flags: &[&str]) -> Result<Self> {
        let launch = Launch::dormouse()
            .args(["run", "--listen=127.0.0.1:0", "--log-level=debug", "--minimum-uptime=0"])
            .arg(format!("--to={}", place.port(0)))
            .arg(format!("--exec={}", place.server(0, options)))
            .args(flags);
        Self::launch(place, launch)
    }

    /// Starts the services of a configuration.
    pub(super) fn of_file(place: Place, text: &str) -> Result<Self> {
        Self::of_file_by(place, text, Launch::dormouse())
    }

    /// Like [`of_file`](Self::of_file), with a prepared launch.
    pub(super) fn of_file_by(place: Place, text: &str, launch: Launch) -> Result<Self> {
        let launch = configured(place.dir(), &format!("log_level = \"debug\"\n{text}"), launch)?;
        Self::launch(place, launch)
    }

    /// Starts `launch`.
    pub(super) fn launch(place: Place, launch: Launch) -> Result<Self> {
        Ok(Self { dormouse: Dormouse::start(launch)?, place })
    }

    /// Connects a client to the service main.
    pub(super) fn client(&self) -> Result<Stream> {
        self.client_of("main")
    }

    /// Connects a client to the service main, which sends these words and receives their echo.
    pub(super) fn visit(&self, words: &str) -> Result<()> {
        self.visit_of("main", words)
    }

    /// Like [`visit`](Self::visit), for this service.
    pub(super) fn visit_of(&self, service: &str, words: &str) -> Result<()> {
        self.echo(&self.client_of(service)?, words)
    }
}
