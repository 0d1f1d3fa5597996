//! From the first client to the last.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use dormouse_core::timespan::TimeSpan;
use dormouse_relay::{Kind, Limits, Pipes};
use dormouse_sys::notify::Notifier;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, sockopt};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::{ProxyError, Settings, Source};
use crate::admission::{Admission, raise_limit};
use crate::connect::{Route, options};
use crate::ledger::Ledger;
use crate::ledger::log::{Level, Log};
use crate::life::{Signals, idle_exit, report_status, watchdog};
use crate::listener::{Listener, accept_all};
use crate::service::Service;
use crate::session::{self, Client, Shared};

pub(super) async fn serve(
    settings: Settings,
    source: Source,
    manager: Option<Notifier>,
) -> Result<(), ProxyError> {
    let log = Log::new(settings.log_level);
    let budget = raise_limit(settings.cap.get());
    if budget.sessions < usize::try_from(settings.cap.get()).unwrap_or(usize::MAX) {
        log.line(
            Level::Warning,
            format_args!(
                "--connections-max={} needs more descriptors than the limit of {}: {} connections fit, more wait in \
                 the backlog. Raise LimitNOFILE=.",
                settings.cap.get(),
                budget.limit,
                budget.sessions
            ),
        );
    }
    let route = Route::new(&settings.target, settings.connect_timeout).map_err(ProxyError::Target)?;
    let mut signals = Signals::register().map_err(ProxyError::Runtime)?;
    let admission = Admission::new(settings.cap, settings.at_limit, budget.sessions);
    let shared = Arc::new(Shared {
        service: Service::new(route, settings.wait),
        ledger: Ledger::new(log.clone()),
        limits: Limits { half_close: settings.half_close_timeout, idle: settings.idle_timeout },
        pipes: Pipes::new(budget.pipes),
        proxy_protocol: settings.proxy_protocol,
    });
    let result = match source {
        Source::Connected(socket) => {
            serve_one(socket, &admission, &shared, manager.as_ref(), &mut signals).await;
            Ok(())
        }
        Source::Listeners(listeners) => {
            let life = Life {
                settings: &settings,
                admission: &admission,
                shared: &shared,
                manager: manager.as_ref(),
            };
            life.serve_all(listeners, &mut signals).await
        }
    };
    if let Some(manager) = &manager {
        manager.send("STOPPING=1\nSTATUS=Shutting down...");
    }
    log.flush();
    result
}

const READY: &str = "READY=1\nSTATUS=Processing requests...";

/// An Accept=yes connection: one session.
async fn serve_one(
    socket: OwnedFd,
    admission: &Arc<Admission>,
    shared: &Arc<Shared>,
    manager: Option<&Notifier>,
    signals: &mut Signals,
) {
    // It works without; a socket that cannot be made non-blocking fails at its first use.
    let _ = rustix::io::ioctl_fionbio(&socket, true);
    let family = sockopt::socket_domain(&socket).unwrap_or(AddressFamily::UNSPEC);
    let _ = options::prepare(&socket, family);
    let kind = if family == AddressFamily::UNIX { Kind::Unix } else { Kind::Plain };
    if let Some(manager) = manager {
        manager.send(READY);
    }
    tokio::select! {
        () = session::serve(Arc::clone(shared), Client { socket, kind }, admission.enter()) => {}
        () = signals.next() => {}
        () = watchdog(manager) => {}
    }
}

/// The life of a proxy with listeners.
struct Life<'a> {
    settings: &'a Settings,
    admission: &'a Arc<Admission>,
    shared: &'a Arc<Shared>,
    manager: Option<&'a Notifier>,
}

impl Life<'_> {
    async fn serve_all(&self, listeners: Vec<Listener>, signals: &mut Signals) -> Result<(), ProxyError> {
        let own = self.settings.listen.len();
        let level = if own > 0 { Level::Info } else { Level::Debug };
        let mut duplicates = Vec::with_capacity(listeners.len());
        let mut accepting = JoinSet::new();
        for listener in listeners {
            let name = listener.to_string();
            let target = &self.settings.target;
            self.shared.ledger.log.line(level, format_args!("Listening on {name} for {target}."));
            duplicates.push(listener.socket().try_clone().map_err(ProxyError::Runtime)?);
            let accepted = accept_all(listener, Arc::clone(self.admission), Arc::clone(self.shared));
            accepting.spawn(async move { (name, accepted.await) });
        }
        if let Some(manager) = self.manager {
            manager.send(READY);
        }
        let why = tokio::select! {
            why = self.until_idle(&duplicates) => why,
            () = signals.next() => Why::Told,
            died = accepting.join_next() => Why::died(died),
            () = report_status(self.manager, &self.shared.ledger) => Why::Idle,
            () = watchdog(self.manager) => Why::Idle,
            () = self.shared.limits.keep_timer_ahead() => Why::Idle,
        };
        // Whoever comes now waits in the service manager's socket.
        drop(duplicates);
        accepting.shutdown().await;
        match why {
            Why::Idle => Ok(()),
            Why::Told => {
                self.drain(signals).await;
                Ok(())
            }
            Why::Died { name, error } => Err(ProxyError::Listener { name, error }),
        }
    }

    /// Waits until it is idle, and nobody has just come.
    async fn until_idle(&self, listeners: &[OwnedFd]) -> Why {
        loop {
            idle_exit(self.settings.exit_idle_time, self.admission).await;
            if !anybody_waits(listeners) {
                return Why::Idle;
            }
            // The accept loops are about to take it, and the silence begins anew.
        }
    }

    /// Lets open sessions go on for as long as was granted, or until the next signal.
    async fn drain(&self, signals: &mut Signals) {
        let granted = self.settings.drain_timeout;
        if granted.is_zero() || self.admission.open() == 0 {
            return;
        }
        if let Some(manager) = self.manager {
            manager.send("STOPPING=1\nSTATUS=Waiting for open connections to end...");
        }
        let ended = async {
            while self.admission.open() > 0 {
                self.admission.became_idle().await;
            }
        };
        tokio::select! {
            () = ended => {}
            () = after(granted) => {}
            () = signals.next() => {}
            () = watchdog(self.manager) => {}
        }
    }
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
