//! nginx's stream module. It cannot be handed a listener without a master process.

use super::{Place, SMALL_BUFFER};
use crate::net::Endpoint;

pub(super) const STREAM_MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

/// One process, so that it ends with the bench: the worker's data path is the same without a master.
pub(super) fn configuration(place: &Place<'_>, front: &Endpoint) -> String {
    let named = |endpoint: &Endpoint| match endpoint {
        Endpoint::Tcp(_) => endpoint.to_string(),
        Endpoint::Unix(_) => format!("unix:{endpoint}"),
    };
    let small = if place.has_small_buffers() { format!(" sndbuf={SMALL_BUFFER}") } else { String::new() };
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
        place.file("pid").display(),
        named(front),
        named(place.target),
    )
}
