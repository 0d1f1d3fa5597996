//! `/metrics`: the statistics in the text format of Prometheus or in `OpenMetrics`.

use std::fmt::Write as _;
use std::time::{Instant, UNIX_EPOCH};

use dormouse_core::activation::State;
use dormouse_core::control::AdminState;
use dormouse_proxy::stats::cause::Cause;
use dormouse_proxy::stats::count::{BOUNDS, Histogram};
use dormouse_proxy::stats::wake::WokenBy;
use dormouse_proxy::upstream::WakeableServer;
use tokio::task::yield_now;

use super::process::Process;
use super::running::{Running, RunningServer, RunningService};
use super::view::word;

/// The number of services between two yields.
const PIECE: usize = 16;

/// The whole answer.
pub(super) async fn metrics(running: &Running, open: bool) -> String {
    let mut page = Page { text: String::new(), open, family: "", total: "" };
    of_process(running, &mut page);
    let services = running.services();
    for family in SERVICES {
        page.family(family.name, family.kind, family.help);
        for (number, service) in services.iter().enumerate() {
            (family.tell)(service, &mut page);
            if number % PIECE == PIECE - 1 {
                yield_now().await;
            }
        }
        yield_now().await;
    }
    if open {
        page.text.push_str("# EOF\n");
    }
    page.text
}

/// What kind of figure a family has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// A family of figures of services.
struct Family {
    name: &'static str,
    kind: Kind,
    help: &'static str,
    tell: fn(&RunningService, &mut Page),
}

const fn family(
    name: &'static str,
    kind: Kind,
    help: &'static str,
    tell: fn(&RunningService, &mut Page),
) -> Family {
    Family { name, kind, help, tell }
}

