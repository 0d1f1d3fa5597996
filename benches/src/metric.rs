//! The metrics: name, unit, and whether a higher value is better.

use crate::spec::{CloseMode, Direction, WakeCase};

/// The unit of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    GibPerSecond,
    PerSecond,
    Microseconds,
    Milliseconds,
    CpuSeconds,
    CpuPercent,
    Kibibytes,
    Count,
}

impl Unit {
    pub(crate) fn symbol(self) -> &'static str {
        match self {
            Self::GibPerSecond => "GiB/s",
            Self::PerSecond => "/s",
            Self::Microseconds => "µs",
            Self::Milliseconds => "ms",
            Self::CpuSeconds => "CPU s",
            Self::CpuPercent => "% of a core",
            Self::Kibibytes => "KiB",
            Self::Count => "",
        }
    }

    /// Returns whether a higher value is better.
    pub(crate) fn higher_is_better(self) -> bool {
        matches!(self, Self::GibPerSecond | Self::PerSecond)
    }
}

/// The table that a metric belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Shown as a ratio to the value without a proxy.
    Speed,
    /// The cost of a proxy, shown as a ratio to systemd-socket-proxyd.
    Cost,
    /// Shown as it is.
    Absolute,
}

/// One row of the report.
#[derive(Debug)]
pub(crate) struct Metric {
    /// A unique key.
    pub(crate) key: &'static str,
    pub(crate) title: &'static str,
    pub(crate) unit: Unit,
    pub(crate) kind: Kind,
}

/// One value of one round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    pub(crate) metric: &'static Metric,
    pub(crate) value: f64,
}

impl Reading {
    pub(crate) fn new(metric: &'static Metric, value: f64) -> Self {
        Self { metric, value }
    }
}

macro_rules! metrics {
    ($($name:ident = $key:literal, $title:literal, $unit:ident, $kind:ident;)*) => {
        $(pub(crate) static $name: Metric =
            Metric { key: $key, title: $title, unit: Unit::$unit, kind: Kind::$kind };)*
        /// Every metric, in the order of the report.
        pub(crate) static ALL: &[&Metric] = &[$(&$name),*];
    };
}

