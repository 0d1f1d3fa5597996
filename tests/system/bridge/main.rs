//! `dormouse run` as a bridge, with real servers, a real DNS server, and `HAProxy` for comparison.
#![allow(clippy::unwrap_used, reason = "a test's helpers fail as its body does")]

mod failing_servers;
mod haproxy_comparison;
#[path = "../../local/bridge/load.rs"]
mod load;
#[path = "../../local/bridge/socket_files.rs"]
mod socket_files;
mod srv_records;
