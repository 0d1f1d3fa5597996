//! The control socket, the web page, the metrics and the log.

mod admin_commands;
mod agreement;
mod commands;
mod counters;
mod default_socket;
mod descriptor_limit;
mod escapes;
mod log_scene;
mod logs;
mod rig;
mod shared;
mod slow_clients;
mod top;
