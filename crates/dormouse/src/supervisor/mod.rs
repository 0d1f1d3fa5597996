//! `dormouse run`: services, each with its listeners, its servers and what wakes them.

mod error;
mod fdname;
mod memory;
mod plan;
mod prepare;
mod reload;
mod serving;
mod sockets;
mod standing;
mod store;

use dormouse_config::model::Config;
use dormouse_core::timespan::TimeSpan;
use dormouse_log::Log;
use dormouse_proxy::listener::PassedFds;
use dormouse_proxy::server::{
    DrainEnd, HangupSignals, ListenerFailed, READY, Signals, StatusNote, background, block_on, drain,
    end_sessions, extend_stop_timeout, report_status_and, watchdog,
};
use dormouse_sys::notify::Notifier;

pub use error::{RunError, exit};
use reload::Reload;
pub use reload::{Read, Reread};
use serving::Serving;

/// Serves until told to stop, or failed. `read` gives the configuration as it is then, at each SIGHUP.
///
/// # Errors
/// When it cannot start, or a listener dies.
pub fn run(config: Config, read: Read, passed: PassedFds) -> Result<(), RunError> {
    run_and_tell(config, Some(read), passed, |_| {})
}

/// The same; `ready` is told the names of all listeners when everything is set up. Without `read` SIGHUP ends it, as
/// it does with whoever knows nothing of it.
///
/// # Errors
/// When it cannot start, or a listener dies.
pub fn run_and_tell(
    config: Config,
    read: Option<Read>,
    passed: PassedFds,
    ready: impl FnOnce(&[String]),
) -> Result<(), RunError> {
    block_on(serve(config, read, passed, ready)).map_err(RunError::Runtime)?
}

async fn serve(
    config: Config,
    read: Option<Read>,
    passed: PassedFds,
    ready: impl FnOnce(&[String]),
) -> Result<(), RunError> {
    let manager = Notifier::from_env();
    let log = Log::with_format(config.log_level, config.admin.format);
    let mut signals = Signals::register_with_soft_stop().map_err(RunError::Runtime)?;
    let rereads =
        read.map(|read| Ok((read, HangupSignals::register()?))).transpose().map_err(RunError::Runtime)?;
    let mut serving = Serving::new(&config, passed, Notifier::from_env(), &log)?;
    serving.begin(config).await?;
    ready(&serving.listeners());
    let _background = background();
    if let Some(manager) = &manager {
        manager.send_blocking(READY);
    }
    let served = attend(&mut serving, rereads, &mut signals, manager.as_ref()).await;
    // Whoever comes now waits in the service manager's socket.
    serving.close().await;
    let ended = match &served {
        Ok(()) => {
            let (granted, pool) =
                (serving.config.drain_timeout.unwrap_or(TimeSpan::ZERO), serving.pool.clone());
            tokio::select! {
                ended = drain(granted, &pool, manager.as_ref(), &mut signals) => ended,
                // What is woken and put to sleep meanwhile is written down. No listener is left that could die.
                _ = serving.watch() => DrainEnd::Completed,
            }
        }
        Err(_) => DrainEnd::Completed,
    };
    serving.pipes.set_process_exiting();
    if let Some(manager) = &manager {
        manager.send_blocking("STOPPING=1\nSTATUS=Putting services to sleep...");
    }
    let (guests, pool) = (serving.guests(), serving.pool.clone());
    // What is not waited for is ended by its guards, or stays as it is.
    if ended == DrainEnd::Completed {
        let longest = serving.longest_stop();
        tokio::select! {
            () = serving.end() => {}
            () = signals.next() => {}
            () = watchdog(manager.as_ref()) => {}
            () = extend_stop_timeout(manager.as_ref(), longest) => {}
        }
    }
    end_sessions(guests, &pool, &log).await;
    log.flush();
    served.map_err(|ListenerFailed { name, error }| RunError::Listener { name, error })
}

/// Until it is told to end, or a listener died.
async fn attend(
    serving: &mut Serving,
    rereads: Option<(Read, HangupSignals)>,
    signals: &mut Signals,
    manager: Option<&Notifier>,
) -> Result<(), ListenerFailed> {
    let (stats, remark) = (serving.stats.clone(), StatusNote::default());
    let beside = async {
        tokio::join!(report_status_and(manager, &stats, &remark), watchdog(manager));
    };
    tokio::pin!(beside);
    let mut reload = Reload::new(rereads, manager, &remark);
    loop {
        tokio::select! {
            () = signals.next() => return Ok(()),
            died = serving.watch() => return Err(died),
            found = reload.next() => reload.finish(found, serving).await,
            () = &mut beside => {}
        }
    }
}
