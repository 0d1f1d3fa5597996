//! `dormouse status`: shows services and their states.

use std::ffi::OsString;
use std::fmt::{self, Write as _};
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::ExitCode;
use std::slice;
use std::time::Duration;

use dormouse_core::getopt::{Arg, OptSpec, Tier};
use dormouse_log::json_escaped;
use serde_json::Value;

use super::flags::{self, Definition, Stop};
use super::out;
use dormouse_client::fields::{list, next, number, span, standing, text};
use dormouse_client::{Client, ClientError};

/// A flag of `dormouse status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StatusFlag {
    Control,
    Json,
    Watch,
    Help,
}

const fn flag(
    flag: StatusFlag,
    long: &'static str,
    help: &'static [&'static str],
    manual: &'static str,
) -> Definition<StatusFlag> {
    let spec = OptSpec { short: None, long, arg: Arg::No, tier: Tier::Extension };
    Definition { flag, spec, value: "", help, manual }
}

/// The flags of `dormouse status`.
pub(crate) const STATUS: &[Definition<StatusFlag>] = &[
    flags::for_control(StatusFlag::Control),
    flag(
        StatusFlag::Json,
        "json",
        &["Print everything as JSON"],
        "Print everything as one JSON object, with the process and the services.",
    ),
    flag(
        StatusFlag::Watch,
        "watch",
        &["Repeat every second until interrupted"],
        "Repeat every second until interrupted.",
    ),
    flags::for_help(StatusFlag::Help),
];

/// The interval of `--watch`.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

pub(super) fn run(args: impl Iterator<Item = OsString>) -> ExitCode {
    let (mut control, mut json, mut watch) = (None, false, false);
    let names = flags::read("dormouse status", STATUS, args, |flag, value| {
        match flag {
            StatusFlag::Control => control = Some(PathBuf::from(value)),
            StatusFlag::Json => json = true,
            StatusFlag::Watch => watch = true,
            StatusFlag::Help => return Err(Stop::Help),
        }
        Ok(())
    });
    let names: Vec<String> = match names {
        Ok(names) => names.iter().map(|name| name.to_string_lossy().into_owned()).collect(),
        Err(stop) => return stop.exit(&help()),
    };
    show(control, &names, json, watch).unwrap_or_else(out::fail)
}

fn show(
    control: Option<PathBuf>,
    names: &[String],
    json: bool,
    watch: bool,
) -> Result<ExitCode, StatusError> {
    let client = Client::new(control)?;
    let mut missing = None;
    loop {
        let mut status = client.ask_json("show services json")?;
        // A service that disappears during --watch is not an error.
        let missing = missing.get_or_insert_with(|| missing_in(&status, names));
        if watch && !missing.is_empty() {
            return Err(StatusError::Missing(std::mem::take(missing)));
        }
        let text = if json {
            keep(&mut status, names);
            format!("{}\n", json_escaped(&status.to_string()))
        } else {
            table(&status, names)
        };
        if !watch {
            let code = out::print(text);
            return if missing.is_empty() {
                Ok(code)
            } else {
                Err(StatusError::Missing(std::mem::take(missing)))
            };
        }
        let written = if json { out::write_document(text) } else { out::write_again(text) };
        match written {
            Ok(()) => {}
            // The reader closed the pipe.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
            Err(error) => return Ok(out::unwritten(&error)),
        }
        std::thread::sleep(WATCH_INTERVAL);
    }
}

/// The reason why the output is incomplete.
enum StatusError {
    Client(ClientError),
    /// These names do not exist.
    Missing(Vec<String>),
}

impl From<ClientError> for StatusError {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

impl fmt::Display for StatusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(error) => error.fmt(f),
            Self::Missing(names) => {
                let names: Vec<_> = names.iter().map(|name| no_such(name)).collect();
                f.write_str(&names.join("\n"))
            }
        }
    }
}

/// Returns the message for a name that does not exist.
pub(super) fn no_such(name: &str) -> String {
    let what = if name.contains('/') { "server" } else { "service" };
    format!("No such {what}: {name}; dormouse status shows the names.")
}

/// Returns whether the names select the server or its service. Without names everything is selected.
fn is_meant(names: &[String], service: &Value, server: &Value) -> bool {
    let (service, server) = (text(service, "name"), text(server, "name"));
    names.is_empty() || names.iter().any(|name| *name == service || *name == format!("{service}/{server}"))
}

/// Returns the names that do not exist.
fn missing_in(status: &Value, names: &[String]) -> Vec<String> {
    let means = |name: &&String| {
        list(status, "services").iter().any(|service| {
            list(service, "servers").iter().any(|server| is_meant(slice::from_ref(*name), service, server))
        })
    };
    names.iter().filter(|name| !means(name)).cloned().collect()
}

/// Removes everything that the names do not select.
fn keep(status: &mut Value, names: &[String]) {
    let Some(Value::Array(services)) = status.get_mut("services") else { return };
    services.retain_mut(|service| {
        let whole = service.clone();
        let Some(Value::Array(servers)) = service.get_mut("servers") else { return false };
        servers.retain(|server| is_meant(names, &whole, server));
        !servers.is_empty()
    });
}

