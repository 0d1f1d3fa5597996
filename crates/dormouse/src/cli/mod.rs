//! The command line: which command is meant, and under which name.

mod check;
mod completion;
mod convert;
mod flags;
mod manual;
mod out;
mod proxy;
mod reload;
mod run;
mod run_flags;
mod status;
mod steer;
mod top;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::Path;
use std::process::ExitCode;

use dormouse_config::Problem;
use dormouse_proxy::listener::PassedFds;

/// The name under which the program behaves as the one that it takes the place of.
const ORIGINAL: &str = "systemd-socket-proxyd";

/// The commands and what they do, as they are told and completed.
const COMMANDS: &[(&str, &str)] = &[
    ("run", "Serve what sleeps until somebody connects"),
    ("reload", "Have a running one read its configuration anew"),
    ("check", "Say all that is wrong with a configuration, or what it would do"),
    ("convert", "Turn a configuration of HAProxy for TCP into one for run"),
    ("status", "Show what sleeps, what is awake, and until when"),
    ("top", "Show services and sessions live in a terminal, and steer them by keys"),
    ("wake", "Wake a service now; it sleeps again by its rules"),
    ("sleep", "Put a service to sleep now, if nobody uses it"),
    ("freeze", "Freeze a service now, if nobody uses it"),
    ("thaw", "Thaw a frozen service"),
    ("drain", "Give a service no new sessions; it sleeps when the last one ends"),
    ("explain", "Say why a service is awake, who woke it, and what happens next"),
    ("demo", "Show a service that sleeps and wakes, with nothing to configure"),
    ("proxy", "Pass connections on to one target, in the place of systemd-socket-proxyd"),
    ("help", "Show this help, or that of the command whose name follows"),
    ("version", "Show the version"),
    ("manual", "Print a manual page (proxy, run, reload, check, convert, status, top, toml), for man(1)"),
    ("completion", "Print the completion for bash"),
];

/// Runs the program with these arguments (the first is its name) and these descriptors.
pub fn run(args: impl IntoIterator<Item = OsString>, passed: PassedFds) -> ExitCode {
    let mut args = args.into_iter();
    let argv0 = args.next().unwrap_or_else(|| "dormouse".into());
    if Path::new(&argv0).file_name() == Some(OsStr::new(ORIGINAL)) {
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
        Some("demo") => end(crate::demo::run(passed)),
        // Not for people: what the demo starts, and what stands between us and a program that we start.
        Some(crate::demo::SERVER) => end(crate::demo::serve(Path::new(&args.next().unwrap_or_default()))),
        Some("guard") => dormouse_activate::exec::guard::main(args),
        Some("help") => match args.next() {
            Some(command) if explains_itself(&command) => run([argv0, command, "--help".into()], passed),
            _ => out::print(usage()),
        },
        Some("-h" | "--help") => out::print(usage()),
        Some("-V" | "--version" | "version") => out::print(format_args!("{}\n", version())),
        Some("manual") => print_page(args.next().as_deref()),
        Some("completion") => out::print(completion::bash()),
        _ => out::fail(format_args!(
            "Unknown command {}.\nKnown: {}. To take the place of {ORIGINAL}: dormouse proxy TARGET",
            command.to_string_lossy(),
            COMMANDS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
        )),
    }
}

/// Whether this command takes `--help`.
fn explains_itself(command: &OsStr) -> bool {
    const COMMANDS: [&str; 7] = ["run", "reload", "check", "convert", "status", "top", "proxy"];
    command.to_str().is_some_and(|command| COMMANDS.contains(&command) || steer::VERBS.contains(&command))
}

fn end(result: Result<(), impl fmt::Display>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => out::fail(error),
    }
}

/// Prints the page of this name; without one, that of `dormouse proxy`.
fn print_page(name: Option<&OsStr>) -> ExitCode {
    let name = name.map_or("proxy".into(), OsStr::to_string_lossy);
    if let Some(page) = manual::page(&name) {
        return out::print(page);
    }
    let known = manual::names().collect::<Vec<_>>().join(", ");
    out::fail(format_args!("No page {name:?}. Known: {known}."))
}

/// Everything that is wrong, a line each.
struct Told<'a>(&'a [Problem]);

impl fmt::Display for Told<'_> {
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
        "{}\n\nUsage: dormouse COMMAND [OPTIONS...]\n\nCommands:\n{commands}",
        env!("CARGO_PKG_DESCRIPTION")
    )
}

fn version() -> String {
    format!("dormouse {} (in the place of {ORIGINAL} 261)", env!("CARGO_PKG_VERSION"))
}
