//! `dormouse run`: services, each with its listeners, its servers and what wakes them.

mod error;
mod sockets;

use std::sync::Arc;

use dormouse_relay::{Limits, Pipes};
use dormouse_sys::notify::Notifier;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::admission::{Admission, Pool, raise_limit};
use crate::cli::Passed;
use crate::config::model::{Config, ServiceConfig};
use crate::ledger::Ledger;
use crate::ledger::log::{Level, Log};
use crate::life::{Ended, Life, ListenerDied, Open, Signals};
use crate::listener::Listener;
use crate::service::{Groups, Service};
use crate::session::Shared;
pub use error::RunError;

/// After so many turns of sessions new events are looked for, so that a bulk flow's turns do not keep the others
/// waiting for long.
const EVENT_INTERVAL: u32 = 16;

/// Serves until told to stop, or failed.
///
/// # Errors
/// When it cannot start, or a listener dies.
pub fn run(config: Config, passed: Passed) -> Result<(), RunError> {
    run_and_tell(config, passed, |_| {})
}

/// The same; `ready` is told the listeners of each service when everything is set up.
///
/// # Errors
/// When it cannot start, or a listener dies.
pub fn run_and_tell(config: Config, passed: Passed, ready: impl FnOnce(&[Open])) -> Result<(), RunError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .event_interval(EVENT_INTERVAL)
        .build()
        .map_err(RunError::Runtime)?;
    let result = runtime.block_on(serve(config, passed, ready));
    // A resolver's thread may hang for long; nobody waits for it.
    runtime.shutdown_background();
    result
}

async fn serve(config: Config, passed: Passed, ready: impl FnOnce(&[Open])) -> Result<(), RunError> {
    let manager = Notifier::from_env();
    let log = Log::new(config.log_level);
    let mut sockets = sockets::sort(passed)?;
    let mut signals = Signals::register().map_err(RunError::Runtime)?;
    let wanted = config.services.iter().fold(0u32, |sum, service| sum.saturating_add(service.maxconn.get()));
    let budget = raise_limit(wanted);
    if budget.sessions < usize::try_from(wanted).unwrap_or(usize::MAX) {
        log.line(
            Level::Notice,
            format_args!(
                "The limit of {} descriptors is enough for {} of {wanted} sessions (maxconn); further clients wait in \
                 the backlog. Raise LimitNOFILE= or lower maxconn.",
                budget.limit, budget.sessions
            ),
        );
    }
    let pool = Pool::new(budget.sessions);
    let pipes = Pipes::new(budget.pipes);
    let ledger = Arc::new(Ledger::new(log.clone()));
    let (mut groups, mut drivers, end) = (Groups::default(), JoinSet::new(), Arc::new(Notify::new()));
    let mut opened = Vec::with_capacity(config.services.len());
    for service in &config.services {
        let listeners = sockets.take(service)?;
        let log = log.separate();
        let shared = Arc::new(Shared {
            label: format!("{}: ", service.name),
            service: Service::new(service, &log, &mut groups, &mut drivers, &end)
                .map_err(|error| RunError::Target { service: service.name.clone(), error })?,
            ledger: Arc::new(Ledger::within(Arc::clone(&ledger), log)),
            limits: Limits { half_close: service.timeouts.half_close, idle: service.timeouts.idle },
            pipes: Arc::clone(&pipes),
            proxy_protocol: service.proxy_protocol,
            quiet: service.idle.quiet,
        });
        opened.push(open(service, listeners, shared, &pool));
    }
    sockets.warn_of_the_rest(&log);
    ready(&opened);
    let life = Life {
        exit_idle_time: None,
        drain_timeout: config.drain_timeout,
        pool: &pool,
        ledger: &ledger,
        log: &log,
        manager: manager.as_ref(),
    };
    let served = life.serve(opened, &mut signals).await;
    if let Some(manager) = &manager {
        manager.send("STOPPING=1\nSTATUS=Putting services to sleep...");
    }
    // What is not waited for is ended by its guards, or stays as it is.
    if !matches!(served, Ok(Ended::AtOnce)) {
        end.notify_waiters();
        tokio::select! {
            () = async { while drivers.join_next().await.is_some() {} } => {}
            () = signals.next() => {}
        }
    }
    log.flush();
    served.map(drop).map_err(|ListenerDied { name, error }| RunError::Listener { name, error })
}

fn open(service: &ServiceConfig, listeners: Vec<Listener>, shared: Arc<Shared>, pool: &Arc<Pool>) -> Open {
    let admission = Admission::new(service.maxconn, service.at_limit, pool);
    let behind: Vec<_> = service.servers.iter().map(|server| server.to.to_string()).collect();
    let behind = format!("{} ({})", service.name, behind.join(", "));
    Open { listeners, admission, shared, behind, announce: true }
}
