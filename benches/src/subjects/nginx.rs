//! The stream module of nginx. Without a master process it cannot inherit a listener.

use super::parameters::{SMALL_BUFFER, StartParameters};
use crate::net::Endpoint;

pub(super) const STREAM_MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

/// Returns the configuration file. It uses one process, so that nginx ends with the benchmark; the data path of the worker
/// is the same without a master.
pub(super) fn configuration(params: &StartParameters<'_>, front: &Endpoint) -> String {
    let named = |endpoint: &Endpoint| match endpoint {
        Endpoint::Tcp(_) => endpoint.to_string(),
        Endpoint::Unix(_) => format!("unix:{endpoint}"),
    };
    let small = if params.has_small_buffers() { format!(" sndbuf={SMALL_BUFFER}") } else { String::new() };
    format!(
        "load_module {STREAM_MODULE};
daemon off;
master_process off;
pid {};
events {{ worker_connections 18000; }}
stream {{
    server {{
        listen {} backlog=4096{small};
        proxy_pass {};
        proxy_buffer_size 64k;
        proxy_half_close on;
        proxy_timeout 1h;
    }}
}}
",
        params.file("pid").display(),
        named(front),
        named(params.target),
    )
}
