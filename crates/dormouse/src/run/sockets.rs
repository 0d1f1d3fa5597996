//! The sockets of services: passed in under a name, or opened.

use crate::cli::Passed;
use crate::config::model::{Listen, ServiceConfig};
use crate::ledger::log::{Level, Log};
use crate::listener::{self, Listener};

use super::RunError;
use super::store::Stored;

/// What the service manager passed, while no service has it.
#[derive(Debug)]
pub(super) struct Sockets {
    passed: Vec<Listener>,
    /// What we had opened before we were started again.
    stored: Stored,
}

impl Sockets {
    /// Knows which is which.
    pub(super) fn new(passed: Passed, stored: Stored) -> Result<Self, RunError> {
        let passed = match listener::sort(passed).map_err(RunError::Passed)? {
            listener::Passed::Nothing => Vec::new(),
            listener::Passed::Listeners(listeners) => listeners,
            listener::Passed::Connected(_) => return Err(RunError::Connected),
        };
        Ok(Self { passed, stored })
    }

    /// Lets go of what came back and no service wants.
    pub(super) fn forget_stored(&mut self) {
        self.stored = Stored::default();
    }
}

impl Sockets {
    /// The sockets that are meant by one of a service's listeners.
    pub(super) fn take(
        &mut self,
        service: &ServiceConfig,
        listen: &Listen,
    ) -> Result<Vec<Listener>, RunError> {
        match listen {
            Listen::Open { address, options } => {
                if let Some(listener) = self.stored.take(&service.name, listen) {
                    return Ok(vec![listener]);
                }
                listener::open(address, options).map(|listener| vec![listener]).map_err(RunError::Open)
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
