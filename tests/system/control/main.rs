//! Third-party tools with the control socket, the web page and the metrics: `HAProxy`, socat, hatop, the Prometheus
//! exporter, promtool and a browser; and `dormouse top` in a terminal.

mod haproxy;
mod journal;
#[path = "../../local/control/log_scene.rs"]
#[allow(dead_code, reason = "the local suite uses the rest")]
mod log_scene;
mod logs;
mod page;
#[path = "../../local/control/rig.rs"]
#[allow(dead_code, reason = "the local suite uses the rest")]
mod rig;
mod terminal;
mod tools;
mod top;
