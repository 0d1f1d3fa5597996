//! One unit, as its manager shows it: calls, and hints that something has changed.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::dbus::{Arg, Broken, Failure, Message, Reader, Value, Watcher};
use super::state::Seen;
use super::wire::{MANAGER, MANAGER_PATH, Wire};
use super::{Manager, Unit};

/// The interface that all units have.
pub(super) const UNIT: &str = "org.freedesktop.systemd1.Unit";

const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// How many ends of jobs are remembered: one is waited for, and others may end around it.
const JOBS: usize = 8;

/// Why something did not work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The manager is not there, or does not answer. It may come back.
    Away(String),
    /// The manager says no.
    Refused {
        /// The name of the D-Bus error.
        name: String,
        /// What the manager says about it.
        text: String,
    },
}

/// A unit and the connection over which it is watched.
pub(super) struct Link {
    name: String,
    path: String,
    hints: Arc<Hints>,
}

/// What the signals have brought since somebody looked.
struct Hints {
    wire: Arc<Wire>,
    /// The unit's first name; the others are its aliases.
    id: String,
    path: String,
    heard: Mutex<Heard>,
    news: Notify,
}

#[derive(Default)]
struct Heard {
    changed: bool,
    lost: bool,
    jobs: VecDeque<(String, String)>,
}

impl Link {
    /// Connects, and listens from then on.
    pub(super) async fn to(unit: &Unit) -> Result<Self, Trouble> {
        let wire = Wire::to(unit.manager).await.map_err(|reason| {
            Trouble::Away(format!("it is not there ({reason}); {}", remedy(unit.manager)))
        })?;
        let row = list(&wire, &unit.name).await?;
        let hints = Arc::new(Hints {
            wire: Arc::clone(&wire),
            id: row.id,
            path: row.path.clone(),
            heard: Mutex::default(),
            news: Notify::new(),
        });
        let watcher: Arc<dyn Watcher> = Arc::<Hints>::clone(&hints);
        wire.connection().watch(&watcher);
        let Hints { id, path, .. } = &*hints;
        let changes =
            format!("path='{path}',interface='{PROPERTIES}',member='PropertiesChanged',arg0='{UNIT}'");
        let ends = format!("path='{MANAGER_PATH}',interface='{MANAGER}',member='JobRemoved',arg2='{id}'");
        for rule in [changes, ends] {
            wire.subscribe(&rule).await.map_err(|failure| trouble(&wire, failure))?;
        }
        Ok(Self { name: unit.name.clone(), path: row.path, hints })
    }

    /// Waits until something may have changed; at once if it may have since the last time.
    pub(super) async fn changed(&self) -> Result<(), Trouble> {
        loop {
            let news = self.hints.news.notified();
            {
                let mut heard = self.hints.lock();
                if heard.lost {
                    return Err(Trouble::Away("the connection to it is lost".to_owned()));
                }
                if std::mem::take(&mut heard.changed) {
                    return Ok(());
                }
            }
            news.await;
        }
    }

    /// How this job ended, if it did.
    pub(super) fn ended(&self, job: &str) -> Option<String> {
        let heard = self.hints.lock();
        heard.jobs.iter().find(|(path, _)| path == job).map(|(_, result)| result.clone())
    }

    /// Where the unit stands.
    pub(super) async fn look(&self) -> Result<Seen, Trouble> {
        Ok(list(&self.hints.wire, &self.name).await?.seen)
    }

    /// Has the manager do something for which it makes a job, and gives the job's path.
    pub(super) async fn enqueue(&self, method: &str) -> Result<String, Trouble> {
        let answer = self.manager(method, &[Arg::Text(&self.name), Arg::Text("replace")]).await?;
        answer.body("o").and_then(|mut body| body.text()).map_err(broken)
    }

    /// Has the manager do something with the unit.
    pub(super) async fn order(&self, method: &str) -> Result<(), Trouble> {
        self.manager(method, &[Arg::Text(&self.name)]).await.map(drop)
    }

    /// Kills all its processes.
    pub(super) async fn kill(&self) -> Result<(), Trouble> {
        const SIGKILL: i32 = 9;
        let args = [Arg::Text(&self.name), Arg::Text("all"), Arg::Number(SIGKILL)];
        self.manager("KillUnit", &args).await.map(drop)
    }

