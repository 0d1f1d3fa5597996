//! The process's own life: its start and end towards the service manager, signals, the exit when idle.

mod idle;
mod manager;
mod serve;
mod signals;
pub mod vigil;

pub use idle::idle_exit;
pub use manager::{report_status, watchdog};
pub use serve::{Ended, Life, ListenerDied, Open, READY};
pub use signals::Signals;
