//! The section global.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::bind;
use super::proxy::{log, told};
use super::report::{Report, Statement};
use super::tables;
use super::values::{count, span};
use super::words::Parameters;

/// What concerns the whole process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Global {
    pub(super) maxconn: Option<(u32, Statement)>,
    pub(super) drain: Option<Duration>,
    /// Where the control socket is.
    pub(super) control: Option<String>,
    pub(super) unix: bind::Options,
    /// The DNS servers of each section resolvers.
    pub(super) resolvers: BTreeMap<String, Vec<SocketAddr>>,
    /// Variables that the file sets itself; `None` takes one away.
    pub(super) environment: BTreeMap<String, Option<String>>,
}

impl Global {
    /// Reads a line of it.
    pub(super) fn read(&mut self, statement: &Statement, report: &mut Report) {
        match (statement.word(0), statement.word(1)) {
            ("maxconn", number) => match count(number) {
                Some(number) => self.maxconn = Some((number, statement.clone())),
                None => report.left(statement, format!("{number:?} is no number")),
            },
            ("hard-stop-after", text) => match span(text) {
                Some(span) => self.drain = Some(span),
                None => report.left(statement, format!("{text:?} is no time span")),
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
            ("log", _) => log(statement, report),
            (first, second) => match tables::global(first, second) {
                Some(fate) => told(fate, statement, report),
                None => report.left(statement, format!("{first} is no global keyword that is known here")),
            },
        }
    }

    fn control(&mut self, statement: &Statement, report: &mut Report) {
        if self.control.is_some() {
            report.left(statement, "there is one control socket, the first");
            return;
        }
        // The prefix of unix-bind is not for it.
        let mut options = bind::Options::default();
        bind::options(&mut options, Parameters::new(statement, 3), report);
        match options.at(statement.word(2)) {
            Ok(address) if address.starts_with('/') && !options.is_for_admins => report.left(
                statement,
                "whoever reaches the control socket here may do all, as with level admin; write control = \
                 \"PATH?mode=0600\" with those who may, and for those who may only look http = \"127.0.0.1:PORT\"",
            ),
            Ok(address) if address.starts_with('/') => self.control = Some(address),
            Ok(_) => report.left(
                statement,
                "the control socket is a UNIX socket: control = \"/run/dormouse/control.sock\"; what is to be seen from \
                 elsewhere is on the page (http = \"127.0.0.1:PORT\")",
            ),
            Err(why) => report.left(statement, why),
        }
    }
}
