//! The measurements, and which subjects take part in each.

use std::{fmt, time::Duration};

use crate::{
    error::{Error, Result},
    load::{bulk, connections, idle, latency, messages, startup, stuck, wake},
    metric::{self, Metric, Reading},
    net::Family,
    spec::{CloseMode, Direction, Timing, WakeCase},
    subjects::{Kind, Subject},
    testbed::Setup,
    transport::Transport,
};

/// Durations and counts of the measurements.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parameters {
    pub(crate) warmup: Duration,
    pub(crate) window: Duration,
    /// The number of new sessions.
    pub(crate) connections: usize,
    /// The time limit for the new sessions. A program that forks may not reach the number.
    pub(crate) connections_window: Duration,
    /// The number of idle sessions.
    pub(crate) idle: usize,
    /// The starts of the program in one round.
    pub(crate) starts: usize,
    /// The cold starts or thaws of each case in one round.
    pub(crate) wakes: usize,
    /// How long the CPU use is measured while no progress is possible.
    pub(crate) stuck_window: Duration,
}

impl Parameters {
    pub(crate) const FULL: Self = Self {
        warmup: Duration::from_millis(300),
        window: Duration::from_secs(2),
        connections: 6000,
        connections_window: Duration::from_secs(4),
        idle: 2000,
        starts: 40,
        wakes: 50,
        stuck_window: Duration::from_secs(3),
    };
    /// Enough for a smoke test.
    pub(crate) const QUICK: Self = Self {
        warmup: Duration::from_millis(100),
        window: Duration::from_millis(200),
        connections: 300,
        connections_window: Duration::from_secs(2),
        idle: 200,
        starts: 5,
        wakes: 3,
        stuck_window: Duration::from_millis(300),
    };
}

/// One measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    Bulk { direction: Direction, streams: usize },
    Messages,
    Connections(CloseMode),
    Latency,
    Startup,
    Idle,
    Stuck,
    Limit,
    Wake(WakeCase),
}

impl Case {
    pub(crate) const ALL: [Self; 17] = [
        Self::Bulk { direction: Direction::Up, streams: 1 },
        Self::Bulk { direction: Direction::Down, streams: 1 },
        Self::Bulk { direction: Direction::Up, streams: 8 },
        Self::Bulk { direction: Direction::Down, streams: 8 },
        Self::Messages,
        Self::Connections(CloseMode::Fin),
        Self::Connections(CloseMode::Reset),
        Self::Latency,
        Self::Startup,
        Self::Idle,
        Self::Stuck,
        Self::Limit,
        Self::Wake(WakeCase::PolledTcp),
        Self::Wake(WakeCase::UnixSocket),
        Self::Wake(WakeCase::Notify),
        Self::Wake(WakeCase::EndToEnd),
        Self::Wake(WakeCase::Thaw),
    ];

    /// Returns the name that `--only` accepts.
    pub(crate) fn group(self) -> &'static str {
        match self {
            Self::Bulk { .. } => "bulk",
            Self::Messages => "messages",
            Self::Connections(_) => "connections",
            Self::Latency => "latency",
            Self::Startup => "startup",
            Self::Idle => "idle",
            Self::Stuck => "stuck",
            Self::Limit => "limit",
            Self::Wake(_) => "cold",
        }
    }

    /// Returns the cases of a group.
    pub(crate) fn in_group(group: &str) -> Result<Vec<Self>> {
        let cases: Vec<Self> = Self::ALL.into_iter().filter(|case| case.group() == group).collect();
        if cases.is_empty() {
            return Err(Error::Usage(format!("unknown measurement: {group}")));
        }
        Ok(cases)
    }

    /// Returns whether this case measures the metric.
    pub(crate) fn has_metric(self, metric: &Metric) -> bool {
        let key = metric.key;
        match self {
            Self::Bulk { direction, streams } => key.starts_with(metric::bulk(direction, streams).0.key),
            Self::Connections(close) => key.starts_with(metric::connections(close).0.key),
            Self::Wake(wake) => [metric::wake(wake).0.key, metric::wake(wake).1.key].contains(&key),
            _ => key.split('.').next() == Some(self.group()),
        }
    }

    /// Returns whether this case exists on the transport. UNIX sockets have no reset.
    pub(crate) fn exists_on(self, transport: Transport) -> bool {
        match self {
            Self::Connections(CloseMode::Reset) => transport.client_side() == Family::Tcp,
            Self::Wake(WakeCase::PolledTcp) => transport.server_side() == Family::Tcp,
            Self::Wake(WakeCase::UnixSocket) => transport.server_side() == Family::Unix,
            _ => true,
        }
    }

    /// Returns whether this case is meaningful for the subject.
    pub(crate) fn applies_to(self, subject: &Subject, transport: Transport) -> bool {
        let is_proxy = subject.kind != Kind::Direct;
        let is_supported = !is_proxy || subject.supports(transport.client_side(), transport.server_side());
        let is_meaningful = match self {
            Self::Wake(wake) => can_wake(wake, subject, transport),
            _ if !subject.relays() => false,
            Self::Messages | Self::Connections(_) | Self::Latency => true,
            // The floor supports only these three.
            _ if subject.kind == Kind::Floor => false,
            Self::Bulk { .. } => true,
            Self::Startup => subject.accepts_listener(),
            // A process for each session is not comparable.
            Self::Idle => !subject.forks_per_session(),
            Self::Stuck => subject.has_small_buffer_option(),
            // The limit applies to one process.
            Self::Limit => is_proxy && !subject.forks_per_session(),
        };
        self.exists_on(transport) && is_supported && is_meaningful
    }

    /// Returns the timing of the load.
    pub(crate) fn timing(self, parameters: &Parameters) -> Timing {
        let window = match self {
            Self::Connections(_) => parameters.connections_window,
            _ => parameters.window,
        };
        Timing { warmup: parameters.warmup, window }
    }

    /// Runs the measurement once.
    pub(crate) fn measure(self, parameters: &Parameters, setup: &Setup<'_>) -> Result<Vec<Reading>> {
        match self {
            Self::Bulk { direction, streams } => bulk::measure(direction, streams, setup),
            Self::Messages => messages::measure(setup),
            Self::Connections(close) => connections::measure(close, parameters.connections, setup),
            Self::Latency => latency::measure(setup),
            Self::Startup => startup::measure(parameters.starts, setup),
            Self::Idle => idle::measure(parameters.idle, setup),
            Self::Stuck => stuck::measure_readers(parameters.stuck_window, setup),
            Self::Limit => stuck::measure_limit(parameters.stuck_window, setup),
            Self::Wake(wake) => wake::measure(wake, parameters.wakes, setup),
        }
    }
}

/// Returns whether the subject can wake a server in this way.
fn can_wake(wake: WakeCase, subject: &Subject, transport: Transport) -> bool {
    match subject.kind {
        Kind::Dormouse => true,
        Kind::SocketProxyd => matches!(wake, WakeCase::PolledTcp | WakeCase::UnixSocket | WakeCase::EndToEnd),
        // The container opens the port itself, so a client cannot wait there before.
        Kind::Podman => wake == WakeCase::EndToEnd && transport == Transport::Tcp,
        _ => false,
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bulk { direction, streams } => write!(f, "bulk {}, {streams} streams", direction.name()),
            Self::Connections(close) => write!(f, "connections closed by {}", close.name()),
            Self::Wake(wake) => write!(f, "cold: {}", wake.name()),
            _ => f.write_str(self.group()),
        }
    }
}