metrics! {
    BULK_UP_1 = "bulk.up.1", "bulk up, 1 stream", GibPerSecond, Speed;
    BULK_DOWN_1 = "bulk.down.1", "bulk down, 1 stream", GibPerSecond, Speed;
    BULK_UP_8 = "bulk.up.8", "bulk up, 8 streams", GibPerSecond, Speed;
    BULK_DOWN_8 = "bulk.down.8", "bulk down, 8 streams", GibPerSecond, Speed;
    MESSAGES = "messages", "messages/s, 64 sessions, 64 B", PerSecond, Speed;
    CONNECTIONS_FIN = "connections.fin", "connections/s, ended by FIN", PerSecond, Speed;
    CONNECTIONS_RESET = "connections.reset", "connections/s, ended by reset", PerSecond, Speed;
    LATENCY_P50 = "latency.p50", "ping-pong, median", Microseconds, Speed;
    LATENCY_P99 = "latency.p99", "ping-pong, 99th percentile", Microseconds, Speed;
    BULK_UP_1_CPU = "bulk.up.1.cpu", "CPU per GiB up, 1 stream", CpuSeconds, Cost;
    BULK_DOWN_1_CPU = "bulk.down.1.cpu", "CPU per GiB down, 1 stream", CpuSeconds, Cost;
    BULK_UP_8_CPU = "bulk.up.8.cpu", "CPU per GiB up, 8 streams", CpuSeconds, Cost;
    BULK_DOWN_8_CPU = "bulk.down.8.cpu", "CPU per GiB down, 8 streams", CpuSeconds, Cost;
    MESSAGES_CPU = "messages.cpu", "CPU per million messages", CpuSeconds, Cost;
    CONNECTIONS_FIN_CPU = "connections.fin.cpu", "CPU per 10 000 connections, FIN", CpuSeconds, Cost;
    CONNECTIONS_RESET_CPU = "connections.reset.cpu", "CPU per 10 000 connections, reset", CpuSeconds, Cost;
    STARTUP = "startup", "exec → first byte at the backend", Milliseconds, Cost;
    IDLE_REST = "idle.rest", "resident at rest", Kibibytes, Cost;
    IDLE_USER = "idle.user", "user memory per idle session, KiB", Kibibytes, Absolute;
    IDLE_KERNEL = "idle.kernel", "kernel memory per idle session with both its ends, KiB", Kibibytes, Absolute;
    IDLE_DESCRIPTORS = "idle.descriptors", "descriptors per idle session", Count, Absolute;
    IDLE_PIPES = "idle.pipes", "pipes per idle session", Count, Absolute;
    IDLE_IN_PIPES = "idle.in_pipes", "bytes in pipes per idle session, KiB", Kibibytes, Absolute;
    STUCK = "stuck", "CPU with 100 stuck readers, %", CpuPercent, Absolute;
    LIMIT = "limit", "CPU at the descriptor limit, %", CpuPercent, Absolute;
    COLD_TCP_P50 = "cold.tcp.p50", "cold start, TCP polled: listen() → first byte, median, ms", Milliseconds, Absolute;
    COLD_TCP_P99 = "cold.tcp.p99", "cold start, TCP polled: 99th percentile, ms", Milliseconds, Absolute;
    COLD_UNIX_P50 = "cold.unix.p50", "cold start, UNIX: listen() → first byte, median, ms", Milliseconds, Absolute;
    COLD_UNIX_P99 = "cold.unix.p99", "cold start, UNIX: 99th percentile, ms", Milliseconds, Absolute;
    COLD_NOTIFY_P50 =
        "cold.notify.p50", "cold start, READY=1: listen() → first byte, median, ms", Milliseconds, Absolute;
    COLD_NOTIFY_P99 = "cold.notify.p99", "cold start, READY=1: 99th percentile, ms", Milliseconds, Absolute;
    COLD_WHOLE_P50 = "cold.whole.p50", "whole cold start: connect() → first byte, median, ms", Milliseconds, Absolute;
    COLD_WHOLE_P99 = "cold.whole.p99", "whole cold start: 99th percentile, ms", Milliseconds, Absolute;
    COLD_THAW_P50 = "cold.thaw.p50", "thaw: connect() → first byte, median, ms", Milliseconds, Absolute;
    COLD_THAW_P99 = "cold.thaw.p99", "thaw: 99th percentile, ms", Milliseconds, Absolute;
}

/// Returns the rate and the cost of a bulk transfer. Any number of streams above one counts as 8.
pub(crate) fn bulk(direction: Direction, streams: usize) -> (&'static Metric, &'static Metric) {
    match (direction, streams) {
        (Direction::Up, 1) => (&BULK_UP_1, &BULK_UP_1_CPU),
        (Direction::Down, 1) => (&BULK_DOWN_1, &BULK_DOWN_1_CPU),
        (Direction::Up, _) => (&BULK_UP_8, &BULK_UP_8_CPU),
        (Direction::Down, _) => (&BULK_DOWN_8, &BULK_DOWN_8_CPU),
    }
}

/// Returns the rate and the cost of connections.
pub(crate) fn connections(close: CloseMode) -> (&'static Metric, &'static Metric) {
    match close {
        CloseMode::Fin => (&CONNECTIONS_FIN, &CONNECTIONS_FIN_CPU),
        CloseMode::Reset => (&CONNECTIONS_RESET, &CONNECTIONS_RESET_CPU),
    }
}

/// Returns the median and the 99th percentile of a wake.
pub(crate) fn wake(wake: WakeCase) -> (&'static Metric, &'static Metric) {
    match wake {
        WakeCase::PolledTcp => (&COLD_TCP_P50, &COLD_TCP_P99),
        WakeCase::UnixSocket => (&COLD_UNIX_P50, &COLD_UNIX_P99),
        WakeCase::Notify => (&COLD_NOTIFY_P50, &COLD_NOTIFY_P99),
        WakeCase::EndToEnd => (&COLD_WHOLE_P50, &COLD_WHOLE_P99),
        WakeCase::Thaw => (&COLD_THAW_P50, &COLD_THAW_P99),
    }
}
