//! Answers commands in pieces, so that a long answer does not delay sessions.

use std::fmt::Write as _;

use dormouse_core::control::{
    Command, CommandError, CommandHelp, HELP, OutputFormat, ProxyId, SessionQuery, StatFilter,
};

use super::running::{Running, service};
use super::{explain, info, servers_state, services, session_list, stat, steer};

/// The number of services per piece.
const MAX_SERVICES: usize = 8;

/// The rest of an answer.
#[derive(Debug)]
pub(super) enum Answer {
    /// The whole answer.
    Complete(String),
    /// A list of services from this index on.
    Services { what: Listing, at: usize, first: bool },
    /// The list of sessions after this one.
    Sessions { all: bool, after: u64 },
    /// The sessions that are still to be ended, without output.
    Shutdown(steer::Shutdown),
    /// The end.
    Done,
}

/// The kind of a list of services.
#[derive(Debug)]
pub(super) enum Listing {
    Stat(OutputFormat, StatFilter),
    ServersState(Option<String>),
    Json,
    Lines,
}

/// Executes a command and returns the beginning of its answer.
pub(super) fn answer(running: &Running, command: Result<Command, CommandError>) -> Answer {
    let command = match command {
        Ok(command) => command,
        Err(CommandError::Unknown(text)) => return Answer::Complete(unknown(&text)),
        Err(error) => return Answer::Complete(format!("{error}\n")),
    };
    let services = |what| Answer::Services { what, at: 0, first: true };
    Answer::Complete(match command {
        Command::ShowStat(form, rows) => return stat_of(running, form, rows),
        Command::ShowServersState(Some(name)) if service(&running.services(), &name).is_none() => {
            "Can't find backend.\n".to_owned()
        }
        Command::ShowServersState(name) => return services(Listing::ServersState(name)),
        Command::ShowServices { json: true } => return services(Listing::Json),
        Command::ShowServices { json: false } => return services(Listing::Lines),
        Command::ShowSessions(SessionQuery::Summary) => return Answer::Sessions { all: false, after: 0 },
        Command::ShowSessions(SessionQuery::Details) => return Answer::Sessions { all: true, after: 0 },
        Command::ShowSessions(SessionQuery::One(id)) => {
            match running.sessions().and_then(|sessions| sessions.get(id)) {
                Some(entry) => {
                    let mut text = String::new();
                    session_list::dump(&entry, &mut text);
                    text
                }
                None => "Session not found.\n".to_owned(),
            }
        }
        Command::ShowInfo(form) => info::info(running, form),
        Command::ShowBackends => {
            let names: Vec<String> =
                running.services().iter().map(|service| format!("{}\n", service.name)).collect();
            format!("# name\n{}", names.concat())
        }
        Command::ShowVersion => format!("{}\n", env!("CARGO_PKG_VERSION")),
        Command::ShowErrors => "Total events captured: 0\n".to_owned(),
        Command::Explain(selector) => explain::explain(running, &selector),
        Command::Workload(what, selector) => steer::steer(running, what, &selector),
        Command::SetState(name, admin) => steer::set_state(running, &name, admin),
        Command::SetWeight(name, weight) => steer::set_weight(running, &name, weight),
        Command::GetWeight(name) => steer::weight(running, &name),
        Command::SetMaxconnFrontend(name, value) => steer::set_maxconn(running, &name, value),
        Command::SetMaxconnServer(name, value) => steer::set_server_maxconn(running, &name, value),
        Command::ShutdownSession(id) => steer::shutdown_session(running, id),
        Command::ShutdownSessions(name) => match steer::Shutdown::of(running, name) {
            Ok(shutdown) => return Answer::Shutdown(shutdown),
            Err(missing) => format!("{}\n", missing.text()),
        },
        Command::ClearCounters => {
            running.stats.reset_max();
            for service in running.services().iter() {
                service.stats().reset_max();
                for wakeable in service.servers().filter_map(|server| server.wakeable()) {
                    wakeable.counters.reset_max(wakeable.load().1);
                }
            }
            String::new()
        }
        Command::Help(about) => help(about.as_deref()),
        // The connection handles these.
        Command::SetTimeout(_) | Command::Prompt | Command::Quit => String::new(),
    })
}

fn stat_of(running: &Running, form: OutputFormat, rows: StatFilter) -> Answer {
    if let Some(ProxyId::Name(name)) = &rows.proxy {
        if service(&running.services(), name).is_none() {
            return Answer::Complete("No such proxy.\n".to_owned());
        }
    }
    Answer::Services { what: Listing::Stat(form, rows), at: 0, first: true }
}

