//! The sections with listeners and servers: defaults, frontend, backend, listen.

use dormouse_core::pool::Balance;

use crate::bind::{self, Bind, BindOptions};
use crate::check::{CheckMethod, TcpCheckRules};
use crate::log;
use crate::parameters::Parameters;
use crate::report::{Report, Statement};
use crate::server::{self, Server};
use crate::server_options::{self, ServerOptions};
use crate::settings::{Mode, Settings};
use crate::unsupported;
use crate::values::{parse_count, parse_span};

/// The kind of a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SectionKind {
    Defaults,
    Frontend,
    Backend,
    Listen,
}

/// A section with listeners or servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) kind: SectionKind,
    pub(crate) name: String,
    pub(crate) statement: Statement,
    pub(crate) last_line: usize,
    pub(crate) settings: Settings,
    pub(crate) binds: Vec<Bind>,
    pub(crate) servers: Vec<Server>,
    /// The backends that conditional rules select. These rules are not converted.
    pub(crate) conditional_backends: Vec<String>,
    /// The section has its own `tcp-check` rules, which replace those of the defaults section.
    has_own_check_rules: bool,
    /// A backend was selected without a condition, so later selections have no effect.
    has_unconditional_backend: bool,
    /// The previous line was a `server` line.
    after_server: bool,
}

impl Section {
    /// Creates a section from its first line and the inherited settings.
    pub(crate) fn new(kind: SectionKind, statement: Statement, settings: Settings) -> Self {
        Self {
            kind,
            name: statement.word(1).to_owned(),
            last_line: statement.line,
            statement,
            settings,
            binds: Vec::new(),
            servers: Vec::new(),
            conditional_backends: Vec::new(),
            has_own_check_rules: false,
            has_unconditional_backend: false,
            after_server: false,
        }
    }

    /// Returns whether the section is in mode tcp.
    pub(crate) fn is_tcp(&self) -> bool {
        self.settings.mode == Mode::Tcp
    }

    /// Reads a line of the section.
    pub(crate) fn read(&mut self, statement: &Statement, unix: &BindOptions, report: &mut Report) {
        let continued = self.after_server && server_options::is_continuation(statement.word(0));
        self.after_server = continued || statement.word(0) == "server";
        if continued {
            if let Some(server) = self.servers.last_mut() {
                report.note(statement, "read as a continuation of the server line; HAProxy rejects it");
                server_options::read(&mut server.options, Parameters::new(statement, 0), report);
                return;
            }
        }
        let has_servers = matches!(self.kind, SectionKind::Backend | SectionKind::Listen);
        let settings = &mut self.settings;
        match statement.word(0) {
            "mode" => {
                settings.mode = match statement.word(1) {
                    "tcp" => Mode::Tcp,
                    other => Mode::Other(other.to_owned()),
                };
            }
            "bind" if matches!(self.kind, SectionKind::Frontend | SectionKind::Listen) => {
                self.binds.extend(bind::bind(statement, unix, report));
            }
            "server" if has_servers => {
                self.servers.extend(server::server(statement, &self.settings.server, report));
            }
            "server-template" if has_servers => {
                self.servers.extend(server::template(statement, &self.settings.server, report));
            }
            "bind" | "server" | "server-template" => {
                report.omit(statement, "not valid in this section; HAProxy rejects it too");
            }
            "dispatch" => {
                let words = ["server", "dispatch", statement.word(1)].map(str::to_owned).to_vec();
                let line = Statement { words, ..statement.clone() };
                self.servers.extend(server::server(&line, &ServerOptions::default(), report));
            }
            "default-server" => {
                server_options::read(&mut settings.server, Parameters::new(statement, 1), report);
            }
            "timeout" => self.timeout(statement, report),
            "balance" => self.balance(statement, report),
            "maxconn" => number(statement, &mut settings.maxconn, report),
            "backlog" => number(statement, &mut settings.backlog, report),
            "retries" => number(statement, &mut settings.retries, report),
            "disabled" => settings.disabled = true,
            "enabled" => settings.disabled = false,
            "default_backend" if !self.has_unconditional_backend => {
                settings.backend = Some(statement.clone());
            }
            "default_backend" => {}
            "use_backend" => self.use_backend(statement, report),
            "log" => log::report_target(statement, report),
            "option" => self.option(statement, 1, report),
            "no" | "default" => match statement.word(1) {
                "option" => self.no_option(statement.word(2)),
                "log" => {}
                "disabled" | "enabled" => settings.disabled = false,
                _ => report.omit(statement, "unknown keyword"),
            },
            "tcp-check" => {
                if !std::mem::replace(&mut self.has_own_check_rules, true) {
                    self.settings.check_rules = TcpCheckRules::default();
                }
                self.settings.check_rules.read(statement);
            }
            "tcp-request" if statement.word(1) != "inspect-delay" => self.tcp_request(statement, report),
            first => match unsupported::keyword(first, statement.word(1)) {
                Some(disposition) => report.apply(statement, disposition),
                None => report.omit(statement, format!("unknown keyword: {first}")),
            },
        }
    }

