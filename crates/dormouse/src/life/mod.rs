//! The process's own life: its start and end towards the service manager, signals, the exit when idle.

mod idle;
mod manager;
mod signals;

pub use idle::idle_exit;
pub use manager::{report_status, watchdog};
pub use signals::Signals;
