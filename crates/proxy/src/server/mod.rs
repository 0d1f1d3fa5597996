//! The process's own life: its start and end towards the service manager, signals, the exit when idle.

mod accept;
mod accepting;
mod idle;
mod manager;
mod runtime;
mod serve;
mod signals;

pub use accept::accept_all;
pub use accepting::{Accepting, OpenListener};
pub use idle::idle_exit;
pub use manager::{
    Remark, ask_for_time, begin_drain, report_drain, report_status, report_status_and, watchdog,
};
pub use runtime::block_on;
pub use serve::{Ended, Guests, Life, ListenerDied, Open, READY, after, background, drain, end_sessions};
pub use signals::{Hangups, Signals};
