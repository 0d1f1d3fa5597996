//! `dormouse run`: services from a file, or one from flags.

use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use std::sync::Arc;

use dormouse_config::Environment;
use dormouse_config::model::Control;
use dormouse_log::{Escaped, Level, write_stderr_lines};
use dormouse_proxy::listener::PassedFds;
use dormouse_restrictions::Restrictions;
use rustix::io::Errno;

use super::flags::{self, Definition};
use super::proxy::fail_with;
use super::run_config::{Request, parse};
use super::run_flags::RUN;
use super::{ProblemList, out};
use crate::admin;
use crate::supervisor::{LoadedConfig, NotApplied, exit};

pub(super) fn run(args: impl Iterator<Item = OsString>, passed: PassedFds) -> ExitCode {
    let args: Vec<OsString> = args.collect();
    let (outcome, file) = match parse(args.clone().into_iter(), Environment::current()) {
        Request::Help => return out::print(help()),
        Request::Serve(outcome, file) => (*outcome, file),
    };
    if !outcome.warnings.is_empty() {
        let warnings = outcome.warnings.iter().map(|warning| format!("{warning} (warning)"));
        write_stderr_lines(Some(Level::Warning), warnings);
    }
    match outcome.result {
        Ok(config) => {
            let names: Vec<_> = config.services.iter().map(|service| service.name.clone()).collect();
            if config.restrict_self && config.admin.control == Control::Usual {
                // It creates the directory of the control socket if that is missing, which the restrictions would prevent.
                let _ = admin::usual_address();
            }
            // Threads that start later are restricted, too. Those that have read the configuration only end.
            let restrictions =
                match config.restrict_self.then(|| Restrictions::enter(&config, file.as_deref())).transpose()
                {
                    Ok(restrictions) => restrictions,
                    Err(error) => {
                        let hint =
                            "--no-restrict-self, or restrict_self = false, starts without restrictions";
                        return fail_with([format_args!("{error}; {hint}")], Errno::AGAIN, exit::OSERR);
                    }
                };
            match crate::supervisor::run(
                config,
                Arc::new(move || reread(&args, restrictions.as_ref())),
                passed,
            ) {
                Ok(()) => {
                    // The log of a service manager reports the end itself.
                    if io::stderr().is_terminal() {
                        out::complain(format_args!(
                            "dormouse has ended, and stopped what it had started. No longer served: {}.",
                            names.join(", ")
                        ));
                    }
                    ExitCode::SUCCESS
                }
                Err(error) => fail_with([Escaped(&error)], error.errno(), error.exit_status()),
            }
        }
        Err(problems) => fail_with(&problems, Errno::INVAL, exit::CONFIG),
    }
}

/// Reads the arguments and the file that they name again. What the restrictions do not allow is an error.
fn reread(args: &[OsString], restrictions: Option<&Restrictions>) -> LoadedConfig {
    if let Err(beyond) = restrictions.map_or(Ok(()), Restrictions::allows_files) {
        let result = Err(NotApplied::NeedsRestart(beyond.to_string()));
        return LoadedConfig { result, warnings: Vec::new() };
    }
    let Request::Serve(outcome, _) = parse(args.iter().cloned(), Environment::current()) else {
        return LoadedConfig {
            result: Err(NotApplied::Wrong("the command line only asks for the help".to_owned())),
            warnings: Vec::new(),
        };
    };
    let mut warnings: Vec<_> = outcome.warnings.iter().map(ToString::to_string).collect();
    if outcome.result.as_ref().is_ok_and(|config| config.restrict_self != restrictions.is_some()) {
        warnings.push("restrict_self: changes at a restart of dormouse".to_owned());
    }
    LoadedConfig {
        result: match outcome.result {
            Err(problems) => Err(NotApplied::Wrong(ProblemList(&problems).to_string())),
            Ok(config) => match restrictions.map_or(Ok(()), |restrictions| restrictions.allows(&config)) {
                Ok(()) => Ok(config),
                Err(beyond) => Err(NotApplied::NeedsRestart(beyond.to_string())),
            },
        },
        warnings,
    }
}

fn help() -> String {
    format!(
        "dormouse run [--config=FILE] [--log-level=LEVEL] [--log=FORMAT] [--control=PATH] [--http=ADDRESS]\n\
         \x20            [--http-host=NAME] [--drain-timeout=SPAN] [--no-restrict-self]\n\
         dormouse run --listen=ADDRESS --to=ADDRESS [OPTIONS...]\n\n\
         Start services on demand: hold the first client, start the workload behind the service, forward the client\n\
         as soon as the workload answers, and stop the workload when no client needs it.\n\n\
         {}\n\
         A SPAN is a time span as in systemd.time(7), for example \"1min 30s\"; a plain number is in seconds.\n\
         A COMMAND is split into words as a shell does, but no shell runs it.\n\
         See dormouse-run(8), dormouse.toml(5).\n",
        flags::help_with(RUN, Definition::default)
    )
}
