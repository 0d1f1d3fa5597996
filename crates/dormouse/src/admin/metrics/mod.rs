//! `/metrics`: the statistics in the text format of Prometheus or in `OpenMetrics`.

mod exposition;
mod families;

use std::time::UNIX_EPOCH;

use tokio::task::yield_now;

use super::process::Process;
use super::running::Running;
use exposition::{Exposition, Kind};
use families::FAMILIES;

/// The number of services between two yields.
const SERVICES_PER_YIELD: usize = 16;

/// Returns the whole answer.
pub(super) async fn metrics(running: &Running, openmetrics: bool) -> String {
    let mut out = Exposition::new(openmetrics);
    write_process(running, &mut out);
    let services = running.services();
    for family in FAMILIES {
        out.family(family.name, family.kind, family.help);
        for (number, service) in services.iter().enumerate() {
            (family.write)(service, &mut out);
            if number % SERVICES_PER_YIELD == SERVICES_PER_YIELD - 1 {
                yield_now().await;
            }
        }
        yield_now().await;
    }
    out.finish()
}

/// Writes the metrics of the process.
fn write_process(running: &Running, out: &mut Exposition) {
    let process = Process::read();
    out.family("dormouse_build_info", Kind::Gauge, "The version that runs.");
    out.number(&format!("version=\"{}\"", env!("CARGO_PKG_VERSION")), 1);
    out.family("dormouse_ending", Kind::Gauge, "Whether new clients are not taken any more.");
    out.number("", u64::from(running.stats.is_shutting_down()));
    if let Some(cpu) = process.cpu {
        out.family("process_cpu_seconds", Kind::Counter, "Processor time.");
        out.value("", cpu.as_secs_f64());
    }
    let started = running.started.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    out.family("process_start_time_seconds", Kind::Gauge, "When it started, in seconds since 1970.");
    out.value("", started);
    for (name, help, value) in [
        ("process_resident_memory_bytes", "Memory that is really there.", process.resident),
        ("process_virtual_memory_bytes", "Address space.", process.virtual_memory),
        ("process_open_fds", "Open descriptors.", process.open_fds),
        ("process_max_fds", "How many descriptors there may be.", process.max_fds),
    ] {
        if let Some(value) = value {
            out.family(name, Kind::Gauge, help);
            out.number("", value);
        }
    }
}
