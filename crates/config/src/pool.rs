//! The rules for several servers, or for one: balancing, health checks, the queue.

use std::num::NonZeroU32;
use std::time::Duration;

use dormouse_core::pool::{Balance, CheckSettings, InitialState, Observe, OnError};
use dormouse_core::timespan::TimeSpan;

use super::defaults;
use super::keys;
use super::model::{CheckConfig, Hold, Queue, ServerConfig};
use super::report::Report;
use super::tree::Value;
use super::value::{Field, Section};

/// The largest number of retries.
pub(super) const MOST_RETRIES: u32 = 1000;
/// The largest weight, as in `HAProxy`.
const MOST_WEIGHT: u32 = 256;
/// The shortest interval between checks.
const CLOSEST: Duration = Duration::from_millis(10);

/// The health checks of a service.
#[derive(Debug, Clone)]
pub(super) struct ServiceCheck {
    /// Whether servers without a setting of their own are checked.
    on: bool,
    check: CheckConfig,
    /// `None`: only servers with a workload are checked passively.
    passive: Option<bool>,
    pub(super) fail_open: bool,
}

/// The settings of a server.
#[derive(Debug)]
pub(super) struct ServerRules {
    weight: u32,
    backup: bool,
    maxconn: Option<NonZeroU32>,
    disabled: bool,
    check: Option<bool>,
}

impl ServiceCheck {
    /// Applies the health checks to a server without settings of its own.
    pub(super) fn of_all(&self, server: ServerConfig) -> ServerConfig {
        self.applied(server, self.on)
    }

    fn applied(&self, mut server: ServerConfig, on: bool) -> ServerConfig {
        if on {
            let mut check = self.check.clone();
            check.rules.passive = self.passive.unwrap_or(server.wake.is_some());
            server.check = Some(check);
        }
        server
    }
}

impl ServerRules {
    /// Applies the settings to a server.
    pub(super) fn apply(&self, server: ServerConfig, check: &ServiceCheck) -> ServerConfig {
        let Self { weight, backup, maxconn, disabled, .. } = *self;
        let server = ServerConfig { weight, backup, maxconn, disabled, ..server };
        check.applied(server, self.check.unwrap_or(check.on))
    }
}

/// Reads the settings of a server.
pub(super) fn server(section: &Section<'_>, report: &mut Report) -> ServerRules {
    let get = |name| section.get(name);
    ServerRules {
        weight: get("weight")
            .and_then(|field| field.number(MOST_WEIGHT, report))
            .unwrap_or(defaults::SERVER_WEIGHT.value),
        backup: get("backup").and_then(|field| field.switch(report)).unwrap_or(defaults::SERVER_BACKUP.value),
        maxconn: get("maxconn").and_then(|field| field.count(report)),
        disabled: get("disabled")
            .and_then(|field| field.switch(report))
            .unwrap_or(defaults::SERVER_DISABLED.value),
        check: get("check").and_then(|field| field.switch(report)),
    }
}

/// Reads the health checks of a service.
pub(super) fn check(section: &Section<'_>, report: &mut Report) -> ServiceCheck {
    let rules = CheckSettings::default();
    let check = CheckConfig {
        timeout: rules.inter,
        rules,
        send: Vec::new(),
        expect: Vec::new(),
        ends_sessions: false,
    };
    let mut service = ServiceCheck { on: false, check, passive: None, fail_open: defaults::FAIL_OPEN.value };
    let Some(field) = section.get("check") else { return service };
    let Some(section) = Section::open(field.node, "check", keys::SERVICE, report) else {
        match field.node.value {
            Value::Switch(on) => service.on = on,
            _ => field.wrong_kind(report),
        }
        return service;
    };
    service.on = true;
    times(&section, &mut service.check, report);
    let get = |name| section.get(name);
    let rules = &mut service.check.rules;
    if let Some(rise) = get("rise").and_then(|field| field.count(report)) {
        rules.rise = rise;
    }
    if let Some(fall) = get("fall").and_then(|field| field.count(report)) {
        rules.fall = fall;
    }
    let words = [
        ("up", InitialState::Up),
        ("fully-up", InitialState::FullyUp),
        ("down", InitialState::Down),
        ("fully-down", InitialState::FullyDown),
    ];
    if let Some(init) = get("init").and_then(|field| field.choice(&words, report)) {
        rules.initial_state = init;
    }
    rules.observe = observe(&section, report);
    let mut text = |name| get(name).and_then(|field| field.text(report).map(|text| text.as_bytes().to_vec()));
    service.check.send = text("send").unwrap_or_default();
    service.check.expect = text("expect").unwrap_or_default();
    let words = [("shutdown-sessions", true)];
    let ends = get("on_marked_down").and_then(|field| field.choice(&words, report));
    service.check.ends_sessions = ends.unwrap_or(false);
    service.passive = get("passive").and_then(|field| field.switch(report));
    service.fail_open =
        get("fail_open").and_then(|field| field.switch(report)).unwrap_or(defaults::FAIL_OPEN.value);
    service
}

