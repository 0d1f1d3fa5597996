//! The command line: selects the command and runs it.

mod check;
mod completion;
mod convert;
mod flags;
mod manual;
mod out;
mod plain;
mod proxy;
mod proxy_flags;
mod reload;
mod run;
mod run_config;
mod run_flags;
mod run_hints;
mod status;
mod steer;
mod top;
mod unknown_command;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::Path;
use std::process::ExitCode;

use dormouse_config::Problem;

use dormouse_proxy::listener::PassedFds;

/// The program name under which dormouse behaves as `dormouse proxy`.
const SOCKET_PROXYD: &str = "systemd-socket-proxyd";

/// The commands and their summaries, as the help and the completion list them.
const COMMANDS: &[(&str, &str)] = &[
    ("run", "Start services on the first connection and stop them when idle"),
    ("reload", "Make a running dormouse read its configuration again"),
    ("check", "Check a configuration and show what it would do"),
    ("convert", "Convert an HAProxy configuration in TCP mode to one for dormouse run"),
    ("status", "Show the services, their states and what happens next"),
    ("top", "Show services and sessions live in a terminal, and control them by keys"),
    ("wake", "Start or thaw a service now; its idle rules still apply"),
    ("sleep", "Stop a service now, unless it is in use"),
    ("freeze", "Freeze a service now, unless it is in use"),
    ("thaw", "Thaw a frozen service"),
    ("drain", "Send a service no new sessions, and stop it after the last one"),
    ("undrain", "End a drain: send a service new sessions again"),
    ("explain", "Explain why a service is awake, what woke it, and what happens next"),
    ("demo", "Start a built-in service on demand, with nothing to configure"),
    ("proxy", "Forward connections to one target, in place of systemd-socket-proxyd"),
    ("help", "Show this help, or the help of a command"),
    ("version", "Show the version"),
    ("manual", "List the manual pages, or print one for man(1)"),
    ("completion", "Print the completion script for bash"),
];

/// Runs the program with these arguments, of which the first is its name, and the descriptors that it inherited.
pub fn run(args: impl IntoIterator<Item = OsString>, passed: PassedFds) -> ExitCode {
    let mut args = args.into_iter();
    let argv0 = args.next().unwrap_or_else(|| "dormouse".into());
    if Path::new(&argv0).file_name() == Some(OsStr::new(SOCKET_PROXYD)) {
        return proxy::run(&argv0, args, passed);
    }
    let Some(command) = args.next() else {
        return out::fail(usage().trim_end());
    };
    match command.to_str() {
        Some("run") => run::run(args, passed),
        Some("reload") => reload::run(args),
        Some("check") => check::run(args),
        Some("convert") => convert::run(args),
        Some("status") => status::run(args),
        Some("top") => top::run(args),
        Some(verb) if steer::VERBS.contains(&verb) => steer::run(verb, args),
        Some("proxy") => proxy::run(&argv0, args, passed),
        Some("demo") => plain::demo(args, passed),
        // Internal: the demo starts its server, and dormouse its spawner and its guards, with these three.
        Some(crate::demo::SERVER) => end(crate::demo::serve(Path::new(&args.next().unwrap_or_default()))),
        Some(dormouse_activate::SPAWNER_COMMAND) => dormouse_activate::spawner_main(),
        Some("guard") => dormouse_activate::exec::guard::main(args),
        Some("help" | "-h" | "--help") => match plain::help(args) {
            Ok(command) => run([argv0, command, "--help".into()], passed),
            Err(code) => code,
        },
        Some("-V" | "--version" | "version") => plain::version(args),
        Some("manual") => plain::manual(args),
        Some("completion") => plain::completion(args),
        _ => out::fail(unknown_command::message(&command.to_string_lossy())),
    }
}

fn end(result: Result<(), impl fmt::Display>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => out::fail(error),
    }
}

/// Problems of a configuration, one per line.
struct ProblemList<'a>(&'a [Problem]);

impl fmt::Display for ProblemList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for problem in self.0 {
            write!(f, "{separator}{problem}")?;
            separator = "\n";
        }
        Ok(())
    }
}

fn usage() -> String {
    let commands: Vec<_> = COMMANDS.iter().map(|(name, does)| format!("  {name:11} {does}\n")).collect();
    let commands = commands.concat();
    format!(
        "{}\n\nUsage: dormouse COMMAND [OPTIONS...]\n\nCommands:\n{commands}\n\
         See dormouse COMMAND --help for the options of a command, and dormouse manual for the manual pages.\n",
        env!("CARGO_PKG_DESCRIPTION")
    )
}

fn version() -> String {
    format!("dormouse {} (compatible with {SOCKET_PROXYD} 261)", env!("CARGO_PKG_VERSION"))
}
