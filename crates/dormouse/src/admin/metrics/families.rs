//! The metrics of services and their servers.

use std::time::Instant;

use dormouse_core::activation::State;
use dormouse_core::control::AdminState;
use dormouse_proxy::stats::cause::Cause;
use dormouse_proxy::stats::wake::WokenBy;
use dormouse_proxy::upstream::WakeableServer;

use super::super::running::{RunningServer, RunningService};
use super::exposition::{Exposition, Kind};

/// A family of metrics that each service has.
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) help: &'static str,
    /// Writes the samples of a service.
    pub(super) write: fn(&RunningService, &mut Exposition),
}

const fn family(
    name: &'static str,
    kind: Kind,
    help: &'static str,
    write: fn(&RunningService, &mut Exposition),
) -> Family {
    Family { name, kind, help, write }
}

/// The families, in their order.
pub(super) const FAMILIES: &[Family] = &[
    family("dormouse_sessions", Kind::Counter, "Sessions that were accepted.", |service, out| {
        out.number(&labels(service), service.stats().counters.accepted.get());
    }),
    family("dormouse_sessions_open", Kind::Gauge, "Sessions that are open.", |service, out| {
        out.number(&labels(service), service.stats().counters.open.get());
    }),
    family(
        "dormouse_sessions_open_max",
        Kind::Gauge,
        "The most sessions that were open at once.",
        |service, out| {
            out.number(&labels(service), service.stats().counters.max.get());
        },
    ),
    family(
        "dormouse_sessions_limit",
        Kind::Gauge,
        "How many sessions there may be at once.",
        |service, out| {
            out.number(&labels(service), u64::try_from(service.admission.cap()).unwrap_or(u64::MAX));
        },
    ),
    family("dormouse_sessions_unserved", Kind::Counter, "Sessions that no server took.", |service, out| {
        out.number(&labels(service), service.stats().counters.unserved.get());
    }),
    family(
        "dormouse_clients_refused",
        Kind::Counter,
        "Clients that were refused at the limit.",
        |service, out| {
            out.number(&labels(service), service.stats().counters.refused.get());
        },
    ),
    family("dormouse_received_bytes", Kind::Counter, "Bytes from clients to servers.", |service, out| {
        out.number(&labels(service), service.stats().counters.bytes_in.get());
    }),
    family("dormouse_sent_bytes", Kind::Counter, "Bytes from servers to clients.", |service, out| {
        out.number(&labels(service), service.stats().counters.bytes_out.get());
    }),
    family(
        "dormouse_session_ends",
        Kind::Counter,
        "How sessions ended, and whose doing it was.",
        |service, out| {
            for cause in Cause::ALL {
                let labels =
                    format!("{},cause=\"{}\",side=\"{}\"", labels(service), cause.name(), cause.side());
                out.number(&labels, service.stats().counters.ends.get(cause));
            }
        },
    ),
    family(
        "dormouse_session_reach_seconds",
        Kind::Histogram,
        "How long from accepting a client to its server's connection.",
        |service, out| out.histogram(&labels(service), &service.stats().counters.reached),
    ),
    family(
        "dormouse_session_duration_seconds",
        Kind::Histogram,
        "How long sessions lasted.",
        |service, out| {
            out.histogram(&labels(service), &service.stats().counters.lasted);
        },
    ),
    family("dormouse_clients_waiting", Kind::Gauge, "Clients that have no server yet.", |service, out| {
        out.number(&labels(service), service.stats().counters.waiting());
    }),
    family("dormouse_server_sessions", Kind::Counter, "Sessions that a server got.", |service, out| {
        each_server(service, out, |server| Some(server.counters?.sessions.get()));
    }),
    family("dormouse_server_sessions_open", Kind::Gauge, "Sessions that a server has.", |service, out| {
        each_server(service, out, |server| Some(server.counters?.open.get()));
    }),
    family("dormouse_server_received_bytes", Kind::Counter, "Bytes that a server got.", |service, out| {
        each_server(service, out, |server| Some(server.counters?.bytes_in.get()));
    }),
    family("dormouse_server_sent_bytes", Kind::Counter, "Bytes that came from a server.", |service, out| {
        each_server(service, out, |server| Some(server.counters?.bytes_out.get()));
    }),
    family(
        "dormouse_server_retries",
        Kind::Counter,
        "How often a server was tried once more by the same client.",
        |service, out| each_server(service, out, |server| Some(server.view.as_ref()?.retry_counts.retries)),
    ),
    family(
        "dormouse_server_redispatches",
        Kind::Counter,
        "How often a client that a server did not take tried another.",
        |service, out| {
            each_server(service, out, |server| Some(server.view.as_ref()?.retry_counts.redispatches));
        },
    ),
    family(
        "dormouse_server_failed_connections",
        Kind::Counter,
        "Clients that were sent away because a server did not take them.",
        |service, out| each_server(service, out, |server| Some(server.view.as_ref()?.retry_counts.failures)),
    ),
    family(
        "dormouse_server_ready",
        Kind::Gauge,
        "Whether an administrator lets it have sessions.",
        |service, out| {
            each_server(service, out, |server| Some(u64::from(server.admin() == AdminState::Ready)));
        },
    ),
    family("dormouse_server_state", Kind::Gauge, "1 for the state that a server is in.", |service, out| {
        each_workload(service, out, |labels, wakeable, out| {
            let now = wakeable.state().0;
            for state in State::ALL {
                out.number(&format!("{labels},state=\"{state}\""), u64::from(state == now));
            }
        });
    }),
    family(
        "dormouse_server_state_seconds",
        Kind::Counter,
        "How long a server was in each state; asleep are stopped and frozen.",
        |service, out| {
            let now = Instant::now();
            each_workload(service, out, |labels, wakeable, out| {
                for state in State::ALL {
                    let spent = wakeable.counters.spent(state, now).as_secs_f64();
                    out.value(&format!("{labels},state=\"{state}\""), spent);
                }
            });
        },
    ),
    family(
        "dormouse_server_wakes",
        Kind::Counter,
        "How often a server was woken, and by what.",
        |service, out| {
            each_workload(service, out, |labels, wakeable, out| {
                for by in WokenBy::ALL {
                    out.number(&format!("{labels},by=\"{}\"", by.name()), wakeable.counters.wakes(by));
                }
            });
        },
    ),
    family(
        "dormouse_server_cold_start_seconds",
        Kind::Histogram,
        "How long starts took until the server answered.",
        |service, out| {
            each_workload(service, out, |labels, wakeable, out| {
                out.histogram(labels, &wakeable.counters.cold_starts);
            });
        },
    ),
    family("dormouse_server_failed_starts", Kind::Counter, "Starts that did not succeed.", |service, out| {
        each_workload(service, out, |labels, wakeable, out| {
            out.number(labels, wakeable.counters.failed_starts.get());
        });
    }),
    family("dormouse_server_freezes", Kind::Counter, "How often a server was frozen.", |service, out| {
        each_workload(service, out, |labels, wakeable, out| {
            out.number(labels, wakeable.counters.freezes.get());
        });
    }),
    family(
        "dormouse_server_hold_seconds",
        Kind::Histogram,
        "How long clients were held that then got it.",
        |service, out| {
            each_workload(service, out, |labels, wakeable, out| {
                out.histogram(labels, &wakeable.counters.holds);
            });
        },
    ),
    family(
        "dormouse_server_holds_in_vain",
        Kind::Counter,
        "Clients that were held and did not get it.",
        |service, out| {
            each_workload(service, out, |labels, wakeable, out| {
                out.number(labels, wakeable.counters.failed_holds.get());
            });
        },
    ),
    family("dormouse_server_held", Kind::Gauge, "Clients that are held.", |service, out| {
        each_workload(service, out, |labels, wakeable, out| {
            out.number(labels, u64::try_from(wakeable.load().1).unwrap_or(u64::MAX));
        });
    }),
];

fn labels(service: &RunningService) -> String {
    format!("service=\"{}\"", service.name)
}

fn server_labels(service: &RunningService, server: &RunningServer<'_>) -> String {
    format!("service=\"{}\",server=\"{}\"", service.name, server.name)
}

/// Writes a number for each server that has it.
fn each_server(
    service: &RunningService,
    out: &mut Exposition,
    number: impl Fn(&RunningServer<'_>) -> Option<u64>,
) {
    for server in service.servers() {
        if let Some(number) = number(&server) {
            out.number(&server_labels(service, &server), number);
        }
    }
}

/// Writes the samples of each server with a workload.
fn each_workload(
    service: &RunningService,
    out: &mut Exposition,
    write: impl Fn(&str, &WakeableServer, &mut Exposition),
) {
    for server in service.servers() {
        if let Some(wakeable) = server.wakeable() {
            write(&server_labels(service, &server), wakeable, out);
        }
    }
}