impl Answer {
    /// Returns the next piece; `None` after the last.
    pub(super) fn next(&mut self, running: &Running) -> Option<String> {
        match std::mem::replace(self, Self::Done) {
            Self::Done => None,
            Self::Complete(text) => Some(text),
            Self::Sessions { all, after } => {
                let (text, last) = session_list::piece(running, after, all)?;
                *self = Self::Sessions { all, after: last };
                Some(text)
            }
            Self::Shutdown(mut shutdown) => {
                if shutdown.go_on(running) {
                    *self = Self::Shutdown(shutdown);
                }
                Some(String::new())
            }
            Self::Services { what, at, first } => Some(self.services(running, what, at, first)),
        }
    }

    fn services(&mut self, running: &Running, what: Listing, at: usize, mut first: bool) -> String {
        let services = running.services();
        let mut text = if at == 0 { begin(running, &what) } else { String::new() };
        for (number, service) in services.iter().enumerate().skip(at).take(MAX_SERVICES) {
            match &what {
                Listing::Stat(form, rows) => {
                    for row in stat::service(service, number, rows) {
                        row.write(*form, first, &mut text);
                        first = false;
                    }
                }
                Listing::ServersState(name) => {
                    if name.as_ref().is_none_or(|name| *name == service.name) {
                        servers_state::servers(service, number, &mut text);
                    }
                }
                Listing::Json => {
                    // Writing to a String cannot fail.
                    let _ = write!(text, "{}{}", if first { "" } else { "," }, services::json(service));
                    first = false;
                }
                Listing::Lines => services::line(service, &mut text),
            }
        }
        if at + MAX_SERVICES < services.len() {
            *self = Self::Services { what, at: at + MAX_SERVICES, first };
        } else {
            text.push_str(match &what {
                Listing::Stat(OutputFormat::Json, _) => "]\n",
                Listing::Json => "]}\n",
                _ => "",
            });
        }
        text
    }
}

fn begin(running: &Running, what: &Listing) -> String {
    match what {
        Listing::Stat(OutputFormat::Plain, _) => stat::header(),
        Listing::Stat(OutputFormat::Json, _) => "[".to_owned(),
        Listing::Stat(OutputFormat::Typed, _) => String::new(),
        Listing::ServersState(_) => servers_state::HEAD.to_owned(),
        Listing::Json => format!("{{\"process\":{},\"services\":[", services::process(running)),
        Listing::Lines => services::HEAD.to_owned(),
    }
}

/// Returns the help of commands that begin with the text, or else of those with the same first word, and of the basic
/// ones.
fn matching(text: &str) -> Vec<String> {
    let (always, others): (Vec<&CommandHelp>, Vec<&CommandHelp>) =
        HELP.iter().partition(|usage| ["help", "prompt", "quit"].contains(&word(usage.syntax)));
    let begin = |usage: &&&CommandHelp| !text.is_empty() && usage.syntax.starts_with(text);
    let mut found: Vec<_> = others.iter().filter(begin).collect();
    if found.is_empty() {
        found = others.iter().filter(|usage| word(usage.syntax) == word(text)).collect();
    }
    found.into_iter().chain(&always).map(|usage| line(usage)).collect()
}

fn word(text: &str) -> &str {
    text.split_whitespace().next().unwrap_or_default()
}

fn line(usage: &CommandHelp) -> String {
    format!("  {:40}: {}\n", usage.syntax, usage.description)
}

fn all() -> String {
    HELP.iter().map(line).collect::<Vec<_>>().concat()
}

fn help(about: Option<&str>) -> String {
    let commands = about.map_or_else(all, |about| matching(about).concat());
    format!("The following commands are valid at this level:\n{commands}")
}

fn unknown(text: &str) -> String {
    let found = matching(text);
    if text.is_empty() || found.len() <= 3 {
        format!("Unknown command. Please enter one of the following commands only:\n{}", all())
    } else {
        format!("Unknown command, but maybe one of the following ones is a better match:\n{}", found.concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_command_is_answered_by_similar_ones() {
        assert!(unknown("").starts_with("Unknown command. Please enter"));
        assert!(unknown("nonsense").starts_with("Unknown command. Please enter"));
        let show = unknown("show nothing");
        assert!(show.starts_with("Unknown command, but maybe") && show.contains("show stat"), "{show}");
        assert!(!show.contains("\n  wake "), "{show}");
        let one = help(Some("show stat"));
        assert_eq!(one.lines().count(), 5, "{one}");
        assert!(help(None).contains("  prompt "));
    }
}
