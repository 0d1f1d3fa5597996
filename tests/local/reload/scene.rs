//! A `dormouse run` with a file that changes, and a service manager's ear.

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

/// Writes the configuration of a place, as a whole: dormouse may read it at any time.
fn configure(place: &Place, text: &str) -> Result<()> {
    let new = place.path("dormouse.toml.new");
    let level = if text.contains("log_level") { "" } else { "log_level = \"debug\"\n" };
    write(&new, &format!("{level}{text}"))?;
    fs::rename(&new, place.path("dormouse.toml")).doing(|| "put the file in its place".to_owned())
}

/// A dormouse at such a place.
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
    /// One that serves what `text` says.
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
        configure(&self.place, text)?;
        let ready = |message: &dormouse_tests::notify::Message| message.get("READY") == Some("1");
        let before = self.manager.messages().iter().filter(|message| ready(message)).count();
        self.dormouse.signal(Signal::HUP)?;
        self.ready(before + 1)
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
}
