//! Services from sections: a frontend with its backend, or a listen section, is a service.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::time::Duration;

use dormouse_core::address::Target;

use super::bind::{Address, Bind};
use super::global::Global;
use super::proxy::{Kind, Mode, Section};
use super::report::{Report, Statement};
use super::server::{Place, Server};
use super::values::{Table, quoted};

/// The file: what stands at its top, and the services.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct File {
    pub(super) top: Table,
    pub(super) services: Vec<Service>,
}

/// A service, in TOML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Service {
    pub(super) name: String,
    /// It is written as a comment.
    pub(super) guarded: bool,
    pub(super) keys: Table,
    pub(super) servers: Vec<Table>,
}

pub(super) fn build(global: &Global, sections: &[Section], report: &mut Report) -> File {
    let mut file = File::default();
    file.top.text("control", global.control.as_deref());
    file.top.span("drain_timeout", global.drain);
    let mut tcplog = false;
    let (mut names, mut used, mut together) = (HashSet::new(), HashSet::new(), 0);
    for front in sections.iter().filter(|section| section.kind != Kind::Backend) {
        if !front.is_whole(report) {
            continue;
        }
        let Some(back) = behind(front, sections, report) else { continue };
        used.insert(&back.name);
        let builder = Builder { global, front, back };
        let Some(mut service) = builder.service(report) else { continue };
        tcplog |= front.settings.tcplog;
        together += builder.maxconn().map_or(0, u64::from);
        service.name = named(&front.name, &mut names, &front.statement, report);
        file.services.push(service);
    }
    file.top.text("log", tcplog.then_some("tcplog"));
    if let Some((limit, statement)) = &global.maxconn {
        if *limit > 0 && together > u64::from(*limit) {
            let why = format!(
                "it is for all together in HAProxy, and for each service here; all together may have {together} sessions"
            );
            report.note(statement, why);
        }
    }
    for back in
        sections.iter().filter(|section| section.kind == Kind::Backend && !used.contains(&section.name))
    {
        if !back.is_whole(report) {
            continue;
        }
        if sections.iter().any(|front| front.chosen.contains(&back.name)) {
            report.left_section(&back.statement, back.last, "only rules choose it, which are left out");
        } else {
            report.note_section(&back.statement, back.last, "no frontend that is taken over goes there");
        }
    }
    file
}

impl Section {
    pub(super) fn is_tcp(&self) -> bool {
        self.settings.mode == Mode::Tcp
    }

    /// Whether it serves, and bytes; otherwise that is told.
    fn is_whole(&self, report: &mut Report) -> bool {
        if self.settings.disabled {
            report.note_section(&self.statement, self.last, "it is disabled");
            return false;
        }
        if let Mode::Other(mode) = &self.settings.mode {
            let why = format!(
                "mode {mode} is not for dormouse, which passes bytes on as mode tcp does; if no line of it needs more, write \
                 mode tcp and convert again"
            );
            report.left_section(&self.statement, self.last, why);
            return false;
        }
        true
    }
}

/// The section with the servers.
fn behind<'a>(front: &'a Section, sections: &'a [Section], report: &mut Report) -> Option<&'a Section> {
    let left = |report: &mut Report, why: String| {
        report.left_section(&front.statement, front.last, why);
        None
    };
    let Some(chosen) = &front.settings.backend else {
        return match front.kind {
            Kind::Listen => Some(front),
            _ => left(report, "no default_backend says where its clients go".to_owned()),
        };
    };
    let name = chosen.word(1);
    let with_servers = |section: &&Section| section.kind != Kind::Frontend && section.name == name;
    match sections.iter().find(with_servers) {
        None => left(report, format!("there is no backend {}", quoted(name))),
        Some(back) if back.settings.disabled || !back.is_tcp() => {
            left(report, format!("its backend {name} is left out, too"))
        }
        back => back,
    }
}

/// A name that a service or server can have, and no other has.
fn named(name: &str, taken: &mut HashSet<String>, statement: &Statement, report: &mut Report) -> String {
    const LONGEST: usize = 56;
    let fit =
        |letter: char| if letter.is_ascii_alphanumeric() || "-_.".contains(letter) { letter } else { '_' };
    let plain: String = name.chars().map(fit).take(LONGEST).collect();
    let plain = match plain.chars().next() {
        None => "unnamed".to_owned(),
        Some('.' | '-') => format!("_{plain}"),
        Some(_) => plain,
    };
    let mut chosen = plain.clone();
    let mut number = 2u64;
    while !taken.insert(chosen.clone()) {
        chosen = format!("{plain}-{number}");
        number += 1;
    }
    if chosen != name {
        report.note(statement, format!("it is called {chosen} here"));
    }
    chosen
}

struct Builder<'a> {
    global: &'a Global,
    front: &'a Section,
    back: &'a Section,
}