    fn timeout(&mut self, statement: &Statement, report: &mut Report) {
        let timeouts = &mut self.settings.timeouts;
        let timeout = match statement.word(1) {
            "connect" => &mut timeouts.connect,
            "client" => &mut timeouts.client,
            "server" => &mut timeouts.server,
            "client-fin" => &mut timeouts.client_fin,
            "server-fin" => &mut timeouts.server_fin,
            "tunnel" => &mut timeouts.tunnel,
            "queue" => &mut timeouts.queue,
            "check" => &mut timeouts.check,
            other => {
                match unsupported::keyword("timeout", other).filter(|_| !other.is_empty()) {
                    Some(disposition) => report.apply(statement, disposition),
                    None => report.omit(statement, format!("unknown timeout: {other}")),
                }
                return;
            }
        };
        match parse_span(statement.word(2)) {
            Some(span) => *timeout = Some(span),
            None => report.omit(
                statement,
                format!(
                    "not a time span: {}; write for example 5s, or 5000 for milliseconds",
                    statement.word(2)
                ),
            ),
        }
    }

    fn balance(&mut self, statement: &Statement, report: &mut Report) {
        let algorithm = statement.word(1);
        self.settings.balance = match algorithm {
            "static-rr" => Some(Balance::RoundRobin),
            "hash" if statement.word(2) == "src" => Some(Balance::Source),
            "random(2)" => Some(Balance::Random),
            _ if algorithm.starts_with("random(") => {
                report
                    .note(statement, "dormouse chooses the less loaded of two random servers, as HAProxy does without a number");
                Some(Balance::Random)
            }
            _ => {
                let known = Balance::from_word(algorithm);
                if known.is_none() {
                    let words: Vec<_> = Balance::ALL.iter().map(|balance| balance.word()).collect();
                    let replacement = Balance::RoundRobin.word();
                    let words = words.join(", ");
                    report.omit(statement, format!("dormouse supports {words}; replaced by {replacement}"));
                }
                known
            }
        };
    }

    fn use_backend(&mut self, statement: &Statement, report: &mut Report) {
        let name = statement.word(1);
        if statement.words.len() == 2 && !name.contains("%[") {
            if !std::mem::replace(&mut self.has_unconditional_backend, true) {
                self.settings.backend = Some(statement.clone());
            }
            return;
        }
        report.omit(
            statement,
            "dormouse converts no rules that select a backend; write a service with its own listener, or keep HAProxy for this",
        );
        self.conditional_backends.push(name.to_owned());
    }

    fn option(&mut self, statement: &Statement, at: usize, report: &mut Report) {
        let settings = &mut self.settings;
        match statement.word(at) {
            "redispatch" => {
                settings.redispatch = true;
                if !matches!(statement.word(at + 1), "" | "-1") {
                    report.note(statement, "dormouse tries another server at the last retry");
                }
            }
            "tcp-check" => settings.check_method = CheckMethod::TcpCheck,
            "redis-check" => settings.check_method = CheckMethod::Redis,
            name => {
                settings.tcplog |= name == "tcplog";
                if unsupported::is_check_option(name) {
                    settings.check_method = CheckMethod::Connect;
                }
                match unsupported::option(name) {
                    Some(disposition) => report.apply(statement, disposition),
                    None => report.omit(statement, format!("unknown option: {name}")),
                }
            }
        }
    }

    fn no_option(&mut self, name: &str) {
        match name {
            "redispatch" => self.settings.redispatch = false,
            "tcplog" => self.settings.tcplog = false,
            "tcp-check" | "redis-check" => self.settings.check_method = CheckMethod::Connect,
            _ => {}
        }
    }

    /// Reads a rule about connections. A rule that rejects clients comments out the service.
    fn tcp_request(&mut self, statement: &Statement, report: &mut Report) {
        match statement.word(2) {
            "reject" | "silent-drop" | "tarpit" | "deny" => {
                report.omit(
                    statement,
                    "dormouse has no ACLs, so a rule that rejects clients is not converted and the service is commented out; \
                     reject the clients with a firewall (nftables, IPAddressAllow= in the unit), then uncomment the \
                     service",
                );
                self.settings.has_reject_rule = true;
            }
            "accept" => report.note(statement, "has an effect only together with rules that reject clients"),
            "expect-proxy" => {
                report.omit(
                    statement,
                    "write accept_proxy = [...] with the addresses that may send a PROXY header",
                );
            }
            _ => report.omit(statement, "dormouse has no rules about connections"),
        }
    }
}

fn number(statement: &Statement, number: &mut Option<u32>, report: &mut Report) {
    match parse_count(statement.word(1)) {
        Some(read) => *number = Some(read),
        None => report.omit(statement, format!("not a number: {}", statement.word(1))),
    }
}
