//! The list of measures, and who takes part in which.

use std::{fmt, time::Duration};

use crate::{
    error::{Error, Result},
    load::{Direction, Ending, Span, Way, bulk, cold, connections, idle, latency, messages, startup, stuck},
    metric::{self, Metric, Reading},
    net::Family,
    site::{Site, Transport},
    subjects::{Kind, Subject},
};

/// How long and how much.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Amounts {
    pub(crate) warm: Duration,
    pub(crate) window: Duration,
    /// New sessions in one measure.
    pub(crate) connections: usize,
    /// The most that these may take: a program that forks gets as far as it gets.
    pub(crate) connections_window: Duration,
    /// Sessions that do nothing.
    pub(crate) idle: usize,
    /// Starts of the program in one round.
    pub(crate) starts: usize,
    /// Cold starts or thaws of a kind in one round.
    pub(crate) wakes: usize,
    /// How long the CPU is watched when nothing can be done.
    pub(crate) standstill: Duration,
}

impl Amounts {
    pub(crate) const FULL: Self = Self {
        warm: Duration::from_millis(300),
        window: Duration::from_secs(2),
        connections: 6000,
        connections_window: Duration::from_secs(4),
        idle: 2000,
        starts: 40,
        wakes: 50,
        standstill: Duration::from_secs(3),
    };
    /// Enough to see that everything works.
    pub(crate) const QUICK: Self = Self {
        warm: Duration::from_millis(100),
        window: Duration::from_millis(200),
        connections: 300,
        connections_window: Duration::from_secs(2),
        idle: 200,
        starts: 5,
        wakes: 3,
        standstill: Duration::from_millis(300),
    };
}

/// One measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    Bulk { direction: Direction, streams: usize },
    Messages,
    Connections(Ending),
    Latency,
    Startup,
    Idle,
    Stuck,
    Limit,
    Cold(Way),
}

impl Case {
    pub(crate) const ALL: [Self; 17] = [
        Self::Bulk { direction: Direction::Up, streams: 1 },
        Self::Bulk { direction: Direction::Down, streams: 1 },
        Self::Bulk { direction: Direction::Up, streams: 8 },
        Self::Bulk { direction: Direction::Down, streams: 8 },
        Self::Messages,
        Self::Connections(Ending::Fin),
        Self::Connections(Ending::Reset),
        Self::Latency,
        Self::Startup,
        Self::Idle,
        Self::Stuck,
        Self::Limit,
        Self::Cold(Way::Tcp),
        Self::Cold(Way::Unix),
        Self::Cold(Way::Notify),
        Self::Cold(Way::Whole),
        Self::Cold(Way::Thaw),
    ];

    /// The word that `--only` takes.
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
            Self::Cold(_) => "cold",
        }
    }

    /// The cases of a group.
    pub(crate) fn of(group: &str) -> Result<Vec<Self>> {
        let cases: Vec<Self> = Self::ALL.into_iter().filter(|case| case.group() == group).collect();
        if cases.is_empty() {
            return Err(Error::Usage(format!("no measure is called {group}")));
        }
        Ok(cases)
    }

    /// Whether the metric is of this measure.
    pub(crate) fn yields(self, metric: &Metric) -> bool {
        let key = metric.key;
        match self {
            Self::Bulk { direction, streams } => key.starts_with(metric::bulk(direction, streams).0.key),
            Self::Connections(ending) => key.starts_with(metric::connections(ending).0.key),
            Self::Cold(way) => [metric::cold(way).0.key, metric::cold(way).1.key].contains(&key),
            _ => key.split('.').next() == Some(self.group()),
        }
    }

    /// Whether this measure exists on the transport: UNIX sockets have no reset of their own.
    pub(crate) fn possible(self, transport: Transport) -> bool {
        match self {
            Self::Connections(Ending::Reset) => transport.client_side() == Family::Tcp,
            Self::Cold(way) => way.possible(transport),
            _ => true,
        }
    }

    /// Whether this measure means anything for the subject.
    pub(crate) fn suits(self, subject: &Subject, transport: Transport) -> bool {
        let proxied = subject.kind != Kind::Direct;
        let speaks = !proxied || subject.speaks(transport.client_side(), transport.server_side());
        let meant = match self {
            Self::Cold(way) => way.suits(subject, transport),
            _ if !subject.carries() => false,
            Self::Messages | Self::Connections(_) | Self::Latency => true,
            // More than these three it cannot do.
            _ if subject.kind == Kind::Floor => false,
            Self::Bulk { .. } => true,
            Self::Startup => subject.takes_listener(),
            // A process for each session is another order of magnitude.
            Self::Idle => !subject.forks(),
            Self::Stuck => subject.takes_small_buffers(),
            // The limit is a process's own.
            Self::Limit => proxied && !subject.forks(),
        };
        self.possible(transport) && speaks && meant
    }

    /// How long its load runs.
    pub(crate) fn span(self, amounts: &Amounts) -> Span {
        let window = match self {
            Self::Connections(_) => amounts.connections_window,
            _ => amounts.window,
        };
        Span { warm: amounts.warm, window }
    }

    pub(crate) fn measure(self, amounts: &Amounts, site: &Site<'_>) -> Result<Vec<Reading>> {
        match self {
            Self::Bulk { direction, streams } => bulk::measure(direction, streams, site),
            Self::Messages => messages::measure(site),
            Self::Connections(ending) => connections::measure(ending, amounts.connections, site),
            Self::Latency => latency::measure(site),
            Self::Startup => startup::measure(amounts.starts, site),
            Self::Idle => idle::measure(amounts.idle, site),
            Self::Stuck => stuck::measure_readers(amounts.standstill, site),
            Self::Limit => stuck::measure_limit(amounts.standstill, site),
            Self::Cold(way) => cold::measure(way, amounts.wakes, site),
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bulk { direction, streams } => write!(f, "bulk {direction}, {streams} streams"),
            Self::Connections(ending) => write!(f, "connections ended by {ending}"),
            Self::Cold(way) => write!(f, "cold: {}", way.title()),
            _ => f.write_str(self.group()),
        }
    }
}
