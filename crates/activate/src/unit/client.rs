//! A client for one unit: calls to its manager, and notifications that the unit may have changed.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::dbus::{Arg, CallError, Malformed, Message, Reader, SignalHandler, Value};
use super::manager::{MANAGER, MANAGER_PATH, ManagerConnection};
use super::state::UnitState;
use super::{Manager, Unit};

/// The D-Bus interface that all units have.
pub(super) const UNIT: &str = "org.freedesktop.systemd1.Unit";

pub(super) const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// The number of ended jobs to keep. The caller waits for one, and others may end at the same time.
const KEPT_JOBS: usize = 8;

/// A failed call to the manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ManagerError {
    /// The manager is unreachable or does not answer. It may come back.
    Unreachable(String),
    /// The manager rejects the call.
    Rejected {
        /// The name of the D-Bus error.
        name: String,
        /// The message of the manager.
        text: String,
    },
}

/// A client for one unit, which also watches the unit.
pub(super) struct UnitClient {
    name: String,
    path: String,
    signals: Arc<UnitSignals>,
}

/// What the signals have reported since the last call of [`UnitClient::changed`].
struct UnitSignals {
    connection: Arc<ManagerConnection>,
    /// The primary name of the unit. Other names are aliases.
    id: String,
    path: String,
    received: Mutex<Received>,
    notify: Notify,
}

#[derive(Default)]
struct Received {
    changed: bool,
    lost: bool,
    jobs: VecDeque<(String, String)>,
}

impl UnitClient {
    /// Connects to the manager, and subscribes to the signals of the unit.
    pub(super) async fn connect(unit: &Unit) -> Result<Self, ManagerError> {
        let connection = ManagerConnection::shared(unit.manager).await.map_err(|reason| {
            ManagerError::Unreachable(format!("cannot connect to it ({reason}); {}", remedy(unit.manager)))
        })?;
        let row = list_unit(&connection, &unit.name).await?;
        let signals = Arc::new(UnitSignals {
            connection: Arc::clone(&connection),
            id: row.id,
            path: row.path.clone(),
            received: Mutex::default(),
            notify: Notify::new(),
        });
        let handler: Arc<dyn SignalHandler> = Arc::<UnitSignals>::clone(&signals);
        connection.dbus().add_handler(&handler);
        let UnitSignals { id, path, .. } = &*signals;
        let changes =
            format!("path='{path}',interface='{PROPERTIES}',member='PropertiesChanged',arg0='{UNIT}'");
        let ends = format!("path='{MANAGER_PATH}',interface='{MANAGER}',member='JobRemoved',arg2='{id}'");
        for rule in [changes, ends] {
            connection.subscribe(&rule).await.map_err(|error| manager_error(&connection, error))?;
        }
        Ok(Self { name: unit.name.clone(), path: row.path, signals })
    }

    /// Waits until the unit may have changed. Returns immediately if it may have changed since the last call.
    pub(super) async fn changed(&self) -> Result<(), ManagerError> {
        loop {
            let notified = self.signals.notify.notified();
            {
                let mut received = self.signals.lock();
                if received.lost {
                    return Err(ManagerError::Unreachable("the connection to it was lost".to_owned()));
                }
                if std::mem::take(&mut received.changed) {
                    return Ok(());
                }
            }
            notified.await;
        }
    }

    /// Returns the result of a job, if it has ended.
    pub(super) fn ended(&self, job: &str) -> Option<String> {
        let received = self.signals.lock();
        received.jobs.iter().find(|(path, _)| path == job).map(|(_, result)| result.clone())
    }

    /// Reads the state of the unit.
    pub(super) async fn state(&self) -> Result<UnitState, ManagerError> {
        Ok(list_unit(&self.signals.connection, &self.name).await?.state)
    }

    /// Calls a method that creates a job. Returns the path of the job.
    pub(super) async fn enqueue(&self, method: &str) -> Result<String, ManagerError> {
        let reply = self.call_manager(method, &[Arg::Text(&self.name), Arg::Text("replace")]).await?;
        reply.body("o").and_then(|mut body| body.text()).map_err(malformed)
    }

    /// Calls a method of the manager for the unit.
    pub(super) async fn call(&self, method: &str) -> Result<(), ManagerError> {
        self.call_manager(method, &[Arg::Text(&self.name)]).await.map(drop)
    }

    /// Sends SIGKILL to all processes of the unit.
    pub(super) async fn kill(&self) -> Result<(), ManagerError> {
        const SIGKILL: i32 = 9;
        let args = [Arg::Text(&self.name), Arg::Text("all"), Arg::Number(SIGKILL)];
        self.call_manager("KillUnit", &args).await.map(drop)
    }

