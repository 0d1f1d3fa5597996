//! Serving: from the listeners' first client to the last session's end.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use dormouse_core::timespan::TimeSpan;
use dormouse_log::{Level, Log};
use dormouse_sys::notify::Notifier;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::{
    Accepting, OpenListener, Signals, ask_for_time, begin_drain, idle_exit, report_drain, report_status,
    watchdog,
};
use crate::admission::{Admission, Pool};
use crate::busy_poll;
use crate::listener::Listener;
use crate::session::Shared;
use crate::stats::Ledger;

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
    /// When a listener dies, or cannot be duplicated; with its name.
    pub async fn serve(&self, service: Open, signals: &mut Signals) -> Result<Ended, ListenerDied> {
        let Open { listeners: opened, admission, shared, behind, announce } = service;
        let (mut accepting, mut listeners) = (Accepting::default(), Vec::new());
        let mut ahead = JoinSet::new();
        ahead.spawn(shared.limits.keep_timer_ahead());
        let level = if announce { Level::Info } else { Level::Debug };
        for listener in opened {
            let name = listener.to_string();
            self.log.line(level, format_args!("Listening on {name} for {behind}."));
            let waiting = listener.waiting().map_err(|error| ListenerDied { name, error })?;
            listeners.push(accepting.open(listener, waiting, Arc::clone(&admission), Arc::clone(&shared)));
        }
        let _background = background();
        if let Some(manager) = self.manager {
            manager.send_blocking(READY);
        }
        let why = tokio::select! {
            () = self.until_idle(&listeners) => Why::Idle,
            () = signals.next() => Why::Told,
            died = accepting.died() => Why::Died(died),
            () = report_status(self.manager, self.ledger) => Why::Idle,
            () = watchdog(self.manager) => Why::Idle,
        };
        self.ledger.end_soon();
        // Whoever comes now waits in the service manager's socket.
        drop(listeners);
        accepting.shutdown().await;
        match why {
            Why::Idle => Ok(Ended::InGoodOrder),
            Why::Told => Ok(drain(self.drain_timeout, self.pool, self.manager, signals).await),
            Why::Died(died) => Err(died),
        }
    }

    /// Waits until it is idle, and nobody has just come.
    async fn until_idle(&self, listeners: &[OpenListener]) {
        loop {
            idle_exit(self.exit_idle_time, self.pool).await;
            if !anybody_waits(listeners) {
                return;
            }
            // The accept loops are about to take it, and the silence begins anew.
        }
    }
}

/// What goes on beside the sessions for as long as this lives.
pub fn background() -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    tasks.spawn(busy_poll::keep());
    tasks.spawn(dormouse_relay::socket_reuse::close_unused());
    tasks.spawn(async {
        sleep(STARTED).await;
        dormouse_sys::code_pages::release();
    });
    tasks
}

/// Lets open sessions go on for as long as was granted, or until the next signal.
pub async fn drain(
    granted: TimeSpan,
    pool: &Pool,
    manager: Option<&Notifier>,
    signals: &mut Signals,
) -> Ended {
    let open = pool.open();
    if granted.is_zero() || open == 0 {
        return Ended::InGoodOrder;
    }
    begin_drain(manager, open);
    let ended = async {
        while pool.open() > 0 {
            pool.became_idle().await;
        }
    };
    tokio::select! {
        () = ended => Ended::InGoodOrder,
        () = after(granted) => Ended::InGoodOrder,
        () = signals.next() => Ended::AtOnce,
        () = watchdog(manager) => Ended::InGoodOrder,
        () = report_drain(manager, pool, open) => Ended::InGoodOrder,
        () = ask_for_time(manager, granted.finite().unwrap_or(Duration::MAX)) => Ended::InGoodOrder,
    }
}

/// The sessions of a service that can be ended, and what counts them.
#[derive(Debug)]
pub struct Guests {
    /// Where they are known.
    pub admission: Arc<Admission>,
    /// What is told of them.
    pub ledger: Arc<Ledger>,
}

/// Sessions that are told to end have their turn within this time.
const TURN: Duration = Duration::from_secs(1);

/// Ends what sessions are open, so that each has its line in the log. Where lines of sessions are not written they end
/// with the process.
pub async fn end_sessions(guests: Vec<Guests>, pool: &Pool, log: &Log) {
    if !log.wants_sessions() || pool.open() == 0 {
        return;
    }
    // A task of its own: it has its turn after those of clients that were let in just before.
    let ending = tokio::spawn(async move {
        for Guests { admission, ledger } in guests {
            ledger.cut(admission.end_all());
        }
    });
    let ended = async {
        let _ = ending.await;
        while pool.open() > 0 {
            pool.became_idle().await;
        }
    };
    // Who does not end in time has no line.
    let _ = timeout(TURN, ended).await;
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
    Died(ListenerDied),
}

fn anybody_waits(listeners: &[OpenListener]) -> bool {
    let listeners = listeners.iter().filter_map(OpenListener::listener);
    let mut polled: Vec<PollFd<'_>> = listeners
        .map(|listener| PollFd::from_borrowed_fd(listener.socket().as_fd(), PollFlags::IN))
        .collect();
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut polled, Some(&at_once)).is_ok_and(|ready| ready > 0)
}

/// Waits so long.
pub async fn after(span: TimeSpan) {
    match span.finite().and_then(|span| Instant::now().checked_add(span)) {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
