//! The sections with listeners and servers: defaults, frontend, backend, listen.

use std::time::Duration;

use super::bind::{self, Bind};
use super::probe::{Probe, Rules};
use super::report::{Report, Statement};
use super::server::{self, Server};
use super::tables;
use super::values::{count, span};
use super::words::{Fate, Parameters};

/// What a section passes traffic as.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Mode {
    #[default]
    Tcp,
    Other(String),
}

/// The timeouts; zero is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Timeouts {
    pub(super) connect: Option<Duration>,
    pub(super) client: Option<Duration>,
    pub(super) server: Option<Duration>,
    pub(super) client_fin: Option<Duration>,
    pub(super) server_fin: Option<Duration>,
    pub(super) tunnel: Option<Duration>,
    pub(super) queue: Option<Duration>,
    pub(super) check: Option<Duration>,
}

/// What a section of defaults can say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) mode: Mode,
    pub(super) timeouts: Timeouts,
    pub(super) maxconn: Option<u32>,
    pub(super) backlog: Option<u32>,
    /// `None`: roundrobin, or what could not be taken over.
    pub(super) balance: Option<&'static str>,
    pub(super) retries: Option<u32>,
    pub(super) redispatch: bool,
    pub(super) server: server::Options,
    pub(super) backend: Option<Statement>,
    pub(super) probe: Probe,
    pub(super) rules: Rules,
    pub(super) disabled: bool,
    /// A line of the log for each session.
    pub(super) tcplog: bool,
    /// A rule that keeps clients out, which could not be taken over.
    pub(super) guarded: Option<Statement>,
}

/// What kind of section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Defaults,
    Frontend,
    Backend,
    Listen,
}

/// A section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) kind: Kind,
    pub(super) name: String,
    pub(super) statement: Statement,
    pub(super) last: usize,
    pub(super) settings: Settings,
    pub(super) binds: Vec<Bind>,
    pub(super) servers: Vec<Server>,
    /// Backends that rules choose, which could not be taken over.
    pub(super) chosen: Vec<String>,
    /// It has rules of its own for checks, in the place of the defaults'.
    own_rules: bool,
    /// A backend was chosen without a condition: what follows does not count.
    unconditional: bool,
    /// The last line was a server's.
    in_server: bool,
}

impl Section {
    pub(super) fn new(kind: Kind, statement: Statement, settings: Settings) -> Self {
        Self {
            kind,
            name: statement.word(1).to_owned(),
            last: statement.line,
            statement,
            settings,
            binds: Vec::new(),
            servers: Vec::new(),
            chosen: Vec::new(),
            own_rules: false,
            unconditional: false,
            in_server: false,
        }
    }

    /// Reads a line of it.
    pub(super) fn read(&mut self, statement: &Statement, unix: &bind::Options, report: &mut Report) {
        let continued = self.in_server && server::continues(statement.word(0));
        self.in_server = continued || statement.word(0) == "server";
        if continued {
            if let Some(server) = self.servers.last_mut() {
                report.note(
                    statement,
                    "taken as the continuation of the server's line; HAProxy itself refuses it",
                );
                server::options(&mut server.options, Parameters::new(statement, 0), report);
                return;
            }
        }
        let has_servers = matches!(self.kind, Kind::Backend | Kind::Listen);
        let settings = &mut self.settings;
        match statement.word(0) {
            "mode" => {
                settings.mode = match statement.word(1) {
                    "tcp" => Mode::Tcp,
                    other => Mode::Other(other.to_owned()),
                };
            }
            "bind" if matches!(self.kind, Kind::Frontend | Kind::Listen) => {
                self.binds.extend(bind::bind(statement, unix, report));
            }
            "server" if has_servers => {
                self.servers.extend(server::server(statement, &self.settings.server, report));
            }
            "server-template" if has_servers => {
                self.servers.extend(server::template(statement, &self.settings.server, report));
            }
            "bind" | "server" | "server-template" => {
                report.left(statement, "it does not belong into this section; HAProxy refuses it, too");
            }
            "dispatch" => {
                let words = ["server", "dispatch", statement.word(1)].map(str::to_owned).to_vec();
                let line = Statement { words, ..statement.clone() };
                self.servers.extend(server::server(&line, &server::Options::default(), report));
            }
            "default-server" => server::options(&mut settings.server, Parameters::new(statement, 1), report),
            "timeout" => self.timeout(statement, report),
            "balance" => self.balance(statement, report),
            "maxconn" => number(statement, &mut settings.maxconn, report),
            "backlog" => number(statement, &mut settings.backlog, report),
            "retries" => number(statement, &mut settings.retries, report),
            "disabled" => settings.disabled = true,
            "enabled" => settings.disabled = false,
            "default_backend" if !self.unconditional => settings.backend = Some(statement.clone()),
            "default_backend" => {}
            "use_backend" => self.use_backend(statement, report),
            "log" => log(statement, report),
            "option" => self.option(statement, 1, report),
            "no" | "default" => match statement.word(1) {
                "option" => self.no_option(statement.word(2)),
                "log" => {}
                "disabled" | "enabled" => settings.disabled = false,
                _ => report.left(statement, "it is not known here"),
            },
            "tcp-check" => {
                if !std::mem::replace(&mut self.own_rules, true) {
                    self.settings.rules = Rules::default();
                }
                self.settings.rules.read(statement);
            }
            "tcp-request" if statement.word(1) != "inspect-delay" => self.tcp_request(statement, report),
            first => match tables::keyword(first, statement.word(1)) {
                Some(fate) => told(fate, statement, report),
                None => report.left(statement, format!("{first} is no keyword that is known here")),
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
                match tables::keyword("timeout", other).filter(|_| !other.is_empty()) {
                    Some(fate) => told(fate, statement, report),
                    None => report.left(statement, format!("there is no timeout {other}")),
                }
                return;
            }
        };
        match span(statement.word(2)) {
            Some(span) => *timeout = Some(span),
            None => report.left(
                statement,
                format!(
                    "{} is no time span; write for example 5s, or 5000 for milliseconds",
                    statement.word(2)
                ),
            ),
        }
    }

