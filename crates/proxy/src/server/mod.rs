//! The lifecycle of the process: accepting clients, signals, notifications to the service manager, drain, exit when idle.

mod accept;
mod accepting;
mod idle;
mod manager;
mod runtime;
mod serve;
mod signals;

pub use accept::accept_all;
pub use accepting::{AcceptTasks, ListenerFailed, OpenListener};
pub use idle::idle_exit;
pub use manager::{
    StatusNote, begin_drain, extend_stop_timeout, report_drain, report_status, report_status_and, watchdog,
};
pub use runtime::block_on;
pub use serve::{
    DrainEnd, ListeningService, OpenSessions, READY, ServeOptions, background, drain, end_sessions, sleep_for,
};
pub use signals::{HangupSignals, Signals};
