//! The configuration of `dormouse run` from its flags, and from the file that they name.

use std::ffi::OsString;
use std::path::PathBuf;

use dormouse_config::places::Places;
use dormouse_config::report::{Place, Report};
use dormouse_config::tree::{Node, Value};
use dormouse_config::{Environment, Overrides, ReadResult};
use dormouse_core::getopt::Getopt;

use super::flags::Definition;
use super::run_flags::{self, RunFlag};
use super::run_hints;

/// What the command line asks for.
#[derive(Debug)]
pub(super) enum Request {
    Help,
    /// Serve this configuration, which comes from this file if one was named.
    Serve(Box<ReadResult>, Option<PathBuf>),
}

/// Reads the arguments, and the file that they name.
pub(super) fn parse(args: impl Iterator<Item = OsString>, environment: Environment) -> Request {
    let args: Vec<OsString> = args.collect();
    let specs = run_flags::specs();
    let mut getopt = Getopt::new("dormouse run", &specs, args.clone());
    let mut given = Given::default();
    for option in getopt.by_ref() {
        match option {
            Ok(option) => {
                let Some(definition) = run_flags::by_index(option.index) else { continue };
                if definition.flag == RunFlag::Help {
                    return Request::Help;
                }
                given.take(definition, option.value.unwrap_or_default());
            }
            Err(error) => given.report.error(&Place::flag(""), run_hints::of_option(&error)),
        }
    }
    for word in getopt.positionals() {
        if let Some(message) = run_hints::of_word(&word.to_string_lossy(), &args) {
            given.report.error(&Place::flag(""), message);
        }
    }
    let file = given.config.clone();
    Request::Serve(Box::new(given.finish(environment)), file)
}

fn refuse(report: Report) -> ReadResult {
    ReadResult {
        result: Err(report.errors.in_order("errors")),
        warnings: report.warnings.in_order("warnings"),
        places: Places::default(),
    }
}

/// The settings that the flags contain.
#[derive(Default)]
struct Given {
    config: Option<PathBuf>,
    name: Option<String>,
    /// The flags that belong to the service.
    service_flags: Vec<&'static str>,
    service: Vec<(String, Node)>,
    general: Vec<(String, Node)>,
    report: Report,
}

impl Given {
    fn take(&mut self, definition: &Definition<RunFlag>, value: OsString) {
        let long = definition.spec.long;
        let place = Place::flag(&format!("--{long}"));
        if definition.flag == RunFlag::Config {
            self.config = Some(value.into());
            return;
        }
        let text = match value.into_string() {
            Ok(text) => text,
            Err(value) => {
                self.report.error(&place, format!("{:?} is not UTF-8", value.to_string_lossy()));
                return;
            }
        };
        if !matches!(
            definition.flag,
            RunFlag::General(_) | RunFlag::RepeatedGeneral(_) | RunFlag::GeneralSwitch(..)
        ) {
            self.service_flags.push(long);
        }
        let node = |value| Node { place: place.clone(), value };
        match definition.flag {
            RunFlag::Help | RunFlag::Config => {}
            RunFlag::Name => self.name = Some(text),
            RunFlag::General(name) => set(&mut self.general, name, node(Value::Text(text))),
            RunFlag::GeneralSwitch(name, on) => set(&mut self.general, name, node(Value::Switch(on))),
            RunFlag::RepeatedGeneral(name) => {
                let list = node(Value::List(vec![node(Value::Text(text))]));
                set(&mut self.general, name, list);
            }
            RunFlag::Key(path) => set(&mut self.service, path, node(Value::Text(text))),
            RunFlag::Word(path, word) => set(&mut self.service, path, node(Value::Text(word.to_owned()))),
            RunFlag::Switch(path, on) => set(&mut self.service, path, node(Value::Switch(on))),
            RunFlag::Repeated(path) => {
                let list = node(Value::List(vec![node(Value::Text(text))]));
                set(&mut self.service, path, list);
            }
        }
    }

    fn finish(mut self, environment: Environment) -> ReadResult {
        let Some(flag) = self.service_flags.first() else {
            return self.read_file(environment);
        };
        if self.config.is_some() {
            let message = format!(
                "conflicts with --{flag}: services come either from a file or from flags; keep one of them"
            );
            self.report.error(&Place::flag("--config"), message);
            return refuse(self.report);
        }
        let service = Node { place: Place::flag(""), value: Value::Table(self.service) };
        let name = self.name.as_deref().unwrap_or(dormouse_config::UNNAMED);
        dormouse_config::read_flags(name, &service, self.general, environment, self.report)
    }

