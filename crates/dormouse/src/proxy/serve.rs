//! Serves clients until the proxy ends.

use std::future::Future;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::sync::Arc;

use dormouse_config::proxy_protocol::SendProxy;
use dormouse_config::spelling::Spelling;
use dormouse_connect::{Route, options};
use dormouse_core::timespan::TimeSpan;
use dormouse_log::{Level, Log};
use dormouse_proxy::admission::{Admission, FdLimits, FdReservation, raise_fd_limit};
use dormouse_proxy::client::Client;
use dormouse_proxy::listener;
use dormouse_proxy::server::{
    ListenerFailed, ListeningService, OpenSessions, READY, ServeOptions, Signals, drain, end_sessions,
    watchdog,
};
use dormouse_proxy::session::{self, ServiceContext};
use dormouse_proxy::stats::Stats;
use dormouse_proxy::upstream::Service;
use dormouse_relay::{Limits, MessageCredentials, Pipes, StreamKind};
use dormouse_sys::notify::Notifier;
use rustix::net::{AddressFamily, sockopt};

use super::{ProxyError, Settings, Source};

/// Serves the source until the proxy is idle, stopped by a signal, or fails. The passed sockets with these names are left
/// out.
pub(super) async fn serve(
    settings: Settings,
    source: Source,
    left_out: &[String],
    manager: Option<Notifier>,
) -> Result<(), ProxyError> {
    let log = Log::new(settings.log_level);
    listener::warn_of_left_out(left_out, &log);
    let listeners = if let Source::Listeners(listeners) = &source { listeners.len() } else { 0 };
    let budget = raise_fd_limit(settings.cap.get(), FdReservation { listeners, ..FdReservation::default() });
    if budget.sessions < usize::try_from(settings.cap.get()).unwrap_or(usize::MAX) {
        log.line(
            Level::Warning,
            format_args!(
                "--connections-max={} needs more descriptors than the limit of {}: room for {}, more wait in \
                 the backlog. Raise LimitNOFILE=.",
                settings.cap.get(),
                budget.limit,
                budget.sessions
            ),
        );
    }
    let route = Route::new(&settings.target, settings.connect_timeout).map_err(ProxyError::Target)?;
    let mut signals = Signals::register().map_err(ProxyError::Runtime)?;
    let fd_limits = FdLimits::new(budget.sessions);
    // With an access log sessions are tracked, so that those which the end of the process aborts are logged, too.
    let new_admission = if log.logs_sessions() { Admission::with_tracked_sessions } else { Admission::new };
    let admission = new_admission(settings.cap, settings.at_limit, &fd_limits);
    let context = Arc::new(ServiceContext {
        label: String::new(),
        service: Service::unmanaged(route, settings.wait),
        stats: Arc::new(Stats::new(log.clone())),
        servers: Vec::new(),
        limits: Arc::new(Limits {
            half_close: settings.half_close_timeout,
            idle: settings.idle_timeout,
            ..Limits::default()
        }),
        pipes: Pipes::new(budget.pipes),
        accept_proxy: None,
        proxy_protocol: settings.proxy_protocol.map(SendProxy::from),
        message_credentials: MessageCredentials::Own,
        quiet: None,
        spelling: Spelling::Flags,
    });
    let result = match source {
        Source::Connected(socket) => {
            let session = passed_session(socket, &admission, &context);
            serve_one(session, &context, settings.drain_timeout, &fd_limits, manager.as_ref(), &mut signals)
                .await;
            Ok(())
        }
        Source::Listeners(listeners) => {
            let options = ServeOptions {
                exit_idle_time: settings.exit_idle_time,
                drain_timeout: settings.drain_timeout,
                fd_limits: &fd_limits,
                stats: &context.stats,
                log: &log,
                manager: manager.as_ref(),
            };
            let open = ListeningService {
                listeners,
                admission: Arc::clone(&admission),
                context: Arc::clone(&context),
                target: settings.target.to_string(),
                announce: !settings.listen.is_empty(),
            };
            let served = options.serve(open, &mut signals).await;
            served.map(drop).map_err(|ListenerFailed { name, error }| ProxyError::Listener { name, error })
        }
    };
    context.pipes.set_process_exiting();
    if let Some(manager) = &manager {
        manager.send_blocking("STOPPING=1\nSTATUS=Shutting down...");
    }
    let stats = Arc::clone(&context.stats);
    end_sessions(vec![OpenSessions { admission, stats }], &fd_limits, &log).await;
    log.flush();
    result
}

/// Returns the session of a connection that an Accept=yes socket unit passed.
fn passed_session(
    socket: OwnedFd,
    admission: &Arc<Admission>,
    context: &Arc<ServiceContext>,
) -> impl Future<Output = ()> {
    // A socket that cannot be made non-blocking fails at its first use.
    let _ = rustix::io::ioctl_fionbio(&socket, true);
    let family = sockopt::socket_domain(&socket).unwrap_or(AddressFamily::UNSPEC);
    let _ = options::prepare(&socket, family);
    let kind = if family == AddressFamily::UNIX { StreamKind::Unix } else { StreamKind::Other };
    session::serve(Arc::clone(context), Client::new(socket, kind), None, admission.admit())
}

/// Serves one session until it or the process ends.
async fn serve_one(
    session: impl Future<Output = ()>,
    context: &ServiceContext,
    drain_timeout: TimeSpan,
    fd_limits: &FdLimits,
    manager: Option<&Notifier>,
    signals: &mut Signals,
) {
    let mut session = pin!(session);
    if let Some(manager) = manager {
        manager.send_blocking(READY);
    }
    tokio::select! {
        () = &mut session => return,
        () = signals.next() => {}
        () = watchdog(manager) => {}
    }
    context.stats.begin_shutdown();
    tokio::select! {
        () = session.as_mut() => {}
        _ = drain(drain_timeout, fd_limits, manager, signals) => {}
    }
    context.pipes.set_process_exiting();
}
