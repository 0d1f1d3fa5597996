//! The sockets of services: passed in under a name, or opened.

use std::io::ErrorKind;
use std::time::Duration;

use dormouse_config::listen_options::ListenOptions;
use dormouse_config::model::{Config, Listen, ServiceConfig};
use dormouse_core::address::ListenAddress;
use dormouse_log::{Level, Log};
use dormouse_proxy::listener::PassedFds;
use dormouse_proxy::listener::{self, Listener, OpenError};
use tokio::time::{Instant, sleep};

use super::RunError;
use super::store::Stored;

/// What the service manager passed, while no service has it.
#[derive(Debug)]
pub(super) struct Sockets {
    passed: Vec<Listener>,
    /// What we had opened before we were started again.
    stored: Stored,
    /// Until then, an address may be taken only because what was in the way is still being closed.
    closing: Option<Instant>,
}

/// Our own tasks close a listener when they have their turn, and a service manager may do it beside its other work.
const CLOSING: Duration = Duration::from_millis(250);
const PAUSE: Duration = Duration::from_millis(1);

impl Sockets {
    /// Knows which is which.
    pub(super) fn new(passed: PassedFds, stored: Stored) -> Result<Self, RunError> {
        let passed = match listener::classify(passed).map_err(RunError::Passed)? {
            listener::Passed::Nothing => Vec::new(),
            listener::Passed::Listeners(listeners) => listeners,
            listener::Passed::Connected(_) => return Err(RunError::Connected),
        };
        Ok(Self { passed, stored, closing: None })
    }

    /// Lets go of what came back and no service wants.
    pub(super) fn forget_stored(&mut self) {
        self.stored = Stored::default();
    }

    /// Closes what came back and no service of this configuration wants. Gives the names.
    pub(super) fn unwanted(&mut self, config: &Config) -> Vec<String> {
        self.stored.unwanted(config)
    }

    /// What was in the way is being closed.
    pub(super) fn expect_room(&mut self) {
        self.closing = Some(Instant::now() + CLOSING);
    }
}

impl Sockets {
    /// The sockets that are meant by one of a service's listeners.
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
                self.open(address, options).await.map(|listener| vec![listener]).map_err(RunError::Open)
            }
            Listen::Inherited(name) => {
                let (ours, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut self.passed)
                    .into_iter()
                    .partition(|socket| socket.to_string() == *name);
                self.passed = rest;
                if ours.is_empty() {
                    let known = self.passed.iter().map(ToString::to_string).collect();
                    return Err(RunError::NotPassed {
                        service: service.name.clone(),
                        name: name.clone(),
                        known,
                    });
                }
                Ok(ours)
            }
        }
    }

    /// Listens, as soon as what is being closed is out of the way.
    pub(super) async fn open(
        &self,
        address: &ListenAddress,
        options: &ListenOptions,
    ) -> Result<Listener, OpenError> {
        loop {
            let opened = listener::open(address, options);
            let taken = opened.as_ref().is_err_and(|error| error.error.kind() == ErrorKind::AddrInUse);
            if !taken || self.closing.is_none_or(|until| until <= Instant::now()) {
                return opened;
            }
            sleep(PAUSE).await;
        }
    }

    /// Takes back what a service does not need any more: what was passed is kept for another one, what was opened is
    /// closed.
    pub(super) fn put_back(&mut self, listen: &Listen, listeners: impl IntoIterator<Item = Listener>) {
        if matches!(listen, Listen::Inherited(_)) {
            self.passed.extend(listeners);
        }
    }

    pub(super) fn warn_of_the_rest(&self, log: &Log) {
        for socket in &self.passed {
            log.line(
                Level::Warning,
                format_args!("Nobody listens on the passed socket \"{socket}\": no service has fd:{socket}."),
            );
        }
    }
}