    fn read_file(mut self, environment: Environment) -> ReadResult {
        if !self.report.errors.is_empty() {
            // A mistaken flag may be one of a service, without a file.
            Overrides::read(self.general, &mut self.report);
            return refuse(self.report);
        }
        let mut outcome = dormouse_config::load(self.config.as_deref(), environment);
        let overrides = Overrides::read(self.general, &mut self.report);
        if let Ok(config) = &mut outcome.result {
            overrides.apply(config, &mut self.report);
        }
        outcome.warnings.append(&mut self.report.warnings.in_order("warnings"));
        if !self.report.errors.is_empty() {
            let mut errors = self.report.errors.in_order("errors");
            errors.extend(outcome.result.err().unwrap_or_default());
            outcome.result = Err(errors);
        }
        outcome
    }
}

/// Sets a key in a table or in one of its tables. The last value counts; lists grow.
fn set(table: &mut Vec<(String, Node)>, path: &str, node: Node) {
    let (name, inner) = match path.split_once('.') {
        Some((name, inner)) => (name, Some(inner)),
        None => (path, None),
    };
    let position = table.iter().position(|(found, _)| found == name).unwrap_or_else(|| {
        let value = if inner.is_some() { Value::Table(Vec::new()) } else { Value::List(Vec::new()) };
        table.push((name.to_owned(), Node { place: node.place.clone(), value }));
        table.len() - 1
    });
    let Some((_, found)) = table.get_mut(position) else { return };
    match (inner, &mut found.value, node.value) {
        (Some(inner), Value::Table(entries), value) => set(entries, inner, Node { value, ..node }),
        (None, Value::List(elements), Value::List(more)) => elements.extend(more),
        (_, _, value) => *found = Node { value, ..node },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use dormouse_activate::ActivatorConfig;
    use dormouse_activate::unit::Manager;

    use super::*;
    use crate::cli::ProblemList;
    use dormouse_config::ProgramUser;
    use dormouse_config::model::{Config, Ready};

    fn config(args: &[&str]) -> Config {
        match outcome(args).result {
            Ok(config) => config,
            Err(problems) => panic!("{}", ProblemList(&problems)),
        }
    }

    fn outcome(args: &[&str]) -> ReadResult {
        match parse(
            args.iter().map(OsString::from),
            Environment { system_units: false, programs: ProgramUser::Other },
        ) {
            Request::Serve(outcome, _) => *outcome,
            Request::Help => panic!("help"),
        }
    }

    fn errors(args: &[&str]) -> Vec<String> {
        outcome(args).result.unwrap_err().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn one_service_needs_no_file() {
        let config = config(&[
            "--listen=127.0.0.1:8080",
            "--listen",
            "unix:/run/web.sock?mode=0660",
            "--to=127.0.0.1:9000",
            "--exec=python3 -m http.server 9000",
            "--idle=10min",
            "--freeze=1min",
            "--ready=file:/run/ready",
            "--no-replay",
            "--hold-max=7",
            "--wake-allow=10.0.0.0/8",
            "--wake-allow=::1",
            "--drain-timeout=1s",
        ]);
        let [service] = config.services.as_slice() else { panic!() };
        assert_eq!(service.name, "main");
        assert_eq!(service.listen.len(), 2);
        assert!(
            matches!(&service.servers[0].wake, Some(ActivatorConfig::Exec(exec)) if exec.argv.len() == 4)
        );
        assert_eq!(service.idle.stop, Some(Duration::from_secs(600)));
        assert_eq!(service.idle.freeze, Some(Duration::from_secs(60)));
        assert_eq!(service.idle.minimum_uptime, Duration::from_secs(60));
        assert_eq!(service.ready, Ready::File("/run/ready".into()));
        assert!(!service.replay);
        assert_eq!(service.hold.max.get(), 7);
        assert_eq!(service.waking.allow.as_ref().unwrap().len(), 2);
        assert_eq!(config.drain_timeout, Some(dormouse_core::timespan::TimeSpan::from_secs(1)));
    }

    #[test]
    fn the_last_value_counts() {
        let config = config(&["--listen=@a", "--to=@b", "--unit=a", "--unit=b", "--user", "--system"]);
        let Some(ActivatorConfig::Unit(unit)) = &config.services[0].servers[0].wake else { panic!() };
        assert_eq!((unit.name.as_str(), unit.manager), ("b.service", Manager::System));
    }

    #[test]
    fn errors_name_the_flag_and_what_to_do() {
        let base = ["--listen=@a", "--to=@b"];
        for (more, expected) in [
            (
                &["--exec=a", "--hold=30x"][..],
                "--hold: \"30x\": not a time span (write for example 500ms, 30s, 1min 30s, infinity)",
            ),
            (
                &["--exec=a", "--hold-max=0"],
                "--hold-max: must be at least 1; to turn clients away at once, write --hold=0",
            ),
            (
                &["--exec=a", "--maxconn=many"],
                "--maxconn: takes a number from 1 to 4294967295; for example --maxconn=4096",
            ),
            (
                &["--exec=a", "--overflow=drop"],
                "--overflow: takes \"refuse\" or \"queue\", not \"drop\"; for example --overflow=queue",
            ),
            (
                &["--exec=a", "--ready=healthy"],
                "--ready: healthy requires a container; add --container=NAME, or use connect",
            ),
            (
                &["--exec=a", "--freeze=5min"],
                "--freeze: must be less than --idle (5min), because a stopped workload cannot be frozen",
            ),
            (&["--exec=a", "--unit=b"], "--exec: conflicts with --unit; keep only one"),
            (&["--stop=a"], "--stop-command: requires --start-command; add it, or remove this setting"),
            (
                &["--exec=a && b"],
                "--exec: \"a && b\": '&' needs a shell, and none runs; put it in quotes, or use sh -c '…'",
            ),
            (
                &["--idle=5min"],
                "--idle: requires a workload; add --exec=, --unit= or another, or remove this setting",
            ),
            (
                &["--exec=a", "--to=@c"],
                "--to: several servers cannot share a workload; give one, or write [[services.NAME.servers]] in a file (--config)",
            ),
            (
                &["--start=a", "--idle=5min"],
                "--idle: requires a command that stops the workload; add --stop-command",
            ),
            (
                &["--exec=a", "--keep-warm=25:00-26:00"],
                "--keep-warm: \"25:00-26:00\": '25:00' is not a time of day (00:00 to 24:00)",
            ),
            (&["--exec=a", "--idle=5mn"], "--idle: \"5mn\": not a time span; did you mean 5min?"),
            (
                &["--exce=a", "--idle=5min"],
                "dormouse run: unrecognized option '--exce=a'; did you mean --exec?",
            ),
            (&["--idel=5min"], "dormouse run: unrecognized option '--idel=5min'; did you mean --idle?"),
            (
                &["x.toml"],
                "unexpected argument \"x.toml\"; write --config=x.toml for a file, --to=x.toml for a server",
            ),
            (
                &["--config=x.toml"],
                "--config: conflicts with --listen: services come either from a file or from flags; keep one of them",
            ),
            (
                &["--config=x.toml", "--hold=30x"],
                "--config: conflicts with --listen: services come either from a file or from flags; keep one of them",
            ),
            (&["--name=a b"], "\"a b\" is not a valid name; use 1 to 64 letters, digits, '-', '_' and '.'"),
        ] {
            assert_eq!(errors(&[&base[..], more].concat()), [expected]);
        }
        assert_eq!(
            errors(&["--exec=a"]),
            [
                "--listen is missing; for example --listen=127.0.0.1:8080",
                "--to is missing; for example --to=127.0.0.1:9000"
            ]
        );
    }

    #[test]
    fn an_unknown_flag_hides_messages_about_missing_flags() {
        for (args, expected) in [
            (&["--bogus"][..], "dormouse run: unrecognized option '--bogus'; see dormouse run --help"),
            (&["--listen"], "dormouse run: option '--listen' requires an argument"),
            (
                &["--to=@a", "--idel=1", "--exec=x"],
                "dormouse run: unrecognized option '--idel=1'; did you mean --idle?",
            ),
            (
                &["--config=/nonexistent/x.toml", "--hold=1s"],
                "--config: conflicts with --hold: services come either from a file or from flags; keep one of them",
            ),
        ] {
            assert_eq!(errors(args), [expected]);
        }
    }

    #[test]
    fn errors_of_the_flags_are_reported_with_those_of_the_file() {
        let errors = errors(&["--config=/nonexistent/x.toml", "--log-level=loud"]);
        assert_eq!(
            errors,
            [
                "--log-level: \"loud\": not a log level; write err, warning, notice, info or debug",
                "/nonexistent/x.toml: cannot be read: No such file or directory (os error 2); check the name",
            ]
        );
    }

    #[test]
    fn a_flag_beside_a_file_must_not_use_the_address_of_a_service() {
        let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/examples/dormouse.toml");
        let file = format!("--config={example}");
        let listen = config(&[&file]).services.into_iter().find_map(|service| {
            let address = service.listen.into_iter().map(|listen| listen.to_string());
            let address = address.into_iter().find(|text| text.starts_with(|c: char| c.is_ascii_digit()))?;
            Some((service.name, address))
        });
        let (name, address) = listen.unwrap();
        assert_eq!(
            errors(&[&file, &format!("--http={address}")]),
            [format!("--http: {address} is already used by service {name}; choose another address")]
        );
        let hosts = ["--http=0.0.0.0:9180", "--http-host=a.example", "--http-host=b.example"];
        let with_hosts = outcome(&[&[file.as_str()][..], &hosts].concat());
        assert_eq!(
            with_hosts.result.as_ref().map_or(0, |config| config.admin.http_hosts.len()),
            2,
            "{with_hosts:?}"
        );
        assert_eq!(with_hosts.warnings.len(), 1);
        let looked_at = outcome(&[&file, "--http=0.0.0.0:9180"]);
        assert!(looked_at.result.is_ok() && looked_at.warnings.len() == 2, "{looked_at:?}");
    }
}
