//! The control socket, the web page, the metrics and the log, from outside.

mod agreement;
mod commands;
mod crowded;
mod figures;
mod log_scene;
mod logs;
mod rig;
mod steering;
mod stuck;
mod top;
mod usual;
