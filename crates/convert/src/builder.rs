//! Builds one service from a frontend and its backend.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::time::Duration;

use dormouse_core::address::Target;
use dormouse_core::pool::Balance;

use crate::bind::{Address, Bind};
use crate::global::Global;
use crate::names;
use crate::report::Report;
use crate::section::Section;
use crate::server::Server;
use crate::server_address::ServerAddress;
use crate::values::{TomlTable, quoted};

/// A service in TOML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Service {
    pub(crate) name: String,
    /// Whether the service is written as a comment.
    pub(crate) commented_out: bool,
    pub(crate) keys: TomlTable,
    pub(crate) servers: Vec<TomlTable>,
}

/// The sections that become one service.
pub(crate) struct Builder<'a> {
    pub(crate) global: &'a Global,
    pub(crate) frontend: &'a Section,
    pub(crate) backend: &'a Section,
}

impl Builder<'_> {
    /// Returns the service without its name. Reports the frontend if no listener or no server can be converted.
    pub(crate) fn service(&self, report: &mut Report) -> Option<Service> {
        let Self { global, frontend, backend } = self;
        let omit = |report: &mut Report, reason: &str| {
            report.omit_section(&frontend.statement, frontend.last_line, reason);
            None
        };
        let binds = self.binds(report);
        if binds.is_empty() {
            return omit(report, "none of its listeners can be converted");
        }
        let servers = self.servers(&binds, report);
        if servers.is_empty() {
            return omit(report, "none of its servers can be converted");
        }
        let maxconn = self.maxconn();
        let mut keys = TomlTable::default();
        let listen: Vec<_> = binds
            .iter()
            .flat_map(|bind| bind.listen(frontend.settings.backlog, maxconn))
            .map(|text| quoted(&text))
            .collect();
        match listen.as_slice() {
            [one] => keys.put("listen", one.clone()),
            several => keys.put("listen", format!("[{}]", several.join(", "))),
        }
        let resolved =
            servers.iter().filter(|(server, _)| matches!(server.address, ServerAddress::Resolved(_)));
        let mut resolvers =
            resolved.filter_map(|(server, _)| global.resolvers.get(server.options.resolvers.as_ref()?));
        if let Some(servers) = resolvers.next().filter(|servers| !servers.is_empty()) {
            let servers: Vec<_> = servers.iter().map(|server| quoted(&server.to_string())).collect();
            keys.put("dns", format!("[{}]", servers.join(", ")));
        }
        let several = servers.len() > 1
            || servers.iter().any(|(server, _)| matches!(server.address, ServerAddress::Resolved(_)));
        if several {
            keys.text("balance", Some(backend.settings.balance.unwrap_or(Balance::RoundRobin).word()));
        }
        keys.number("maxconn", maxconn);
        if binds.iter().any(|bind| bind.options.accept_proxy) {
            keys.put("accept_proxy", "true");
            for bind in &binds {
                report.note(
                    &bind.statement,
                    "every client must send a PROXY header; accept_proxy = [...] limits this to the given addresses",
                );
            }
        }
        keys.text("proxy_protocol", servers.iter().find_map(|(server, _)| server.options.proxy_protocol));
        self.attempts(several, &mut keys);
        self.timeouts(&mut keys);
        self.queue(&servers, &mut keys, report);
        let servers = self.with_checks(&servers, &mut keys, report);
        let commented_out = frontend.settings.has_reject_rule || backend.settings.has_reject_rule;
        Some(Service { name: String::new(), commented_out, keys, servers })
    }

    /// Returns the session limit: the smaller of the limits of the frontend and of the process.
    pub(crate) fn maxconn(&self) -> Option<u32> {
        let global = self.global.maxconn.as_ref().map(|(number, _)| *number);
        self.frontend.settings.maxconn.into_iter().chain(global).filter(|number| *number > 0).min()
    }

    /// Returns the listeners with the same `accept_proxy` as the first one. Reports the others.
    fn binds(&self, report: &mut Report) -> Vec<&Bind> {
        let binds = &self.frontend.binds;
        let accept_proxy = binds.first().is_some_and(|bind| bind.options.accept_proxy);
        let (same, others): (Vec<_>, Vec<_>) =
            binds.iter().partition(|bind| bind.options.accept_proxy == accept_proxy);
        for other in others {
            report.omit(
                &other.statement,
                "accept_proxy applies to all listeners of a service; write a separate service for this listener",
            );
        }
        same
    }

    /// Returns the servers that can be converted, and their addresses. Reports the others.
    fn servers(&self, binds: &[&Bind], report: &mut Report) -> Vec<(&Server, String)> {
        let ports: HashSet<u16> = binds
            .iter()
            .flat_map(|bind| &bind.addresses)
            .filter_map(|address| if let Address::Tcp { port, .. } = address { Some(*port) } else { None })
            .collect();
        let port = ports.iter().next().copied().filter(|_| ports.len() == 1);
        let mut found: Vec<(&Server, String)> = Vec::new();
        for server in &self.backend.servers {
            let options = &server.options;
            if let Some(reason) = options.rejection() {
                report.omit(&server.statement, reason);
                continue;
            }
            if found.first().is_some_and(|(first, _)| first.options.proxy_protocol != options.proxy_protocol)
            {
                report.omit(
                    &server.statement,
                    "proxy_protocol applies to all servers of a service, and the first server has another setting",
                );
                continue;
            }
            let to = match &server.address {
                ServerAddress::Fixed(to) | ServerAddress::Resolved(to) => to.clone(),
                ServerAddress::ListenerPort { host, offset } => {
                    let number =
                        port.and_then(|port| u16::try_from(i32::from(port).checked_add(*offset)?).ok());
                    let Some(number) = number.filter(|number| *number > 0) else {
                        report.omit(
                            &server.statement,
                            "its port depends on the port of the listener, but the service has no single one; write the port, \
                             and a service for each listener",
                        );
                        continue;
                    };
                    format!("{host}:{number}")
                }
            };
            let fixed = !matches!(server.address, ServerAddress::Resolved(_));
            if let Some(error) = Target::parse(OsStr::new(&to)).err().filter(|_| fixed) {
                report.omit(&server.statement, format!("{to}: {error}"));
                continue;
            }
            let same_port = |port: u32| to.rsplit_once(':').is_some_and(|(_, own)| own == port.to_string());
            if options.checked && options.check_port.is_some_and(|port| !same_port(port)) {
                report.omit(&server.statement, "port: a check connects to the address of the server");
            }
            found.push((server, to));
        }
        found
    }

    /// Adds the keys for connection attempts.
    fn attempts(&self, several: bool, keys: &mut TomlTable) {
        let settings = &self.backend.settings;
        keys.number("retries", settings.retries);
        if several {
            keys.put("redispatch", settings.redispatch.to_string());
        }
    }

    /// Adds the table `timeout`.
    fn timeouts(&self, keys: &mut TomlTable) {
        // The default of half_close. Longer limits need the key.
        const DEFAULT_HALF_CLOSE: Duration = Duration::from_secs(60);
        let (frontend, backend) = (&self.frontend.settings.timeouts, &self.backend.settings.timeouts);
        let limited = |span: Option<Duration>| span.filter(|span| !span.is_zero());
        let mut table = TomlTable::default();
        match backend.connect {
            Some(Duration::ZERO) => table.text("connect", Some("infinity")),
            connect => table.span("connect", connect),
        }
        table.span("client", limited(frontend.client));
        table.span("server", limited(backend.server));
        table.span("client_fin", limited(frontend.client_fin));
        table.span("server_fin", limited(backend.server_fin));
        table.span("tunnel", limited(backend.tunnel));
        let tunnel = limited(backend.tunnel);
        let sides = [(frontend.client_fin, frontend.client), (backend.server_fin, backend.server)];
        let half_closed: Vec<_> = sides
            .iter()
            .filter(|(fin, _)| limited(*fin).is_none())
            .map(|(_, open)| limited(*open).max(tunnel))
            .collect();
        if half_closed.contains(&None) {
            table.text("half_close", Some("infinity"));
        } else {
            let longest = half_closed.into_iter().flatten().max();
            table.span("half_close", longest.filter(|longest| *longest > DEFAULT_HALF_CLOSE));
        }
        if !table.is_empty() {
            keys.put("timeout", table.inline());
        }
    }

    /// Adds the table `queue`.
    fn queue(&self, servers: &[(&Server, String)], keys: &mut TomlTable, report: &mut Report) {
        let timeouts = &self.backend.settings.timeouts;
        let mut table = TomlTable::default();
        if servers.iter().any(|(server, _)| server.options.maxconn.is_some_and(|number| number > 0)) {
            // HAProxy uses the connect timeout if there is no queue timeout.
            table.span("timeout", timeouts.queue.or(timeouts.connect).filter(|span| !span.is_zero()));
        }
        let limited =
            || servers.iter().filter(|(server, _)| server.options.maxqueue.is_some_and(|max| max > 0));
        let total =
            limited().fold(0u32, |sum, (server, _)| sum.saturating_add(server.options.maxqueue.unwrap_or(0)));
        if limited().count() == servers.len() {
            table.number("max", Some(total));
        } else {
            for (server, _) in limited() {
                report.omit(
                    &server.statement,
                    "maxqueue: the queue belongs to the service, and other servers set no limit",
                );
            }
        }
        if !table.is_empty() {
            keys.put("queue", table.inline());
        }
    }

    /// Adds the table `check` of the service and returns the tables of the servers.
    fn with_checks(
        &self,
        servers: &[(&Server, String)],
        keys: &mut TomlTable,
        report: &mut Report,
    ) -> Vec<TomlTable> {
        let settings = &self.backend.settings;
        let checked = || servers.iter().map(|(server, _)| server).filter(|server| server.options.checked);
        if let Some(first) = checked().next() {
            let method = settings.check_method.table(&settings.check_rules, report);
            let check = |server: &Server| server.options.check(settings.timeouts.check, &method);
            let first_check = check(first);
            for server in checked().filter(|server| check(server) != first_check) {
                report.omit(
                    &server.statement,
                    format!(
                        "all servers of a service share the check settings; those of {} are used",
                        first.name
                    ),
                );
            }
            keys.put("check", first_check.inline());
        }
        let any_checked = checked().next().is_some();
        let mut names = HashSet::new();
        let table = |(server, to): &(&Server, String)| {
            let options = &server.options;
            if options.error_limit.is_some() && !options.observe {
                report
                    .note(&server.statement, "error-limit has an effect only with observe, also in HAProxy");
            }
            let mut table = TomlTable::default();
            let name = names::unique(&server.name, &mut names, &server.statement, report);
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
            if any_checked && !options.checked {
                table.put("check", "false");
            }
            table
        };
        servers.iter().map(table).collect()
    }
}
