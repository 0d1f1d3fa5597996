//! Serving: from the listeners' first client to the last session's end.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use dormouse_core::timespan::TimeSpan;
use dormouse_sys::notify::Notifier;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::{Signals, idle_exit, report_status, vigil, watchdog};
use crate::admission::{Admission, Pool};
use crate::ledger::Ledger;
use crate::ledger::log::{Level, Log};
use crate::listener::{Listener, accept_all};
use crate::session::Shared;

/// What the service manager is told when everything works.
pub const READY: &str = "READY=1\nSTATUS=Processing requests...";

/// The start is over after so long, and what only it needed may go.
const STARTED: Duration = Duration::from_millis(100);

/// A service with its listeners.
#[derive(Debug)]
pub struct Open {
    /// Where clients arrive.
    pub listeners: Vec<Listener>,
    /// Who is let in.
    pub admission: Arc<Admission>,
    /// What its sessions share.
    pub shared: Arc<Shared>,
    /// What is behind, for the log.
    pub behind: String,
    /// Whether an administrator who reads the log does not know the addresses.
    pub announce: bool,
}

/// How the process serves.
#[derive(Debug)]
pub struct Life<'a> {
    /// Exit after so long without a session.
    pub exit_idle_time: Option<Duration>,
    /// How long open sessions may go on after the end was asked for.
    pub drain_timeout: TimeSpan,
    /// All sessions.
    pub pool: &'a Pool,
    /// What the status is made from.
    pub ledger: &'a Ledger,
    /// Where lines go.
    pub log: &'a Log,
    /// The service manager.
    pub manager: Option<&'a Notifier>,
}

impl Life<'_> {
    /// Serves until idle, told to end, or a listener died.
    ///
    /// # Errors
    /// When a listener dies, with its name; or cannot be duplicated, without.
    pub async fn serve(&self, services: Vec<Open>, signals: &mut Signals) -> Result<Ended, ListenerDied> {
        let mut duplicates = Vec::new();
        let mut accepting = JoinSet::new();
        let mut limits = Vec::new();
        for Open { listeners, admission, shared, behind, announce } in services {
            limits.push(shared.limits);
            let level = if announce { Level::Info } else { Level::Debug };
            for listener in listeners {
                let name = listener.to_string();
                self.log.line(level, format_args!("Listening on {name} for {behind}."));
                let duplicate = listener.socket().try_clone();
                duplicates.push(duplicate.map_err(|error| ListenerDied { name: name.clone(), error })?);
                let accepted = accept_all(listener, Arc::clone(&admission), Arc::clone(&shared));
                accepting.spawn(async move { (name, accepted.await) });
            }
        }
        let mut ahead = JoinSet::new();
        for limits in limits {
            ahead.spawn(limits.keep_timer_ahead());
        }
        let mut looking = JoinSet::new();
        looking.spawn(vigil::keep());
        looking.spawn(async {
            sleep(STARTED).await;
            dormouse_sys::code::let_go();
        });
        if let Some(manager) = self.manager {
            manager.send(READY);
        }
        let why = tokio::select! {
            why = self.until_idle(&duplicates) => why,
            () = signals.next() => Why::Told,
            died = accepting.join_next() => Why::died(died),
            () = report_status(self.manager, self.ledger) => Why::Idle,
            () = watchdog(self.manager) => Why::Idle,
        };
        // Whoever comes now waits in the service manager's socket.
        drop(duplicates);
        accepting.shutdown().await;
        match why {
            Why::Idle => Ok(Ended::InGoodOrder),
            Why::Told => Ok(self.drain(signals).await),
            Why::Died { name, error } => Err(ListenerDied { name, error }),
        }
    }

    /// Waits until it is idle, and nobody has just come.
    async fn until_idle(&self, listeners: &[OwnedFd]) -> Why {
        loop {
            idle_exit(self.exit_idle_time, self.pool).await;
            if !anybody_waits(listeners) {
                return Why::Idle;
            }
            // The accept loops are about to take it, and the silence begins anew.
        }
    }

    /// Lets open sessions go on for as long as was granted, or until the next signal.
    async fn drain(&self, signals: &mut Signals) -> Ended {
        let granted = self.drain_timeout;
        if granted.is_zero() || self.pool.open() == 0 {
            return Ended::InGoodOrder;
        }
        if let Some(manager) = self.manager {
            manager.send("STOPPING=1\nSTATUS=Waiting for open connections to end...");
        }
        let ended = async {
            while self.pool.open() > 0 {
                self.pool.became_idle().await;
            }
        };
        tokio::select! {
            () = ended => Ended::InGoodOrder,
            () = after(granted) => Ended::InGoodOrder,
            () = signals.next() => Ended::AtOnce,
            () = watchdog(self.manager) => Ended::InGoodOrder,
        }
    }
}

/// How serving has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// There is time for what is left to do.
    InGoodOrder,
    /// A second signal came: there is none.
    AtOnce,
}

/// A listener that cannot be used any more.
#[derive(Debug)]
pub struct ListenerDied {
    /// Which.
    pub name: String,
    /// What the kernel said.
    pub error: io::Error,
}

/// Why serving ends.
enum Why {
    Idle,
    Told,
    Died { name: String, error: io::Error },
}

impl Why {
    fn died(joined: Option<Result<(String, io::Result<()>), tokio::task::JoinError>>) -> Self {
        match joined {
            Some(Ok((name, Err(error)))) => Self::Died { name, error },
            Some(Ok((name, Ok(())))) => Self::Died { name, error: io::ErrorKind::Other.into() },
            Some(Err(error)) => Self::Died { name: "a listener".to_owned(), error: error.into() },
            None => Self::Idle,
        }
    }
}

fn anybody_waits(listeners: &[OwnedFd]) -> bool {
    let mut polled: Vec<PollFd<'_>> =
        listeners.iter().map(|listener| PollFd::from_borrowed_fd(listener.as_fd(), PollFlags::IN)).collect();
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut polled, Some(&at_once)).is_ok_and(|ready| ready > 0)
}

async fn after(span: TimeSpan) {
    match span.finite().and_then(|span| Instant::now().checked_add(span)) {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
