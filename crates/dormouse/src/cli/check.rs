//! `dormouse check`: reports the errors of a configuration, or what it would do.

mod access;
mod credentials;
mod describe;
mod files;
mod pool;
mod sandbox;
mod shared;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use dormouse_activate::ActivatorConfig;
use dormouse_config::model::Config;
use dormouse_config::places::Places;
use dormouse_config::report::Report;
use dormouse_config::{Environment, Problem};
use dormouse_core::getopt::{Arg, OptSpec, Tier};

use super::flags::{self, Definition, Stop};
use super::{ProblemList, out};
use describe::describe;

/// A flag of `dormouse check`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CheckFlag {
    Config,
    DropIn,
    Polkit,
    Help,
}

/// The flags of `dormouse check`.
pub(crate) const CHECK: &[Definition<CheckFlag>] = &[
    Definition {
        flag: CheckFlag::Config,
        spec: OptSpec { short: None, long: "config", arg: Arg::Required, tier: Tier::Extension },
        value: "FILE",
        help: &[
            "Check this file alone, as the argument FILE does",
            "[default: /etc/dormouse/dormouse.toml and services.d/*.toml beside it]",
        ],
        manual: "Check this file alone, as the argument FILE does; services.d is then not read. \
                 [default: /etc/dormouse/dormouse.toml and services.d/*.toml beside it]",
    },
    Definition {
        flag: CheckFlag::DropIn,
        spec: OptSpec { short: None, long: "drop-in", arg: Arg::No, tier: Tier::Extension },
        value: "",
        help: &["Print the drop-in for dormouse.service with the rights that the configuration needs"],
        manual: "Print the drop-in for the shipped dormouse.service with the rights that the configuration needs in \
                 addition to those of the unit, with the reason for each: capabilities, groups, directories, and what \
                 started programs need. Its comments describe what other units or files must provide. Not together with \
                 --polkit.",
    },
    Definition {
        flag: CheckFlag::Polkit,
        spec: OptSpec { short: None, long: "polkit", arg: Arg::No, tier: Tier::Extension },
        value: "",
        help: &["Print the rules with which polkit lets dormouse.service control its units"],
        manual: "Print the rules with which polkit(8) lets the user of the shipped dormouse.service start, stop, freeze \
                 and thaw the units of the system's service manager that the configuration names, and no others.",
    },
    flags::for_help(CheckFlag::Help),
];

/// What the command prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Output {
    /// What the configuration does.
    Description,
    /// The drop-in for the shipped unit.
    DropIn,
    /// The rules for polkit.
    Polkit,
}

pub(super) fn run(args: impl Iterator<Item = OsString>) -> ExitCode {
    let mut files = Vec::new();
    let (mut output, mut both_documents) = (Output::Description, false);
    let words = flags::read("dormouse check", CHECK, args, |flag, value| {
        match flag {
            CheckFlag::Config => files.push(PathBuf::from(value)),
            CheckFlag::DropIn => {
                both_documents |= output == Output::Polkit;
                output = Output::DropIn;
            }
            CheckFlag::Polkit => {
                both_documents |= output == Output::DropIn;
                output = Output::Polkit;
            }
            CheckFlag::Help => return Err(Stop::Help),
        }
        Ok(())
    });
    match words {
        Ok(words) => files.extend(words.into_iter().map(PathBuf::from)),
        Err(stop) => return stop.exit(&help()),
    }
    if files.len() > 1 {
        return out::fail("dormouse check takes one file; see dormouse check --help.");
    }
    if both_documents {
        return out::fail(
            "--drop-in and --polkit print two files; run dormouse check once for each, and save each output in its place.",
        );
    }
    let file = files.pop();
    let environment = match output {
        Output::Description => Environment::of_later_process(),
        // The shipped unit belongs to the system's service manager.
        Output::DropIn | Output::Polkit => Environment::SYSTEM,
    };
    let outcome = dormouse_config::load(file.as_deref(), environment);
    warn(&outcome.warnings);
    let config = match outcome.result {
        Ok(config) => config,
        Err(problems) => return out::fail(ProblemList(&problems)),
    };
    let mut found = Report::default();
    files::look(&config, &outcome.places, &mut found);
    if output == Output::Description {
        credentials::look(&config, &outcome.places, &mut found);
    }
    sandbox::look(&config, &outcome.places, &mut found);
    warn_of_quadlets(&config, &outcome.places, &mut found);
    let Report { errors, warnings, .. } = found;
    let (errors, warnings) = (errors.in_order("errors"), warnings.in_order("warnings"));
    let code = match output {
        Output::Description if !errors.is_empty() => out::fail(ProblemList(&errors)),
        Output::Description => {
            out::print(format!("{}{}", describe(&config), dormouse_units::describe(&config)))
        }
        // These rights do not depend on what the file system lacks.
        Output::DropIn | Output::Polkit => {
            warn(&errors);
            out::print_document(match output {
                Output::Polkit => dormouse_units::polkit(&config),
                _ => dormouse_units::drop_in(&config),
            })
        }
    };
    warn(&warnings);
    code
}

fn warn(warnings: &[Problem]) {
    for warning in warnings {
        out::complain(format_args!("{warning} (warning)"));
    }
}

fn help() -> String {
    format!(
        "dormouse check [OPTIONS...] [FILE]\n\n\
         Check a configuration and show what it would do: listen, start and stop. Nothing is opened or started, and no\n\
         server is contacted. Without FILE check /etc/dormouse/dormouse.toml and services.d/*.toml beside it.\n\n\
         {}\n\
         See dormouse-check(8), dormouse.toml(5).\n",
        flags::help(CHECK)
    )
}

/// Warns of containers that a Quadlet unit creates: starting the unit is better.
fn warn_of_quadlets(config: &Config, places: &Places, report: &mut Report) {
    for service in &config.services {
        let Some(places) = places.service(&service.name) else { continue };
        for server in &service.servers {
            let Some(workload) = &server.wake else { continue };
            if let Some(unit) = unit_of(workload) {
                let place = places.of_server(&server.name, &format!("wake.{}", workload.properties().key));
                let message = format!(
                    "{workload} belongs to the Quadlet {unit}; use wake = {{ unit = \"{unit}\" }} instead"
                );
                report.warning(&place, message);
            }
        }
    }
}

/// Asks the container engine for the Quadlet unit of a container.
fn unit_of(workload: &ActivatorConfig) -> Option<String> {
    const TIMEOUT: Duration = Duration::from_secs(10);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let unit = runtime.block_on(async { tokio::time::timeout(TIMEOUT, workload.owning_unit()).await });
    runtime.shutdown_background();
    unit.ok().flatten()
}
