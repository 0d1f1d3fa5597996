//! `dormouse run`: serves the services of a configuration and applies new configurations while it runs.
//!
//! - `state`: what is being served (`Supervisor`), and its shutdown.
//! - `plan`: the difference between two configurations, without I/O.
//! - `prepare`, `open`, `conflict`: everything that can fail, before anything changes.
//! - `credentials`: whose credentials the servers see.
//! - `apply`: the change itself.
//! - `service`: one service that is active, and one that drains.
//! - `sockets`, `fd_store`, `fd_name`, `wake_state`: what survives a restart.

mod apply;
mod conflict;
mod credentials;
mod error;
mod fd_name;
mod fd_store;
mod open;
mod plan;
mod prepare;
mod reload;
mod service;
mod sockets;
mod state;
mod wake_state;

use dormouse_config::model::Config;
use dormouse_core::timespan::TimeSpan;
use dormouse_log::{Level, Log};
use dormouse_proxy::listener::PassedFds;
use dormouse_proxy::server::{
    DrainEnd, HangupSignals, ListenerFailed, READY, Signals, StatusNote, background, block_on, drain,
    end_sessions, extend_stop_timeout, report_status_and, watchdog,
};
use dormouse_sys::notify::Notifier;
use tokio::task::JoinSet;

pub use error::{CAPABILITIES_REMEDY, RunError, USER_REMEDY, exit};
use reload::Reload;
pub use reload::{ConfigLoader, LoadedConfig, NotApplied};
use state::Supervisor;

/// Serves this configuration until a signal ends the process. SIGHUP applies what `load` returns then.
///
/// # Errors
/// When the start fails, or a listener fails later.
pub fn run(config: Config, load: ConfigLoader, passed: PassedFds) -> Result<(), RunError> {
    run_with(config, Some(load), passed, |_| {})
}

/// Serves this configuration and calls `ready` with the names of all listeners once they accept. Without `load`, SIGHUP
/// ends the process, which is the default action of that signal.
///
/// # Errors
/// When the start fails, or a listener fails later.
pub fn run_with(
    config: Config,
    load: Option<ConfigLoader>,
    passed: PassedFds,
    ready: impl FnOnce(&[String]),
) -> Result<(), RunError> {
    block_on(serve(config, load, passed, ready)).map_err(RunError::Runtime)?
}

async fn serve(
    config: Config,
    load: Option<ConfigLoader>,
    passed: PassedFds,
    ready: impl FnOnce(&[String]),
) -> Result<(), RunError> {
    let manager = Notifier::from_env();
    let log = Log::with_format(config.log_level, config.admin.format);
    let mut signals = Signals::register_with_soft_stop().map_err(RunError::Runtime)?;
    let reloads =
        load.map(|load| Ok((load, HangupSignals::register()?))).transpose().map_err(RunError::Runtime)?;
    let mut supervisor = Supervisor::new(&config, passed, Notifier::from_env(), &log)?;
    supervisor.start(config).await?;
    ready(&supervisor.listener_names());
    let _spawner = watch_spawner(&log);
    let _background = background();
    if let Some(manager) = &manager {
        manager.send_blocking(READY);
    }
    let served = run_until_stopped(&mut supervisor, reloads, &mut signals, manager.as_ref()).await;
    // From here on new clients wait in the backlog of the socket that the service manager holds.
    supervisor.close_listeners().await;
    let ended = match &served {
        Ok(()) => {
            supervisor.log_end();
            let (timeout, fd_limits) =
                (supervisor.config.drain_timeout.unwrap_or(TimeSpan::ZERO), supervisor.fd_limits.clone());
            tokio::select! {
                ended = drain(timeout, &fd_limits, manager.as_ref(), &mut signals) => ended,
                // This keeps the wake state up to date. No listener is left that could fail.
                _ = supervisor.watch() => DrainEnd::Completed,
            }
        }
        Err(_) => DrainEnd::Completed,
    };
    supervisor.pipes.set_process_exiting();
    if let Some(manager) = &manager {
        manager.send_blocking("STOPPING=1\nSTATUS=Stopping workloads...");
    }
    let (sessions, fd_limits) = (supervisor.open_sessions(), supervisor.fd_limits.clone());
    // If this is cut short, the guards end the processes, and units and containers stay as they are.
    if ended == DrainEnd::Completed {
        supervisor.log_stops();
        let longest = supervisor.longest_stop_timeout();
        tokio::select! {
            () = supervisor.stop_workloads() => {}
            () = signals.next() => {}
            () = watchdog(manager.as_ref()) => {}
            () = extend_stop_timeout(manager.as_ref(), longest) => {}
        }
    }
    end_sessions(sessions, &fd_limits, &log).await;
    log.flush();
    served.map_err(|ListenerFailed { name, error }| RunError::Listener { name, error })
}

/// Reports the end of the spawner, which nothing but a signal from outside ends. Programs that run have their guards, and
/// go on. A restricted process cannot start another spawner.
fn watch_spawner(log: &Log) -> JoinSet<()> {
    let log = log.clone();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let how = dormouse_activate::spawner_ended().await;
        log.line(
            Level::Err,
            format_args!(
                "The spawner, which starts programs for dormouse, has ended: {how}. What runs goes on, and nothing can \
                 be started until dormouse is restarted."
            ),
        );
    });
    tasks
}

/// Serves and reloads until a signal asks for the end, or a listener fails.
async fn run_until_stopped(
    supervisor: &mut Supervisor,
    reloads: Option<(ConfigLoader, HangupSignals)>,
    signals: &mut Signals,
    manager: Option<&Notifier>,
) -> Result<(), ListenerFailed> {
    let (stats, note) = (supervisor.stats.clone(), StatusNote::default());
    let reports = async {
        tokio::join!(report_status_and(manager, &stats, &note), watchdog(manager));
    };
    tokio::pin!(reports);
    let mut reload = Reload::new(reloads, manager, &note);
    loop {
        tokio::select! {
            () = signals.next() => return Ok(()),
            failed = supervisor.watch() => return Err(failed),
            loaded = reload.next() => reload.finish(loaded, supervisor).await,
            () = &mut reports => {}
        }
    }
}
