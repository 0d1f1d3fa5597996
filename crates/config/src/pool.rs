//! What concerns several servers together, or the rules of one: the choice, checks, the queue.

use std::num::NonZeroU32;
use std::time::Duration;

use dormouse_core::pool::{Balance, CheckSettings, InitialState, Observe, OnError};
use dormouse_core::timespan::TimeSpan;

use super::keys;
use super::model::{CheckConfig, Hold, Queue, ServerConfig};
use super::report::Report;
use super::tree::Value;
use super::value::{Field, Section};

/// More retries than anybody means.
pub(super) const MOST_RETRIES: u32 = 1000;
/// `HAProxy`'s.
const MOST_WEIGHT: u32 = 256;
/// Checks that come closer together would do nothing else.
const CLOSEST: Duration = Duration::from_millis(10);

/// What a service says of its servers' checks.
#[derive(Debug, Clone)]
pub(super) struct ServiceCheck {
    /// Whether servers are checked that do not say.
    on: bool,
    check: CheckConfig,
    /// As the kind of server says if `None`.
    passive: Option<bool>,
    pub(super) fail_open: bool,
}

/// What a server says of itself.
#[derive(Debug)]
pub(super) struct ServerRules {
    weight: u32,
    backup: bool,
    maxconn: Option<NonZeroU32>,
    disabled: bool,
    check: Option<bool>,
}

impl ServiceCheck {
    /// A server that says nothing of its own checks.
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
    /// The server by these rules.
    pub(super) fn apply(&self, server: ServerConfig, check: &ServiceCheck) -> ServerConfig {
        let Self { weight, backup, maxconn, disabled, .. } = *self;
        let server = ServerConfig { weight, backup, maxconn, disabled, ..server };
        check.applied(server, self.check.unwrap_or(check.on))
    }
}

/// Reads a server's own rules.
pub(super) fn server(section: &Section<'_>, report: &mut Report) -> ServerRules {
    let get = |name| section.get(name);
    ServerRules {
        weight: get("weight").and_then(|field| field.number(MOST_WEIGHT, report)).unwrap_or(1),
        backup: get("backup").and_then(|field| field.switch(report)).unwrap_or(false),
        maxconn: get("maxconn").and_then(|field| field.count(report)),
        disabled: get("disabled").and_then(|field| field.switch(report)).unwrap_or(false),
        check: get("check").and_then(|field| field.switch(report)),
    }
}

/// Reads how a service checks its servers.
pub(super) fn check(section: &Section<'_>, report: &mut Report) -> ServiceCheck {
    let rules = CheckSettings::default();
    let check = CheckConfig {
        timeout: rules.inter,
        rules,
        send: Vec::new(),
        expect: Vec::new(),
        ends_sessions: false,
    };
    let mut service = ServiceCheck { on: false, check, passive: None, fail_open: false };
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
    service.fail_open = get("fail_open").and_then(|field| field.switch(report)).unwrap_or(false);
    service
}

fn times(section: &Section<'_>, check: &mut CheckConfig, report: &mut Report) {
    let mut interval = |name| {
        let field = section.get(name)?;
        let span = field.duration(report)?;
        if span < CLOSEST {
            let closest = TimeSpan::Finite(CLOSEST);
            report.error(field.place(), format!("at least {closest}; a server would do nothing else"));
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
    const LIMIT: NonZeroU32 = NonZeroU32::MIN.saturating_add(9);
    let observed = section.get("observe").map(|field| field.choice(&[("layer4", ())], report));
    let limit_field = section.get("error_limit");
    let error_field = section.get("on_error");
    if observed.is_none() {
        for field in limit_field.iter().chain(&error_field) {
            let observe = field.place().write("check.observe", "\"layer4\"");
            report.error(field.place(), format!("means nothing without {observe}; add it, or take this out"));
        }
    }
    let error_limit = limit_field.and_then(|field| field.count(report)).unwrap_or(LIMIT);
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
    let usual = if woken > 0 { Balance::First { soft: None } } else { Balance::RoundRobin };
    let soft_field = section.get("soft");
    let soft = soft_field.and_then(|field| field.count(report));
    soft_fits(soft_field.as_ref(), woken, said, section, report);
    match said.unwrap_or(usual) {
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
                "needs several servers that are woken, and there is one; add another or take it out",
            );
        }
        Some(field) if woken > 1 && !first => {
            let balance = field.place().write("balance", "\"first\"");
            report.error(
                field.place(),
                format!("means nothing without {balance}; change it, or take this out"),
            );
        }
        None if woken > 1 && first => {
            let place = section.get("servers").map_or(section.place, |field| field.place());
            report.warning(place, "nothing says when the second server is woken; add for example soft = 20");
        }
        _ => {}
    }
}

/// Reads how long and how many wait for a server with room.
pub(super) fn queue(section: Option<&Section<'_>>, hold: &Hold, report: &mut Report) -> Queue {
    let get = |name| section.and_then(|section| section.get(name));
    let timeout = get("timeout").and_then(|field| field.span(report));
    let max = get("max").and_then(|field| field.count(report));
    Queue { timeout: timeout.unwrap_or(TimeSpan::from_secs(30)), max: max.unwrap_or(hold.max) }
}

/// Reports rules by which nobody would ever be served, or which mean nothing.
pub(super) fn makes_sense(section: &Section<'_>, servers: &[ServerConfig], report: &mut Report) {
    let place = || section.get("servers").map_or(section.place, |field| field.place());
    if !servers.is_empty() && servers.iter().all(|server| server.weight == 0 || server.disabled) {
        report.warning(
            place(),
            "every server is disabled or has weight 0; nobody is served until that changes",
        );
    }
    if let Some(field) = section.get("queue").filter(|_| servers.iter().all(|server| !server.has_rules())) {
        let message = "means nothing without a limit or checks; give the servers a maxconn, or take it out";
        report.warning(field.place(), message);
    }
}