const SERVICES: &[Family] = &[
    family("dormouse_sessions", Kind::Counter, "Sessions that were accepted.", |service, page| {
        page.number(&of(service), service.stats().counters.accepted.get());
    }),
    family("dormouse_sessions_open", Kind::Gauge, "Sessions that are open.", |service, page| {
        page.number(&of(service), service.stats().counters.open.get());
    }),
    family(
        "dormouse_sessions_open_max",
        Kind::Gauge,
        "The most sessions that were open at once.",
        |service, page| {
            page.number(&of(service), service.stats().counters.max.get());
        },
    ),
    family(
        "dormouse_sessions_limit",
        Kind::Gauge,
        "How many sessions there may be at once.",
        |service, page| {
            page.number(&of(service), u64::try_from(service.admission.cap()).unwrap_or(u64::MAX));
        },
    ),
    family("dormouse_sessions_unserved", Kind::Counter, "Sessions that no server took.", |service, page| {
        page.number(&of(service), service.stats().counters.unserved.get());
    }),
    family(
        "dormouse_clients_refused",
        Kind::Counter,
        "Clients that were turned away at the limit.",
        |service, page| {
            page.number(&of(service), service.stats().counters.refused.get());
        },
    ),
    family("dormouse_received_bytes", Kind::Counter, "Bytes from clients to servers.", |service, page| {
        page.number(&of(service), service.stats().counters.bytes_in.get());
    }),
    family("dormouse_sent_bytes", Kind::Counter, "Bytes from servers to clients.", |service, page| {
        page.number(&of(service), service.stats().counters.bytes_out.get());
    }),
    family(
        "dormouse_session_ends",
        Kind::Counter,
        "How sessions ended, and whose doing it was.",
        |service, page| {
            for cause in Cause::ALL {
                let labels = format!("{},cause=\"{}\",side=\"{}\"", of(service), cause.name(), cause.side());
                page.number(&labels, service.stats().counters.ends.get(cause));
            }
        },
    ),
    family(
        "dormouse_session_reach_seconds",
        Kind::Histogram,
        "How long from accepting a client to its server's connection.",
        |service, page| page.histogram(&of(service), &service.stats().counters.reached),
    ),
    family(
        "dormouse_session_duration_seconds",
        Kind::Histogram,
        "How long sessions lasted.",
        |service, page| {
            page.histogram(&of(service), &service.stats().counters.lasted);
        },
    ),
    family("dormouse_clients_waiting", Kind::Gauge, "Clients that have no server yet.", |service, page| {
        page.number(&of(service), service.stats().counters.waiting());
    }),
    family("dormouse_server_sessions", Kind::Counter, "Sessions that a server got.", |service, page| {
        servers(service, page, |server| Some(server.counters?.sessions.get()));
    }),
    family("dormouse_server_sessions_open", Kind::Gauge, "Sessions that a server has.", |service, page| {
        servers(service, page, |server| Some(server.counters?.open.get()));
    }),
    family("dormouse_server_received_bytes", Kind::Counter, "Bytes that a server got.", |service, page| {
        servers(service, page, |server| Some(server.counters?.bytes_in.get()));
    }),
    family("dormouse_server_sent_bytes", Kind::Counter, "Bytes that came from a server.", |service, page| {
        servers(service, page, |server| Some(server.counters?.bytes_out.get()));
    }),
    family(
        "dormouse_server_retries",
        Kind::Counter,
        "How often a server was tried once more by the same client.",
        |service, page| servers(service, page, |server| Some(server.view.as_ref()?.retry_counts.retries)),
    ),
    family(
        "dormouse_server_redispatches",
        Kind::Counter,
        "How often a client that a server did not take tried another.",
        |service, page| {
            servers(service, page, |server| Some(server.view.as_ref()?.retry_counts.redispatches));
        },
    ),
    family(
        "dormouse_server_failed_connections",
        Kind::Counter,
        "Clients that were sent away because a server did not take them.",
        |service, page| servers(service, page, |server| Some(server.view.as_ref()?.retry_counts.failures)),
    ),
    family(
        "dormouse_server_ready",
        Kind::Gauge,
        "Whether an administrator lets it have sessions.",
        |service, page| {
            servers(service, page, |server| Some(u64::from(server.admin() == AdminState::Ready)));
        },
    ),
    family("dormouse_server_state", Kind::Gauge, "1 for the state that a server is in.", |service, page| {
        sleepers(service, page, |labels, sleeper, page| {
            let now = sleeper.state().0;
            for state in State::ALL {
                page.number(&format!("{labels},state=\"{}\"", word(state)), u64::from(state == now));
            }
        });
    }),
    family(
        "dormouse_server_state_seconds",
        Kind::Counter,
        "How long a server was in each state; asleep are stopped and frozen.",
        |service, page| {
            let now = Instant::now();
            sleepers(service, page, |labels, sleeper, page| {
                for state in State::ALL {
                    let spent = sleeper.counters.spent(state, now).as_secs_f64();
                    page.value(&format!("{labels},state=\"{}\"", word(state)), spent);
                }
            });
        },
    ),
    family(
        "dormouse_server_wakes",
        Kind::Counter,
        "How often a server was woken, and by what.",
        |service, page| {
            sleepers(service, page, |labels, sleeper, page| {
                for by in WokenBy::ALL {
                    page.number(&format!("{labels},by=\"{}\"", by.name()), sleeper.counters.wakes(by));
                }
            });
        },
    ),
    family(
        "dormouse_server_cold_start_seconds",
        Kind::Histogram,
        "How long starts took until the server answered.",
        |service, page| {
            sleepers(service, page, |labels, sleeper, page| {
                page.histogram(labels, &sleeper.counters.cold_starts);
            });
        },
    ),
    family(
        "dormouse_server_failed_starts",
        Kind::Counter,
        "Starts that did not succeed.",
        |service, page| {
            sleepers(service, page, |labels, sleeper, page| {
                page.number(labels, sleeper.counters.failed_starts.get());
            });
        },
    ),
    family("dormouse_server_freezes", Kind::Counter, "How often a server was frozen.", |service, page| {
        sleepers(service, page, |labels, sleeper, page| page.number(labels, sleeper.counters.freezes.get()));
    }),
    family(
        "dormouse_server_hold_seconds",
        Kind::Histogram,
        "How long clients were held that then got it.",
        |service, page| {
            sleepers(service, page, |labels, sleeper, page| page.histogram(labels, &sleeper.counters.holds));
        },
    ),
    family(
        "dormouse_server_holds_in_vain",
        Kind::Counter,
        "Clients that were held and did not get it.",
        |service, page| {
            sleepers(service, page, |labels, sleeper, page| {
                page.number(labels, sleeper.counters.failed_holds.get());
            });
        },
    ),
    family("dormouse_server_held", Kind::Gauge, "Clients that are held.", |service, page| {
        sleepers(service, page, |labels, sleeper, page| {
            page.number(labels, u64::try_from(sleeper.snapshot().held).unwrap_or(u64::MAX));
        });
    }),
];

