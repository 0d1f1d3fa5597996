//! A `dormouse run` with a configuration file that changes, and a notification socket.

use std::fs;
use std::ops::Deref;

use dormouse_tests::failure::Doing;
use dormouse_tests::notify::Manager;
use dormouse_tests::process::Launch;
pub(crate) use dormouse_tests::rig::Place;
use dormouse_tests::rig::{Dormouse, write};
use dormouse_tests::wait::SOON;
use dormouse_tests::{Result, wait};
use rustix::process::Signal;

/// Replaces the configuration file atomically: dormouse may read it at any time.
fn configure(place: &Place, text: &str) -> Result<()> {
    let new = place.path("dormouse.toml.new");
    let level = if text.contains("log_level") { "" } else { "log_level = \"debug\"\n" };
    write(&new, &format!("{level}{text}"))?;
    fs::rename(&new, place.path("dormouse.toml")).doing(|| "rename the configuration".to_owned())
}

/// A running dormouse with its directory and its notification socket.
pub(crate) struct Scene {
    pub(crate) dormouse: Dormouse,
    pub(crate) manager: Manager,
    pub(crate) place: Place,
}

impl Deref for Scene {
    type Target = Dormouse;

    fn deref(&self) -> &Dormouse {
        &self.dormouse
    }
}

impl Scene {
    /// Starts dormouse with this configuration.
    pub(crate) fn new(place: Place, text: &str) -> Result<Self> {
        configure(&place, text)?;
        let manager = Manager::at_abstract_name()?;
        let launch = Launch::dormouse().notify(&manager).nofile(1024, 20_000);
        let launch = launch.env("RUNTIME_DIRECTORY", place.dir().path());
        let file = place.path("dormouse.toml");
        let dormouse = Dormouse::start(launch.arg("run").arg(format!("--config={}", file.display())))?;
        let scene = Self { dormouse, manager, place };
        scene.ready(1)?;
        Ok(scene)
    }

    /// Waits until dormouse has sent READY=1 this many times.
    fn ready(&self, times: usize) -> Result<()> {
        let count = || {
            let messages = self.manager.messages();
            messages.iter().filter(|message| message.get("READY") == Some("1")).count()
        };
        let ready =
            wait::until(&format!("READY=1 ({times} times)"), SOON, || Ok((count() >= times).then_some(())));
        ready.map_err(|failure| self.dormouse.with_log(&failure))
    }

    /// Changes the file, reloads dormouse and waits for the end of the reload.
    pub(crate) fn reload(&self, text: &str) -> Result<()> {
        configure(&self.place, text)?;
        let ready = |message: &dormouse_tests::notify::Message| message.get("READY") == Some("1");
        let before = self.manager.messages().iter().filter(|message| ready(message)).count();
        self.dormouse.signal(Signal::HUP)?;
        self.ready(before + 1)
    }

    /// Waits until the saved wake state contains exactly these services.
    pub(crate) fn has_woken(&self, services: &[&str]) -> Result<()> {
        let written = || {
            let text = fs::read_to_string(self.place.path("woken")).unwrap_or_default();
            let names = text.lines().skip(1).take_while(|line| *line != "end");
            names.filter_map(|line| Some(line.split_once(' ')?.0.to_owned())).collect::<Vec<_>>()
        };
        let what = format!("{services:?} in the wake state file");
        let found = wait::until(&what, SOON, || Ok((written() == services).then_some(())));
        found.map_err(|failure| self.dormouse.with_log(&failure))
    }
}