fn times(section: &Section<'_>, check: &mut CheckConfig, report: &mut Report) {
    let mut interval = |name| {
        let field = section.get(name)?;
        let span = field.duration(report)?;
        if span < CLOSEST {
            let closest = TimeSpan::Finite(CLOSEST);
            report.error(
                field.place(),
                format!("must be at least {closest}, so that checks do not overload the server"),
            );
            return None;
        }
        Some(span)
    };
    let rules = &mut check.rules;
    rules.inter = interval("inter").unwrap_or(rules.inter);
    rules.fastinter = interval("fastinter").unwrap_or(rules.inter);
    rules.downinter = interval("downinter").unwrap_or(rules.inter);
    check.timeout = interval("timeout").unwrap_or(rules.inter);
    if let Some(slowstart) = section.get("slowstart").and_then(|field| field.duration(report)) {
        rules.slowstart = slowstart;
    }
}

fn observe(section: &Section<'_>, report: &mut Report) -> Option<Observe> {
    let observed = section.get("observe").map(|field| field.choice(&[("layer4", ())], report));
    let limit_field = section.get("error_limit");
    let error_field = section.get("on_error");
    if observed.is_none() {
        for field in limit_field.iter().chain(&error_field) {
            let observe = field.place().write("check.observe", "\"layer4\"");
            report.error(
                field.place(),
                format!("has no effect without {observe}; add it, or remove this setting"),
            );
        }
    }
    let error_limit =
        limit_field.and_then(|field| field.count(report)).unwrap_or(defaults::ERROR_LIMIT.count());
    let words = [
        ("fastinter", OnError::FastInter),
        ("fail-check", OnError::FailCheck),
        ("sudden-death", OnError::SuddenDeath),
        ("mark-down", OnError::MarkDown),
    ];
    let on_error = error_field.and_then(|field| field.choice(&words, report)).unwrap_or(OnError::FailCheck);
    observed?.map(|()| Observe { error_limit, on_error })
}

/// Reads how servers are chosen.
pub(super) fn balance(section: &Section<'_>, servers: &[ServerConfig], report: &mut Report) -> Balance {
    let woken = servers.iter().filter(|server| server.wake.is_some()).count();
    let words: Vec<_> = Balance::ALL.iter().map(|balance| (balance.word(), *balance)).collect();
    let said = section.get("balance").and_then(|field| field.choice(&words, report));
    let soft_field = section.get("soft");
    let soft = soft_field.and_then(|field| field.count(report));
    soft_fits(soft_field.as_ref(), woken, said, section, report);
    match said.unwrap_or_else(|| defaults::balance(servers)) {
        Balance::First { .. } => Balance::First { soft },
        other => other,
    }
}

fn soft_fits(
    soft: Option<&Field<'_>>,
    woken: usize,
    balance: Option<Balance>,
    section: &Section<'_>,
    report: &mut Report,
) {
    let first = matches!(balance, None | Some(Balance::First { .. }));
    match soft {
        Some(field) if woken == 1 => {
            report.error(
                field.place(),
                "requires several workloads, and there is only one; add another, or remove this setting",
            );
        }
        Some(field) if woken > 1 && !first => {
            let balance = field.place().write("balance", "\"first\"");
            report.error(
                field.place(),
                format!("has no effect without {balance}; change it, or remove this setting"),
            );
        }
        None if woken > 1 && first => {
            let place = section.get("servers").map_or(section.place, |field| field.place());
            report.warning(
                place,
                "no limit decides when the second workload starts; add for example soft = 20",
            );
        }
        _ => {}
    }
}

/// Reads the limits of the queue.
pub(super) fn queue(section: Option<&Section<'_>>, hold: &Hold, report: &mut Report) -> Queue {
    let get = |name| section.and_then(|section| section.get(name));
    let timeout = get("timeout").and_then(|field| field.span(report));
    let max = get("max").and_then(|field| field.count(report));
    let defaults = Queue::beside(hold);
    Queue { timeout: timeout.unwrap_or(defaults.timeout), max: max.unwrap_or(defaults.max) }
}

/// Reports settings that keep all clients from being served, or have no effect.
pub(super) fn makes_sense(section: &Section<'_>, servers: &[ServerConfig], report: &mut Report) {
    let place = || section.get("servers").map_or(section.place, |field| field.place());
    if !servers.is_empty() && servers.iter().all(|server| server.weight == 0 || server.disabled) {
        report.warning(
            place(),
            "every server is disabled or has weight 0; no client is served until an administrator changes that",
        );
    }
    if let Some(field) = section.get("queue").filter(|_| servers.iter().all(|server| !server.has_rules())) {
        let message =
            "has no effect without limits or checks; set the maxconn of the servers, or remove this setting";
        report.warning(field.place(), message);
    }
}