    fn balance(&mut self, statement: &Statement, report: &mut Report) {
        let algorithm = statement.word(1);
        self.settings.balance = match algorithm {
            "roundrobin" | "static-rr" => Some("roundrobin"),
            "leastconn" => Some("leastconn"),
            "first" => Some("first"),
            "source" => Some("source"),
            "hash" if statement.word(2) == "src" => Some("source"),
            "random" | "random(2)" => Some("random"),
            _ if algorithm.starts_with("random(") => {
                report
                    .note(statement, "the better of two servers is taken, as HAProxy does without a number");
                Some("random")
            }
            _ => {
                report.left(
                    statement,
                    "there are roundrobin, leastconn, first, source and random; roundrobin is written",
                );
                None
            }
        };
    }

    fn use_backend(&mut self, statement: &Statement, report: &mut Report) {
        let name = statement.word(1);
        if statement.words.len() == 2 && !name.contains("%[") {
            if !std::mem::replace(&mut self.unconditional, true) {
                self.settings.backend = Some(statement.clone());
            }
            return;
        }
        report.left(
            statement,
            "no rules choose a backend here; make it a service with a listener of its own, or keep HAProxy for this choice",
        );
        self.chosen.push(name.to_owned());
    }

    fn option(&mut self, statement: &Statement, at: usize, report: &mut Report) {
        let settings = &mut self.settings;
        match statement.word(at) {
            "redispatch" => {
                settings.redispatch = true;
                if !matches!(statement.word(at + 1), "" | "-1") {
                    report.note(statement, "another server is tried at the last retry");
                }
            }
            "tcp-check" => settings.probe = Probe::Rules,
            "redis-check" => settings.probe = Probe::Redis,
            name => {
                settings.tcplog |= name == "tcplog";
                if tables::is_check(name) {
                    settings.probe = Probe::Connect;
                }
                match tables::option(name) {
                    Some(fate) => told(fate, statement, report),
                    None => report.left(statement, format!("{name} is no option that is known here")),
                }
            }
        }
    }

    fn no_option(&mut self, name: &str) {
        match name {
            "redispatch" => self.settings.redispatch = false,
            "tcplog" => self.settings.tcplog = false,
            "tcp-check" | "redis-check" => self.settings.probe = Probe::Connect,
            _ => {}
        }
    }

    /// Rules about connections: those that keep somebody out must not be lost in silence.
    fn tcp_request(&mut self, statement: &Statement, report: &mut Report) {
        match statement.word(2) {
            "reject" | "silent-drop" | "tarpit" | "deny" => {
                report.left(
                    statement,
                    "a rule that keeps clients out, and there are no ACLs here: its service is written as a comment, so \
                     that nothing is open that was closed. Let a firewall (nftables, IPAddressAllow= in the unit) keep \
                     them out, then take the comment signs away",
                );
                self.settings.guarded = Some(statement.clone());
            }
            "accept" => report.note(statement, "it matters only beside rules that keep clients out"),
            "expect-proxy" => {
                report.left(
                    statement,
                    "write accept_proxy = [...] with the addresses that may send a PROXY header",
                );
            }
            _ => report.left(statement, "there are no rules about connections here"),
        }
    }
}

fn number(statement: &Statement, number: &mut Option<u32>, report: &mut Report) {
    match count(statement.word(1)) {
        Some(read) => *number = Some(read),
        None => report.left(statement, format!("{:?} is no number", statement.word(1))),
    }
}

/// Where the log goes.
pub(super) fn log(statement: &Statement, report: &mut Report) {
    let to = statement.word(1);
    if to == "global" {
        return;
    }
    if to.starts_with('/') || matches!(to, "stdout" | "stderr") || to.starts_with("fd@") {
        report.note(
            statement,
            "the log goes to standard error, which the service manager passes to the journal",
        );
    } else {
        report.left(statement, "the log goes to standard error and so to the journal; let that send it on");
    }
}

/// Does with a line what a table says.
pub(super) fn told(fate: Fate, statement: &Statement, report: &mut Report) {
    match fate {
        Fate::Needless => {}
        Fate::Note(why) => report.note(statement, why),
        Fate::Left(why) | Fate::Bars(why) => report.left(statement, why),
    }
}
