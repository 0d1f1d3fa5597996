//! The sockets of services: passed in under a name, or opened.

use crate::cli::Passed;
use crate::config::model::{Listen, ServiceConfig};
use crate::ledger::log::{Level, Log};
use crate::listener::{self, Listener};

use super::RunError;

/// What the service manager passed, until a service takes it.
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
    /// The listeners of a service.
    pub(super) fn take(&mut self, service: &ServiceConfig) -> Result<Vec<Listener>, RunError> {
        let mut taken = Vec::new();
        for listen in &service.listen {
            match listen {
                Listen::Open { address, mode } => {
                    taken.push(listener::open(address, *mode).map_err(RunError::Open)?);
                }
                Listen::Inherited(name) => {
                    let (ours, rest) = std::mem::take(&mut self.0)
                        .into_iter()
                        .partition(|socket| socket.to_string() == *name);
                    self.0 = rest;
                    let ours: Vec<Listener> = ours;
                    if ours.is_empty() {
                        let known = self.0.iter().map(ToString::to_string).collect();
                        return Err(RunError::NotPassed {
                            service: service.name.clone(),
                            name: name.clone(),
                            known,
                        });
                    }
                    taken.extend(ours);
                }
            }
        }
        Ok(taken)
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