impl Builder<'_> {
    fn service(&self, report: &mut Report) -> Option<Service> {
        let Self { global, front, back } = self;
        let left = |report: &mut Report, why: &str| {
            report.left_section(&front.statement, front.last, why);
            None
        };
        let binds = self.binds(report);
        if binds.is_empty() {
            return left(report, "none of its listeners could be taken over, and so it is left out");
        }
        let servers = self.servers(&binds, report);
        if servers.is_empty() {
            return left(report, "none of its servers could be taken over, and so it is left out");
        }
        let maxconn = self.maxconn();
        let mut keys = Table::default();
        let listen: Vec<_> = binds
            .iter()
            .flat_map(|bind| bind.listen(front.settings.backlog, maxconn))
            .map(|text| quoted(&text))
            .collect();
        match listen.as_slice() {
            [one] => keys.put("listen", one.clone()),
            several => keys.put("listen", format!("[{}]", several.join(", "))),
        }
        let named = servers.iter().filter(|(server, _)| matches!(server.place, Place::Names(_)));
        let mut resolvers =
            named.filter_map(|(server, _)| global.resolvers.get(server.options.resolvers.as_ref()?));
        if let Some(servers) = resolvers.next().filter(|servers| !servers.is_empty()) {
            let servers: Vec<_> = servers.iter().map(|server| quoted(&server.to_string())).collect();
            keys.put("dns", format!("[{}]", servers.join(", ")));
        }
        let several =
            servers.len() > 1 || servers.iter().any(|(server, _)| matches!(server.place, Place::Names(_)));
        if several {
            keys.text("balance", Some(back.settings.balance.unwrap_or("roundrobin")));
        }
        keys.number("maxconn", maxconn);
        if binds.iter().any(|bind| bind.options.accept_proxy) {
            keys.put("accept_proxy", "true");
            for bind in &binds {
                report.note(
                    &bind.statement,
                    "everybody has to begin with a PROXY header; accept_proxy = [...] names those who may send one",
                );
            }
        }
        keys.text("proxy_protocol", servers.iter().find_map(|(server, _)| server.options.header));
        self.attempts(several, &mut keys);
        self.timeouts(&mut keys);
        self.queue(&servers, &mut keys, report);
        let servers = self.with_checks(&servers, &mut keys, report);
        let guarded = front.settings.guarded.is_some() || back.settings.guarded.is_some();
        Some(Service { name: String::new(), guarded, keys, servers })
    }

    /// The most sessions that it may have: its own limit, and that of all together.
    fn maxconn(&self) -> Option<u32> {
        let global = self.global.maxconn.as_ref().map(|(number, _)| *number);
        self.front.settings.maxconn.into_iter().chain(global).filter(|number| *number > 0).min()
    }

    /// The listeners that can be one service's.
    fn binds(&self, report: &mut Report) -> Vec<&Bind> {
        let binds = &self.front.binds;
        let accepts = binds.first().is_some_and(|bind| bind.options.accept_proxy);
        let (alike, others): (Vec<_>, Vec<_>) =
            binds.iter().partition(|bind| bind.options.accept_proxy == accepts);
        for other in others {
            report.left(
                &other.statement,
                "accept_proxy counts for all listeners of a service; make this one a service of its own",
            );
        }
        alike
    }

    /// The servers that can be taken over, and where they are.
    fn servers(&self, binds: &[&Bind], report: &mut Report) -> Vec<(&Server, String)> {
        let ports: HashSet<u16> = binds
            .iter()
            .flat_map(|bind| &bind.addresses)
            .filter_map(|address| if let Address::Tcp { port, .. } = address { Some(*port) } else { None })
            .collect();
        let port = ports.iter().next().copied().filter(|_| ports.len() == 1);
        let mut found: Vec<(&Server, String)> = Vec::new();
        for server in &self.back.servers {
            let options = &server.options;
            if let Some(why) = options.barred() {
                report.left(&server.statement, why);
                continue;
            }
            if found.first().is_some_and(|(first, _)| first.options.header != options.header) {
                report.left(
                    &server.statement,
                    "proxy_protocol counts for all servers of a service, and the first one differs",
                );
                continue;
            }
            let to = match &server.place {
                Place::Fixed(to) | Place::Names(to) => to.clone(),
                Place::Following { host, offset } => {
                    let number =
                        port.and_then(|port| u16::try_from(i32::from(port).checked_add(*offset)?).ok());
                    let Some(number) = number.filter(|number| *number > 0) else {
                        report.left(
                            &server.statement,
                            "its port follows that of the listener, of which there are several or none; write the port, and \
                             a service for each",
                        );
                        continue;
                    };
                    format!("{host}:{number}")
                }
            };
            let fixed = !matches!(server.place, Place::Names(_));
            if let Some(error) = Target::parse(OsStr::new(&to)).err().filter(|_| fixed) {
                report.left(&server.statement, format!("{to}: {error}"));
                continue;
            }
            let same_port = |port: u32| to.rsplit_once(':').is_some_and(|(_, own)| own == port.to_string());
            if options.checked && options.check_port.is_some_and(|port| !same_port(port)) {
                report.left(&server.statement, "port: a server is checked where it is served from");
            }
            found.push((server, to));
        }
        found
    }

    fn attempts(&self, several: bool, keys: &mut Table) {
        let settings = &self.back.settings;
        keys.number("retries", settings.retries);
        if several {
            keys.put("redispatch", settings.redispatch.to_string());
        }
    }

    fn timeouts(&self, keys: &mut Table) {
        // What goes beyond this is ended by dormouse's own half_close.
        const HALF_CLOSE: Duration = Duration::from_secs(60);
        let (front, back) = (&self.front.settings.timeouts, &self.back.settings.timeouts);
        let limited = |span: Option<Duration>| span.filter(|span| !span.is_zero());
        let mut table = Table::default();
        match back.connect {
            Some(Duration::ZERO) => table.text("connect", Some("infinity")),
            connect => table.span("connect", connect),
        }
        table.span("client", limited(front.client));
        table.span("server", limited(back.server));
        table.span("client_fin", limited(front.client_fin));
        table.span("server_fin", limited(back.server_fin));
        table.span("tunnel", limited(back.tunnel));
        let tunnel = limited(back.tunnel);
        let sides = [(front.client_fin, front.client), (back.server_fin, back.server)];
        let half_closed: Vec<_> = sides
            .iter()
            .filter(|(fin, _)| limited(*fin).is_none())
            .map(|(_, open)| limited(*open).max(tunnel))
            .collect();
        if half_closed.contains(&None) {
            table.text("half_close", Some("infinity"));
        } else {
            let longest = half_closed.into_iter().flatten().max();
            table.span("half_close", longest.filter(|longest| *longest > HALF_CLOSE));
        }
        if !table.is_empty() {
            keys.put("timeout", table.inline());
        }
    }

    /// Who waits for a server with room.
    fn queue(&self, servers: &[(&Server, String)], keys: &mut Table, report: &mut Report) {
        let timeouts = &self.back.settings.timeouts;
        let mut table = Table::default();
        if servers.iter().any(|(server, _)| server.options.maxconn.is_some_and(|number| number > 0)) {
            // Without a timeout of its own the queue has that of the connection.
            table.span("timeout", timeouts.queue.or(timeouts.connect).filter(|span| !span.is_zero()));
        }
        let limited =
            || servers.iter().filter(|(server, _)| server.options.maxqueue.is_some_and(|max| max > 0));
        let together =
            limited().fold(0u32, |sum, (server, _)| sum.saturating_add(server.options.maxqueue.unwrap_or(0)));
        if limited().count() == servers.len() {
            table.number("max", Some(together));
        } else {
            for (server, _) in limited() {
                report.left(
                    &server.statement,
                    "maxqueue: the queue is the service's, and other servers set no limit to it",
                );
            }
        }
        if !table.is_empty() {
            keys.put("queue", table.inline());
        }
    }

    /// The servers' tables. How servers are checked is the service's; each says whether it is.
    fn with_checks(
        &self,
        servers: &[(&Server, String)],
        keys: &mut Table,
        report: &mut Report,
    ) -> Vec<Table> {
        let settings = &self.back.settings;
        let checked = || servers.iter().map(|(server, _)| server).filter(|server| server.options.checked);
        if let Some(first) = checked().next() {
            let probe = settings.probe.table(&settings.rules, report);
            let check = |server: &Server| server.options.check(settings.timeouts.check, &probe);
            let rules = check(first);
            for server in checked().filter(|server| check(server) != rules) {
                report.left(
                    &server.statement,
                    format!("servers of a service are checked alike, here as {}", first.name),
                );
            }
            keys.put("check", rules.inline());
        }
        let any = checked().next().is_some();
        let mut names = HashSet::new();
        let table = |(server, to): &(&Server, String)| {
            let options = &server.options;
            if options.error_limit.is_some() && !options.observe {
                report.note(&server.statement, "error-limit counts only with observe, in HAProxy as well");
            }
            let mut table = Table::default();
            let name = named(&server.name, &mut names, &server.statement, report);
            table.text("name", Some(&name));
            table.text("to", Some(to));
            table.number("weight", options.weight);
            if options.backup {
                table.put("backup", "true");
            }
            table.number("maxconn", options.maxconn.filter(|number| *number > 0));
            if options.disabled {
                table.put("disabled", "true");
            }
            if any && !options.checked {
                table.put("check", "false");
            }
            table
        };
        servers.iter().map(table).collect()
    }
}
