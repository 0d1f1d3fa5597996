//! Restarts, crashes and reloads of dormouse by a real service manager while clients connect.

#[path = "../../local/reload/load.rs"]
#[allow(dead_code, reason = "the local suite uses the rest")]
mod load;
mod restart;