    /// Returns a property of the unit; `None` if the unit does not have it.
    pub(super) async fn property(
        &self,
        interface: &str,
        property: &str,
    ) -> Result<Option<Value>, ManagerError> {
        let args = [Arg::Text(interface), Arg::Text(property)];
        let connection = &self.signals.connection;
        let reply = connection.call((&self.path, PROPERTIES, "Get"), &args).await;
        match reply.map_err(|error| manager_error(connection, error)) {
            Ok(reply) => Ok(reply.body("v").and_then(|mut body| body.variant()).ok()),
            Err(ManagerError::Rejected { .. }) => Ok(None),
            Err(unreachable) => Err(unreachable),
        }
    }

    async fn call_manager(&self, method: &str, args: &[Arg<'_>]) -> Result<Message, ManagerError> {
        let connection = &self.signals.connection;
        connection
            .call((MANAGER_PATH, MANAGER, method), args)
            .await
            .map_err(|error| manager_error(connection, error))
    }
}

impl UnitSignals {
    fn lock(&self) -> MutexGuard<'_, Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self, change: impl FnOnce(&mut Received)) {
        {
            let mut received = self.lock();
            received.changed = true;
            change(&mut received);
        }
        self.notify.notify_waiters();
    }
}

impl SignalHandler for UnitSignals {
    fn signal(&self, message: &Message) {
        if self.connection.is_owner_change(message) {
            self.connection.dbus().close();
        } else if !self.connection.is_from_manager(message) {
            // Other programs may send any signal.
        } else if message.interface == PROPERTIES && message.path == self.path {
            if message.first_text().as_deref() == Some(UNIT) {
                self.record(|_| {});
            }
        } else if message.interface == MANAGER && message.member == "JobRemoved" {
            if let Ok((job, result)) = job_of(message, &self.id) {
                self.record(|received| {
                    received.jobs.truncate(KEPT_JOBS - 1);
                    received.jobs.push_front((job, result));
                });
            }
        }
    }

    fn disconnected(&self) {
        self.record(|received| received.lost = true);
    }
}

/// Returns the path and the result of a job of this unit.
fn job_of(message: &Message, id: &str) -> Result<(String, String), Malformed> {
    let mut body = message.body("uoss")?;
    body.u32()?;
    let (job, unit, result) = (body.text()?, body.text()?, body.text()?);
    if unit == id { Ok((job, result)) } else { Err(Malformed) }
}

/// The manager's list entry of a unit.
struct UnitRow {
    id: String,
    path: String,
    state: UnitState,
}

async fn list_unit(connection: &ManagerConnection, name: &str) -> Result<UnitRow, ManagerError> {
    let reply = connection.call((MANAGER_PATH, MANAGER, "ListUnitsByNames"), &[Arg::Texts(&[name])]).await;
    let reply = reply.map_err(|error| manager_error(connection, error))?;
    let mut rows = reply.body("a(ssssssouso)").map_err(malformed)?;
    let end = rows.structures().map_err(malformed)?;
    if rows.structure(end).map_err(malformed)? {
        parse_row(&mut rows).map_err(malformed)
    } else {
        Err(ManagerError::Rejected {
            name: "org.freedesktop.systemd1.NoSuchUnit".to_owned(),
            text: "invalid unit name".to_owned(),
        })
    }
}

fn parse_row(row: &mut Reader<'_>) -> Result<UnitRow, Malformed> {
    let (id, _description) = (row.text()?, row.text()?);
    let (load, active, sub) = (row.text()?, row.text()?, row.text()?);
    let (_following, path) = (row.text()?, row.text()?);
    let job = if row.u32()? == 0 { None } else { Some(row.text()?) };
    Ok(UnitRow { id, path, state: UnitState { load, active, sub, job } })
}

/// Converts an error of a call. A connection that has failed is closed, for all units that share it.
fn manager_error(connection: &ManagerConnection, error: CallError) -> ManagerError {
    match error {
        CallError::Reply { name, text } if means_unreachable(&name) => {
            connection.dbus().close();
            ManagerError::Unreachable(if text.is_empty() { name } else { text })
        }
        CallError::Reply { name, text } => ManagerError::Rejected { name, text },
        CallError::Disconnected(reason) => {
            connection.dbus().close();
            ManagerError::Unreachable(reason)
        }
    }
}

/// Returns whether a D-Bus error means that the called service is unreachable.
fn means_unreachable(error: &str) -> bool {
    const NAMES: [&str; 5] = ["NoReply", "ServiceUnknown", "NameHasNoOwner", "Disconnected", "Timeout"];
    error.strip_prefix("org.freedesktop.DBus.Error.").is_some_and(|name| NAMES.contains(&name))
}

fn malformed(_: Malformed) -> ManagerError {
    ManagerError::Unreachable("malformed reply".to_owned())
}

fn remedy(manager: Manager) -> &'static str {
    match manager {
        Manager::System => "check that systemd runs here",
        Manager::User => {
            "check that `systemctl --user` works for dormouse's user; `loginctl enable-linger USER` starts the manager without a login"
        }
    }
}
