//! `HAProxy` in TCP mode, with the listener as descriptor 3.

use crate::net::Endpoint;

/// Returns the configuration file.
pub(super) fn configuration(threads: u8, target: &Endpoint) -> String {
    let server = match target {
        Endpoint::Tcp(_) => target.to_string(),
        Endpoint::Unix(_) => format!("unix@{target}"),
    };
    format!(
        "global
    nbthread {threads}
    maxconn 5000
defaults
    mode tcp
    maxconn 5000
    option splice-auto
    timeout connect 5s
    timeout client 1h
    timeout server 1h
frontend front
    bind fd@3
    default_backend back
backend back
    server server {server}
"
    )
}