    /// A property of the unit, or none if it has no such property.
    pub(super) async fn property(&self, interface: &str, property: &str) -> Result<Option<Value>, Trouble> {
        let args = [Arg::Text(interface), Arg::Text(property)];
        let wire = &self.hints.wire;
        let answer = wire.call((&self.path, PROPERTIES, "Get"), &args).await;
        match answer.map_err(|failure| trouble(wire, failure)) {
            Ok(answer) => Ok(answer.body("v").and_then(|mut body| body.variant()).ok()),
            Err(Trouble::Refused { .. }) => Ok(None),
            Err(away) => Err(away),
        }
    }

    async fn manager(&self, method: &str, args: &[Arg<'_>]) -> Result<Message, Trouble> {
        let wire = &self.hints.wire;
        wire.call((MANAGER_PATH, MANAGER, method), args).await.map_err(|failure| trouble(wire, failure))
    }
}

impl Hints {
    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear(&self, what: impl FnOnce(&mut Heard)) {
        {
            let mut heard = self.lock();
            heard.changed = true;
            what(&mut heard);
        }
        self.news.notify_waiters();
    }
}

impl Watcher for Hints {
    fn signal(&self, message: &Message) {
        if self.wire.is_farewell(message) {
            self.wire.connection().close();
        } else if !self.wire.is_from_manager(message) {
            // Others may send what they like.
        } else if message.interface == PROPERTIES && message.path == self.path {
            if message.first_text().as_deref() == Some(UNIT) {
                self.hear(|_| {});
            }
        } else if message.interface == MANAGER && message.member == "JobRemoved" {
            if let Ok((job, result)) = job_of(message, &self.id) {
                self.hear(|heard| {
                    heard.jobs.truncate(JOBS - 1);
                    heard.jobs.push_front((job, result));
                });
            }
        }
    }

    fn gone(&self) {
        self.hear(|heard| heard.lost = true);
    }
}

/// A job of this unit, and how it ended.
fn job_of(message: &Message, id: &str) -> Result<(String, String), Broken> {
    let mut body = message.body("uoss")?;
    body.u32()?;
    let (job, unit, result) = (body.text()?, body.text()?, body.text()?);
    if unit == id { Ok((job, result)) } else { Err(Broken) }
}

/// What the manager lists of a unit.
struct Row {
    id: String,
    path: String,
    seen: Seen,
}

async fn list(wire: &Wire, name: &str) -> Result<Row, Trouble> {
    let listed = wire.call((MANAGER_PATH, MANAGER, "ListUnitsByNames"), &[Arg::Texts(&[name])]).await;
    let listed = listed.map_err(|failure| trouble(wire, failure))?;
    let mut rows = listed.body("a(ssssssouso)").map_err(broken)?;
    let end = rows.structures().map_err(broken)?;
    if rows.structure(end).map_err(broken)? {
        row(&mut rows).map_err(broken)
    } else {
        Err(Trouble::Refused {
            name: "org.freedesktop.systemd1.NoSuchUnit".to_owned(),
            text: "no unit can have this name".to_owned(),
        })
    }
}

fn row(row: &mut Reader<'_>) -> Result<Row, Broken> {
    let (id, _description) = (row.text()?, row.text()?);
    let (load, active, sub) = (row.text()?, row.text()?, row.text()?);
    let (_following, path) = (row.text()?, row.text()?);
    let job = if row.u32()? == 0 { None } else { Some(row.text()?) };
    Ok(Row { id, path, seen: Seen { load, active, sub, job } })
}

/// A connection on which nothing comes any more is closed, for all who use it.
fn trouble(wire: &Wire, failure: Failure) -> Trouble {
    match failure {
        Failure::Error { name, text } if means_away(&name) => {
            wire.connection().close();
            Trouble::Away(if text.is_empty() { name } else { text })
        }
        Failure::Error { name, text } => Trouble::Refused { name, text },
        Failure::Gone(reason) => {
            wire.connection().close();
            Trouble::Away(reason)
        }
    }
}

/// Errors by which a bus says that whoever was called is not there.
fn means_away(error: &str) -> bool {
    const AWAY: [&str; 5] = ["NoReply", "ServiceUnknown", "NameHasNoOwner", "Disconnected", "Timeout"];
    error.strip_prefix("org.freedesktop.DBus.Error.").is_some_and(|name| AWAY.contains(&name))
}

fn broken(_: Broken) -> Trouble {
    Trouble::Away("its answer cannot be read".to_owned())
}

fn remedy(manager: Manager) -> &'static str {
    match manager {
        Manager::System => "is systemd running here?",
        Manager::User => {
            "is `systemctl --user` working for the user that dormouse runs as? `loginctl enable-linger USER` starts \
             the manager without a login"
        }
    }
}
