//! The global section.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::bind;
use crate::log;
use crate::parameters::Parameters;
use crate::report::{Report, Statement};
use crate::unsupported;
use crate::values::{parse_count, parse_span};

/// The settings of the whole process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Global {
    pub(crate) maxconn: Option<(u32, Statement)>,
    pub(crate) drain: Option<Duration>,
    /// The address of the control socket.
    pub(crate) control: Option<String>,
    pub(crate) unix: bind::BindOptions,
    /// The name servers of each resolvers section.
    pub(crate) resolvers: BTreeMap<String, Vec<SocketAddr>>,
    /// The variables that the file sets; `None` unsets one.
    pub(crate) environment: BTreeMap<String, Option<String>>,
}

impl Global {
    /// Reads a line of the section.
    pub(crate) fn read(&mut self, statement: &Statement, report: &mut Report) {
        match (statement.word(0), statement.word(1)) {
            ("maxconn", number) => match parse_count(number) {
                Some(number) => self.maxconn = Some((number, statement.clone())),
                None => report.omit(statement, format!("not a number: {number}")),
            },
            ("hard-stop-after", text) => match parse_span(text) {
                Some(span) => self.drain = Some(span),
                None => report.omit(
                    statement,
                    format!("not a time span: {text}; write for example 5s, or 5000 for milliseconds"),
                ),
            },
            ("stats", "socket") => self.control(statement, report),
            ("unix-bind", _) => bind::options(&mut self.unix, Parameters::new(statement, 1), report),
            ("setenv", name) => {
                self.environment.insert(name.to_owned(), Some(statement.word(2).to_owned()));
            }
            ("presetenv", name) => {
                if std::env::var_os(name).is_none() {
                    self.environment.insert(name.to_owned(), Some(statement.word(2).to_owned()));
                }
            }
            ("unsetenv", _) => {
                self.environment.extend(statement.from(1).iter().map(|name| (name.clone(), None)));
            }
            ("log", _) => log::report_target(statement, report),
            (first, second) => match unsupported::global(first, second) {
                Some(disposition) => report.apply(statement, disposition),
                None => report.omit(statement, format!("unknown global keyword: {first}")),
            },
        }
    }

    fn control(&mut self, statement: &Statement, report: &mut Report) {
        if self.control.is_some() {
            report.omit(statement, "dormouse has one control socket; the first one is used");
            return;
        }
        // The prefix of unix-bind does not apply to the control socket.
        let mut options = bind::BindOptions::default();
        bind::options(&mut options, Parameters::new(statement, 3), report);
        match options.control_address(statement.word(2)) {
            Ok(address) if address.starts_with('/') && !options.admin_level => report.omit(
                statement,
                "every client of the control socket has full rights, as with level admin; write control = \
                 \"PATH?mode=0600\" for administrators, and http = \"127.0.0.1:PORT\" for read-only access",
            ),
            Ok(address) if address.starts_with('/') => {
                let path = statement.word(2).trim_start_matches("unix@");
                report.note(
                    statement,
                    format!("the directory of the socket must exist; call dormouse status --control={path}"),
                );
                self.control = Some(address);
            }
            Ok(_) => report.omit(
                statement,
                "the control socket must be a UNIX socket: control = \"/run/dormouse/control.sock\"; for status over TCP \
                 write http = \"127.0.0.1:PORT\"",
            ),
            Err(reason) => report.omit(statement, reason),
        }
    }
}
