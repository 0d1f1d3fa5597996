//! Seeing and steering what runs, from outside and with tools that others wrote: socat, `HAProxy` itself, hatop, the
//! exporter for Prometheus, promtool, a browser.

mod agreement;
mod commands;
mod crowded;
mod figures;
mod haproxy;
mod journal;
mod logs;
mod page;
mod pane;
mod rig;
mod steering;
mod stuck;
mod tools;
mod top;
mod usual;
