//! Where listening sockets come from: the service manager's socket units, its descriptor store, or a new socket.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::time::Duration;

use dormouse_config::listen_options::ListenOptions;
use dormouse_config::model::{Config, Listen, ServiceConfig};
use dormouse_core::address::ListenAddress;
use dormouse_log::{Level, Log};
use dormouse_proxy::listener::{self, Listener, OpenError};
use dormouse_sys::listen_fds::PassedFd;
use tokio::time::{Instant, sleep};

use super::RunError;
use super::fd_store::StoredListeners;

/// The passed and stored sockets that no service has taken yet.
#[derive(Debug)]
pub(super) struct Sockets {
    /// By their names; one name may stand for several.
    passed: BTreeMap<String, Vec<Listener>>,
    /// The listeners that an earlier process of dormouse opened.
    stored: StoredListeners,
    /// Until this time, opening retries if the address is in use, because its old listener is being closed.
    closing_until: Option<Instant>,
}

/// How long the close of a listener may take in a task of this process, or in the service manager.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(250);
/// The pause between two attempts to bind such an address.
const RETRY_INTERVAL: Duration = Duration::from_millis(1);

impl Sockets {
    /// Sorts the passed sockets.
    ///
    /// # Errors
    /// When one of them is not a listener that dormouse can use.
    pub(super) fn new(passed: Vec<PassedFd>, stored: StoredListeners) -> Result<Self, RunError> {
        let passed = match listener::classify(passed).map_err(RunError::Passed)? {
            listener::Passed::Nothing => BTreeMap::new(),
            listener::Passed::Listeners(listeners) => by_name(listeners),
            listener::Passed::Connected(_) => return Err(RunError::Connected),
        };
        Ok(Self { passed, stored, closing_until: None })
    }

    /// Closes the stored listeners that are left.
    pub(super) fn drop_stored(&mut self) {
        self.stored = StoredListeners::default();
    }

    /// Closes the stored listeners that this configuration does not use. Returns their names in the store.
    pub(super) fn take_unused(&mut self, config: &Config) -> Vec<String> {
        self.stored.take_unused(config)
    }

    /// Makes `open` retry for a while where an address is in use.
    pub(super) fn expect_addresses_to_become_free(&mut self) {
        self.closing_until = Some(Instant::now() + CLOSE_TIMEOUT);
    }

    /// Takes the sockets of one configured listener, or opens one.
    ///
    /// # Errors
    /// When no socket of that name was passed, or the socket cannot be opened.
    pub(super) async fn take(
        &mut self,
        service: &ServiceConfig,
        listen: &Listen,
        log: &Log,
    ) -> Result<Vec<Listener>, RunError> {
        match listen {
            Listen::Open { address, options } => {
                if let Some(listener) = self.stored.take(&service.name, listen, log) {
                    return Ok(vec![listener]);
                }
                let opened = self.open(address, options).await;
                opened
                    .map(|listener| vec![listener])
                    .map_err(|error| RunError::Open { service: Some(service.name.clone()), error })
            }
            Listen::Inherited(name) => self.passed.remove(name).ok_or_else(|| RunError::NotPassed {
                service: service.name.clone(),
                name: name.clone(),
                known: self.passed.keys().cloned().collect(),
            }),
        }
    }

    /// Opens a listener. Where the old listener of that address is being closed, it waits for that.
    ///
    /// # Errors
    /// When the system refuses the socket or the address.
    pub(super) async fn open(
        &self,
        address: &ListenAddress,
        options: &ListenOptions,
    ) -> Result<Listener, OpenError> {
        loop {
            let opened = listener::open(address, options);
            let taken = opened.as_ref().is_err_and(|error| error.error.kind() == ErrorKind::AddrInUse);
            if !taken || self.closing_until.is_none_or(|until| until <= Instant::now()) {
                return opened;
            }
            sleep(RETRY_INTERVAL).await;
        }
    }

    /// Takes back sockets that a service no longer needs. Passed sockets are kept for another service, others are
    /// closed.
    pub(super) fn put_back(&mut self, listen: &Listen, listeners: impl IntoIterator<Item = Listener>) {
        if matches!(listen, Listen::Inherited(_)) {
            for (name, listeners) in by_name(listeners) {
                self.passed.entry(name).or_default().extend(listeners);
            }
        }
    }

    /// Logs a warning for each passed socket that no service uses.
    pub(super) fn warn_about_unused(&self, log: &Log) {
        for socket in self.passed.values().flatten() {
            log.line(
                Level::Warning,
                format_args!(
                    "No service uses the passed socket \"{socket}\": add a service with fd:{socket}."
                ),
            );
        }
    }
}

fn by_name(listeners: impl IntoIterator<Item = Listener>) -> BTreeMap<String, Vec<Listener>> {
    let mut named: BTreeMap<String, Vec<Listener>> = BTreeMap::new();
    for listener in listeners {
        named.entry(listener.to_string()).or_default().push(listener);
    }
    named
}
