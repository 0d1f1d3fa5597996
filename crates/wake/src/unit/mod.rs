//! A systemd unit, over D-Bus.
//!
//! Signals are only hints here: whatever they say, the unit's state is asked for, and what is told follows from that
//! alone. So nothing is missed when the manager was away for a while, and nothing is believed that others may send.

mod dbus;
mod driver;
mod link;
mod reason;
mod state;
mod wire;

use std::fmt;

use tokio::sync::mpsc::{Receiver, Sender};

use self::driver::Driver;
use crate::{Context, News, Order};

/// A unit of systemd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// Its name, with its suffix.
    pub name: String,
    /// Whose it is.
    pub manager: Manager,
}

/// One of the two service managers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manager {
    /// The system's.
    System,
    /// That of our user.
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

/// Carries out orders until there are no more. The unit is left as it is then.
pub(crate) async fn run(it: Unit, context: Context, mut orders: Receiver<Order>, news: Sender<News>) {
    let mut driver = Driver::new(it, context, news);
    let mut next = None;
    loop {
        if next.is_none() {
            tokio::select! {
                order = orders.recv() => match order {
                    Some(order) => next = Some(order),
                    None => return,
                },
                () = driver.watch() => {}
            }
        }
        let Some(order) = next.take() else { continue };
        let ends = async {
            match order {
                Order::Start => driver.start().await,
                Order::Stop => driver.stop().await,
                Order::Freeze => driver.freeze().await,
                Order::Thaw => driver.thaw().await,
            }
        };
        tokio::pin!(ends);
        // A stop is carried through; anything else is given up for the next order.
        loop {
            tokio::select! {
                () = &mut ends => break,
                other = orders.recv(), if next.is_none() => match other {
                    Some(other) => next = Some(other),
                    None => return,
                },
            }
            if next.is_some() && order != Order::Stop {
                break;
            }
        }
    }
}
