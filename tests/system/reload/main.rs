//! A program that is restarted under its clients by a real service manager.

#[path = "../../local/reload/load.rs"]
#[allow(dead_code, reason = "the local suite uses the rest")]
mod load;
mod restart;
