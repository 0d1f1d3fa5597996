//! A `dormouse run` with little servers behind it.

use std::ops::Deref;
use std::time::Duration;

use dormouse_tests::process::Launch;
pub(super) use dormouse_tests::rig::Place;
use dormouse_tests::rig::{Dormouse, configured};
use dormouse_tests::{Result, Stream};

/// Long enough to see that nothing happens.
pub(super) const MOMENT: Duration = Duration::from_millis(150);

/// A `dormouse run` at a place with servers.
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

    /// Services of a configuration.
    pub(super) fn of_file(place: Place, text: &str) -> Result<Self> {
        Self::of_file_by(place, text, Launch::dormouse())
    }

    /// The same, with a launch that was prepared.
    pub(super) fn of_file_by(place: Place, text: &str, launch: Launch) -> Result<Self> {
        let launch = configured(place.dir(), &format!("log_level = \"debug\"\n{text}"), launch)?;
        Self::launch(place, launch)
    }

    /// Whatever `launch` starts.
    pub(super) fn launch(place: Place, launch: Launch) -> Result<Self> {
        Ok(Self { dormouse: Dormouse::start(launch)?, place })
    }

    /// A client of the service main.
    pub(super) fn client(&self) -> Result<Stream> {
        self.client_of("main")
    }

    /// A new client of the service main sends these words and receives them again.
    pub(super) fn visit(&self, words: &str) -> Result<()> {
        self.visit_of("main", words)
    }

    /// A new client of this service does.
    pub(super) fn visit_of(&self, service: &str, words: &str) -> Result<()> {
        self.echo(&self.client_of(service)?, words)
    }
}
