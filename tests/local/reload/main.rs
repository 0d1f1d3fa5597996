//! Configuration changes while clients connect and sessions are open.

mod admin_listeners;
mod change;
mod load;
mod many_reloads;
mod restrictions;
mod scene;
mod shared;
mod taken_over;
