//! The defaults of a service, each written once: the manual and the help show its text, the reader uses its value.

use std::num::NonZeroU32;
use std::time::Duration;

use dormouse_core::pool::Balance;
use dormouse_core::timespan::TimeSpan;
use dormouse_relay::Limits;

use crate::limit::{AtLimit, Cap};
use crate::model::{
    Confined, ForeignListener, Hold, Idle, Listen, PeerCredentials, Queue, Ready, ServerConfig,
    ServiceConfig, Spelling, Timeouts, WakeOn, Waking,
};

/// A default and how it is written in TOML.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DefaultValue<T> {
    /// The value.
    pub(crate) value: T,
    /// The value in TOML.
    pub(crate) text: &'static str,
}

macro_rules! span {
    ($number:literal s) => {
        DefaultValue { value: Duration::from_secs($number), text: concat!("\"", $number, "s\"") }
    };
    ($number:literal min) => {
        DefaultValue { value: Duration::from_secs($number * 60), text: concat!("\"", $number, "min\"") }
    };
}

macro_rules! plain {
    ($value:literal) => {
        DefaultValue { value: $value, text: stringify!($value) }
    };
}

macro_rules! word {
    ($value:expr, $word:literal) => {
        DefaultValue { value: $value, text: concat!("\"", $word, "\"") }
    };
}

/// The default of each time span that is unlimited.
pub(crate) const UNLIMITED: DefaultValue<TimeSpan> = word!(TimeSpan::Infinite, "infinity");

pub(crate) const RESTRICT_SELF: DefaultValue<bool> = plain!(true);
pub(crate) const SERVER_WEIGHT: DefaultValue<u32> = plain!(1);
pub(crate) const SERVER_BACKUP: DefaultValue<bool> = plain!(false);
pub(crate) const SERVER_DISABLED: DefaultValue<bool> = plain!(false);
pub(crate) const WAKE_ON: DefaultValue<WakeOn> = word!(WakeOn::Connect, "connect");
pub(crate) const STOP_FOREIGN: DefaultValue<bool> = plain!(false);
pub(crate) const SANDBOX: DefaultValue<Confined> = word!(Confined::No, "none");
pub(crate) const FOREIGN_LISTENER: DefaultValue<ForeignListener> = word!(ForeignListener::Refuse, "refuse");
pub(crate) const START_TIMEOUT: DefaultValue<Duration> = span!(120 s);
pub(crate) const STOP_TIMEOUT: DefaultValue<Duration> = span!(10 s);
pub(crate) const READY: DefaultValue<Ready> = word!(Ready::Connect, "connect");
pub(crate) const SETTLE: DefaultValue<Duration> = DefaultValue { value: Duration::ZERO, text: "\"0\"" };
pub(crate) const HOLD_TIMEOUT: DefaultValue<Duration> = span!(30 s);
pub(crate) const HOLD_MAX: DefaultValue<u32> = plain!(1024);
pub(crate) const HOLD_OVERFLOW: DefaultValue<AtLimit> = word!(AtLimit::Refuse, "refuse");
pub(crate) const IDLE_STOP: DefaultValue<Duration> = span!(5 min);
pub(crate) const MINIMUM_UPTIME: DefaultValue<Duration> = span!(60 s);
pub(crate) const QUEUE_TIMEOUT: DefaultValue<Duration> = span!(30 s);
pub(crate) const RETRIES: DefaultValue<u32> = plain!(3);
pub(crate) const REDISPATCH: DefaultValue<bool> = plain!(true);
pub(crate) const REPLAY: DefaultValue<bool> = plain!(true);
/// As many sessions as users of `HAProxy` expect of one process; their descriptors fit below the usual hard limit.
pub(crate) const MAXCONN: DefaultValue<u32> = plain!(4096);
pub(crate) const AT_LIMIT: DefaultValue<AtLimit> = word!(AtLimit::Queue, "queue");
pub(crate) const PEER_CREDENTIALS: DefaultValue<PeerCredentials> = DefaultValue {
    value: PeerCredentials::Unstated,
    text: "\"own\", with a warning where a listener lets in more users than the server",
};
pub(crate) const FAIL_OPEN: DefaultValue<bool> = plain!(false);
pub(crate) const ERROR_LIMIT: DefaultValue<u32> = plain!(10);
pub(crate) const CONNECT_TIMEOUT: DefaultValue<Duration> = span!(5 s);
pub(crate) const HALF_CLOSE_TIMEOUT: DefaultValue<Duration> = span!(60 s);
pub(crate) const PROXY_HEADER_TIMEOUT: DefaultValue<Duration> = span!(5 s);