/// Returns the table: a line for each service, and for each server if there are several.
fn table(status: &Value, names: &[String]) -> String {
    let head = ["SERVICE", "STATE", "SINCE", "SESSIONS", "WAITING", "LAST START", "NEXT"];
    let mut rows: Vec<[String; 7]> = vec![head.map(str::to_owned)];
    for service in list(status, "services") {
        let servers = list(service, "servers");
        let alone = if let [server] = servers { Some(server) } else { None };
        let mut meant = servers.iter().filter(|server| is_meant(names, service, server)).peekable();
        if meant.peek().is_none() {
            continue;
        }
        rows.push([
            text(service, "name"),
            standing(service, alone),
            span(number(service, "since_seconds")),
            number(service.get("sessions").unwrap_or(&Value::Null), "current").to_string(),
            number(service, "waiting").to_string(),
            alone.map(last_start).unwrap_or_default(),
            alone.map(next).unwrap_or_default(),
        ]);
        if alone.is_some() {
            continue;
        }
        let is_vacant = |server: &&Value| text(server, "state") == "vacant";
        let (vacant, taken): (Vec<_>, Vec<_>) = meant.partition(is_vacant);
        let shown = if vacant.len() > 1 { &[][..] } else { &vacant };
        rows.extend(taken.iter().chain(shown).map(|server| {
            [
                format!("  {}", text(server, "name")),
                standing(server, Some(server)),
                server
                    .get("since_seconds")
                    .map(|_| span(number(server, "since_seconds")))
                    .unwrap_or_default(),
                number(server.get("sessions").unwrap_or(&Value::Null), "current").to_string(),
                number(server, "waiting").to_string(),
                last_start(server),
                next(server),
            ]
        }));
        if vacant.len() > 1 {
            let mut row = <[String; 7]>::default();
            row[0] = format!("  ({} vacant)", vacant.len());
            rows.push(row);
        }
    }
    aligned(&rows)
}

fn aligned(rows: &[[String; 7]]) -> String {
    let mut widths = [0; 7];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> =
            row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}", cells.join("  ").trim_end());
    }
    text
}

fn last_start(server: &Value) -> String {
    let took = server.get("cold_start_seconds").and_then(Value::as_f64);
    took.map(|took| format!("{took:.3} s")).unwrap_or_default()
}

fn help() -> String {
    format!(
        "dormouse status [OPTIONS...] [NAME...]\n\n\
         Show the services: their states and since when, sessions, waiting clients, and what happens next.\n\
         A NAME is a service, or SERVICE/SERVER.\n\n\
         {}\n\
         See dormouse-status(8).\n",
        flags::help(STATUS)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn vacant_slots_stand_in_one_line_unless_they_are_asked_for() {
        let vacant = |number| json!({ "name": format!("s-{number}"), "state": "vacant", "admin": "maint" });
        let mut servers: Vec<Value> = (2..30).map(vacant).collect();
        servers.push(json!({ "name": "s-1", "state": "maint", "admin": "maint" }));
        let web = json!({ "name": "web", "state": "maint", "servers": servers });
        let one = json!({ "name": "one", "state": "vacant", "servers": [vacant(1)] });
        let status = json!({ "services": [web, one] });
        let expected = "\
SERVICE      STATE   SINCE  SESSIONS  WAITING  LAST START  NEXT
web          maint   0s     0         0
  s-1        maint          0         0
  (28 vacant)
one          vacant  0s     0         0
";
        let aligned = |text: &str| -> Vec<String> {
            text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
        };
        assert_eq!(aligned(&table(&status, &[])), aligned(expected));
        let named = table(&status, &["web/s-7".to_owned()]);
        assert_eq!(aligned(&named).last().map(String::as_str), Some("s-7 vacant 0 0"));
    }

    #[test]
    fn a_line_for_each_service_and_for_each_of_several_servers() {
        let mut status = json!({ "services": [
            { "name": "web", "state": "idle", "since_seconds": 75, "waiting": 0, "sessions": { "current": 0 },
              "servers": [{ "name": "server1", "state": "idle", "admin": "ready", "cold_start_seconds": 0.8123,
                            "next": "freezes", "next_seconds": 45 }] },
            { "name": "two", "state": "ready", "since_seconds": 3600, "waiting": 1, "sessions": { "current": 3 },
              "servers": [{ "name": "a", "state": "ready", "admin": "ready", "next": "stops", "next_seconds": null },
                          { "name": "b", "state": "stopped", "admin": "drain" },
                          { "name": "c", "state": "stopped", "admin": "ready" },
                          { "name": "d", "state": "idle", "admin": "ready", "next": "stops", "next_seconds": 0 }] },
        ] });
        let expected = "\
SERVICE  STATE           SINCE     SESSIONS  WAITING  LAST START  NEXT
web      idle            1min 15s  0         0        0.812 s     freezes in 45s
two      ready           1h        3         1
  a      ready                     0         0                    stops after the last session
  b      stopped, drain            0         0
  c      stopped                   0         0                    starts for a client
  d      idle                      0         0                    stops in <1s
";
        assert_eq!(table(&status, &[]), expected);
        let lines = |names: &[&str]| -> Vec<String> {
            let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
            let table = table(&status, &names);
            table
                .lines()
                .skip(1)
                .filter_map(|line| line.split("  ").find(|word| !word.is_empty()))
                .map(str::to_owned)
                .collect()
        };
        assert_eq!(lines(&["two"]), ["two", "a", "b", "c", "d"]);
        assert_eq!(lines(&["two/b"]), ["two", "b"]);
        assert_eq!(lines(&["web/server1"]), ["web"]);
        assert_eq!(lines(&["wbe", "two/e"]), [] as [&str; 0]);
        let names = ["web", "wbe", "two/b", "two/e"].map(str::to_owned);
        assert_eq!(missing_in(&status, &names), ["wbe", "two/e"]);
        keep(&mut status, &["two/b".to_owned()]);
        let [two] = list(&status, "services") else { panic!("{status}") };
        assert_eq!(list(two, "servers").len(), 1);
        keep(&mut status, &["two".to_owned()]);
        assert_eq!(list(&status, "services").len(), 1);
    }
}
