//! A systemd unit, over D-Bus.
//!
//! Signals are only hints: after each, the activator reads the state of the unit, and its events follow from that state
//! alone. So it misses no change while the manager is unreachable, and it does not trust signals of other senders.

mod client;
mod dbus;
mod driver;
mod manager;
mod parts;
mod reason;
mod state;

use std::fmt;

use tokio::sync::mpsc::{Receiver, Sender};

use self::driver::Driver;
pub(crate) use self::parts::control_groups;
use crate::{ActivatorContext, Event, Request};

/// A systemd unit.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Unit {
    /// The name of the unit, with its suffix.
    pub name: String,
    /// The service manager that the unit belongs to.
    pub manager: Manager,
}

/// A service manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Manager {
    /// The system's service manager.
    System,
    /// The service manager of the user of dormouse.
    User,
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unit {}", self.name)
    }
}

impl fmt::Display for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::System => "the system's service manager",
            Self::User => "the user's service manager",
        })
    }
}

/// Carries out requests until the channel of requests is closed. The unit stays as it is then.
pub(crate) async fn run(
    unit: Unit,
    context: ActivatorContext,
    mut requests: Receiver<Request>,
    events: Sender<Event>,
) {
    let mut driver = Driver::new(unit, context, events);
    let mut next = None;
    loop {
        if next.is_none() {
            tokio::select! {
                request = requests.recv() => match request {
                    Some(request) => next = Some(request),
                    None => return,
                },
                () = driver.watch() => {}
            }
        }
        let Some(request) = next.take() else { continue };
        let operation = async {
            match request {
                Request::Start => driver.start().await,
                Request::Stop => driver.stop().await,
                Request::Freeze => driver.freeze().await,
                Request::Thaw => driver.thaw().await,
            }
        };
        tokio::pin!(operation);
        // The next request cancels any operation except a stop.
        loop {
            tokio::select! {
                () = &mut operation => break,
                other = requests.recv(), if next.is_none() => match other {
                    Some(other) => next = Some(other),
                    None => return,
                },
            }
            if next.is_some() && request != Request::Stop {
                break;
            }
        }
    }
}