fn of_process(running: &Running, page: &mut Page) {
    let process = Process::look();
    page.family("dormouse_build_info", Kind::Gauge, "The version that runs.");
    page.number(&format!("version=\"{}\"", env!("CARGO_PKG_VERSION")), 1);
    page.family("dormouse_ending", Kind::Gauge, "Whether new clients are not taken any more.");
    page.number("", u64::from(running.stats.is_shutting_down()));
    if let Some(cpu) = process.cpu {
        page.family("process_cpu_seconds", Kind::Counter, "Processor time.");
        page.value("", cpu.as_secs_f64());
    }
    let started = running.started.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    page.family("process_start_time_seconds", Kind::Gauge, "When it started, in seconds since 1970.");
    page.value("", started);
    for (name, help, value) in [
        ("process_resident_memory_bytes", "Memory that is really there.", process.resident),
        ("process_virtual_memory_bytes", "Address space.", process.virtual_memory),
        ("process_open_fds", "Open descriptors.", process.open_fds),
        ("process_max_fds", "How many descriptors there may be.", process.max_fds),
    ] {
        if let Some(value) = value {
            page.family(name, Kind::Gauge, help);
            page.number("", value);
        }
    }
}

fn of(service: &RunningService) -> String {
    format!("service=\"{}\"", service.name)
}

fn at(service: &RunningService, server: &RunningServer<'_>) -> String {
    format!("service=\"{}\",server=\"{}\"", service.name, server.name)
}

/// A figure of each server that has it.
fn servers(service: &RunningService, page: &mut Page, figure: impl Fn(&RunningServer<'_>) -> Option<u64>) {
    for server in service.servers() {
        if let Some(figure) = figure(&server) {
            page.number(&at(service, &server), figure);
        }
    }
}

fn sleepers(service: &RunningService, page: &mut Page, tell: impl Fn(&str, &WakeableServer, &mut Page)) {
    for server in service.servers() {
        if let Some(sleeper) = server.sleeper() {
            tell(&at(service, &server), sleeper, page);
        }
    }
}

/// What is being written. Names of services and servers need no escapes: they are letters, digits, '-', '_' and '.'.
struct Page {
    text: String,
    /// In `OpenMetrics`, where a counter's family is called without its `_total`.
    open: bool,
    family: &'static str,
    /// What follows a counter's name.
    total: &'static str,
}

impl Page {
    fn family(&mut self, name: &'static str, kind: Kind, help: &str) {
        self.family = name;
        let (kind, suffix) = match kind {
            Kind::Counter => ("counter", "_total"),
            Kind::Gauge => ("gauge", ""),
            Kind::Histogram => ("histogram", ""),
        };
        let shown = if self.open { "" } else { suffix };
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "# HELP {name}{shown} {help}\n# TYPE {name}{shown} {kind}");
        self.total = suffix;
    }

    fn number(&mut self, labels: &str, value: u64) {
        self.sample(labels, &value.to_string());
    }

    fn value(&mut self, labels: &str, value: f64) {
        self.sample(labels, &format!("{value}"));
    }

    fn sample(&mut self, labels: &str, value: &str) {
        let (open, close) = if labels.is_empty() { ("", "") } else { ("{", "}") };
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "{}{}{open}{labels}{close} {value}", self.family, self.total);
    }

    fn histogram(&mut self, labels: &str, histogram: &Histogram) {
        let name = self.family;
        let counts = histogram.cumulative();
        let bounds = BOUNDS.iter().map(|bound| format!("{bound:?}")).chain(["+Inf".to_owned()]);
        for (bound, count) in bounds.zip(counts) {
            // Writing to a String cannot fail.
            let _ = writeln!(self.text, "{name}_bucket{{{labels},le=\"{bound}\"}} {count}");
        }
        let count = counts.last().copied().unwrap_or(0);
        let sum = histogram.sum().as_secs_f64();
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "{name}_sum{{{labels}}} {sum}\n{name}_count{{{labels}}} {count}");
    }
}