impl DefaultValue<u32> {
    /// Returns the value as a number that cannot be zero.
    pub(crate) const fn count(&self) -> NonZeroU32 {
        match NonZeroU32::new(self.value) {
            Some(count) => count,
            None => NonZeroU32::MIN,
        }
    }
}

impl ServiceConfig {
    /// Returns the name of one of the servers in the log.
    #[must_use]
    pub fn server_name(&self, server: &ServerConfig) -> String {
        match self.servers.as_slice() {
            [_] => self.name.clone(),
            _ => format!("{}/{}", self.name, server.name),
        }
    }

    /// Returns a service with these listeners and servers, and the default of every other key.
    pub fn new(name: String, listen: Vec<Listen>, servers: Vec<ServerConfig>) -> Self {
        let hold = Hold::default();
        Self {
            name,
            listen,
            dns: Vec::new(),
            balance: balance(&servers),
            servers,
            queue: Queue::beside(&hold),
            retries: RETRIES.value,
            redispatch: REDISPATCH.value,
            fail_open: FAIL_OPEN.value,
            ready: READY.value,
            settle: SETTLE.value,
            hold,
            idle: Idle::default(),
            waking: Waking::default(),
            exclusive: None,
            replay: REPLAY.value,
            maxconn: Cap::from(MAXCONN.count()),
            at_limit: AT_LIMIT.value,
            accept_proxy: None,
            proxy_protocol: None,
            peer_credentials: PEER_CREDENTIALS.value,
            timeouts: Timeouts::default(),
            spelling: Spelling::Keys,
        }
    }
}

/// Returns the default of `balance`: workloads fill up one after the other, so that the last ones can stay stopped.
pub(crate) fn balance(servers: &[ServerConfig]) -> Balance {
    if servers.iter().any(|server| server.wake.is_some()) {
        Balance::First { soft: None }
    } else {
        Balance::RoundRobin
    }
}

impl ServerConfig {
    /// Returns a server with the default of every key of its own.
    pub fn new(
        name: String,
        to: dormouse_core::address::Target,
        wake: Option<dormouse_activate::ActivatorConfig>,
    ) -> Self {
        Self {
            name,
            to,
            wake,
            weight: SERVER_WEIGHT.value,
            backup: SERVER_BACKUP.value,
            maxconn: None,
            disabled: SERVER_DISABLED.value,
            check: None,
        }
    }
}

impl Default for Hold {
    fn default() -> Self {
        Self {
            timeout: TimeSpan::Finite(HOLD_TIMEOUT.value),
            max: HOLD_MAX.count(),
            overflow: HOLD_OVERFLOW.value,
        }
    }
}

impl Queue {
    /// Returns the default: as many clients wait in the queue as may be held.
    pub(crate) fn beside(hold: &Hold) -> Self {
        Self { timeout: TimeSpan::Finite(QUEUE_TIMEOUT.value), max: hold.max }
    }
}

/// Returns the time that a started workload runs at least where none is configured. It delays no shorter idle time that is
/// configured.
pub(crate) fn minimum_uptime(stop: Option<Duration>, freeze: Option<Duration>) -> Duration {
    [stop, freeze].into_iter().flatten().fold(MINIMUM_UPTIME.value, Duration::min)
}

impl Default for Idle {
    fn default() -> Self {
        Self {
            stop: Some(IDLE_STOP.value),
            freeze: UNLIMITED.value.finite(),
            quiet: UNLIMITED.value.finite(),
            minimum_uptime: MINIMUM_UPTIME.value,
            keep_warm: Vec::new(),
        }
    }
}

impl Default for Waking {
    fn default() -> Self {
        Self {
            on: WAKE_ON.value,
            allow: None,
            stop_foreign: STOP_FOREIGN.value,
            foreign_listener: FOREIGN_LISTENER.value,
            start_timeout: START_TIMEOUT.value,
            stop_timeout: STOP_TIMEOUT.value,
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Some(CONNECT_TIMEOUT.value),
            proxy_header: PROXY_HEADER_TIMEOUT.value,
            limits: Limits { half_close: Some(HALF_CLOSE_TIMEOUT.value), ..Limits::default() },
        }
    }
}
