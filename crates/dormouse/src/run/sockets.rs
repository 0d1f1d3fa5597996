//! The sockets of services: passed in under a name, or opened.

use crate::cli::Passed;
use crate::config::model::{Listen, ServiceConfig};
use crate::ledger::log::{Level, Log};
use crate::listener::{self, Listener};

use super::RunError;

/// What the service manager passed, while no service has it.
#[derive(Debug)]
pub(super) struct Sockets(Vec<Listener>);

pub(super) fn sort(passed: Passed) -> Result<Sockets, RunError> {
    match listener::sort(passed).map_err(RunError::Passed)? {
        listener::Passed::Nothing => Ok(Sockets(Vec::new())),
        listener::Passed::Listeners(listeners) => Ok(Sockets(listeners)),
        listener::Passed::Connected(_) => Err(RunError::Connected),
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
            Listen::Open { address, mode } => {
                listener::open(address, *mode).map(|listener| vec![listener]).map_err(RunError::Open)
            }
            Listen::Inherited(name) => {
                let (ours, rest): (Vec<_>, Vec<_>) =
                    std::mem::take(&mut self.0).into_iter().partition(|socket| socket.to_string() == *name);
                self.0 = rest;
                if ours.is_empty() {
                    let known = self.0.iter().map(ToString::to_string).collect();
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
            self.0.extend(listeners);
        }
    }

    pub(super) fn warn_of_the_rest(&self, log: &Log) {
        for socket in &self.0 {
            log.line(
                Level::Warning,
                format_args!("Nobody listens on the passed socket \"{socket}\": no service has fd:{socket}."),
            );
        }
    }
}
