//! The commands without options of their own: help, version, manual, completion and demo.

use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use dormouse_proxy::listener::PassedFds;

use super::flags::{self, HELP_ONLY};
use super::{COMMANDS, completion, end, manual, out, unknown_command, usage};

/// `dormouse help`: returns the command whose help is requested, or the exit status after the general help.
pub(super) fn help(args: impl Iterator<Item = OsString>) -> Result<OsString, ExitCode> {
    let command = word(HELP, args)?.ok_or_else(|| out::print(usage()))?;
    match command.to_str() {
        Some("help") => Err(out::print(HELP.help())),
        Some(name) if COMMANDS.iter().any(|(known, _)| *known == name) => Ok(command),
        _ => Err(out::fail(unknown_command::message(&command.to_string_lossy()))),
    }
}

/// `dormouse version`.
pub(super) fn version(args: impl Iterator<Item = OsString>) -> ExitCode {
    match word(VERSION, args) {
        Ok(_) => out::print(format_args!("{}\n", super::version())),
        Err(code) => code,
    }
}

/// `dormouse completion`.
pub(super) fn completion(args: impl Iterator<Item = OsString>) -> ExitCode {
    match word(COMPLETION, args) {
        Ok(Some(shell)) if shell != OsStr::new("bash") => {
            out::fail(format_args!("No completion for {shell:?}; dormouse completes in bash."))
        }
        Ok(_) => out::print_document(completion::bash()),
        Err(code) => code,
    }
}

/// `dormouse demo`.
pub(super) fn demo(args: impl Iterator<Item = OsString>, passed: PassedFds) -> ExitCode {
    match word(DEMO, args) {
        Ok(_) => end(crate::demo::run(passed)),
        Err(code) => code,
    }
}

/// `dormouse manual`: prints a page, or the list of all pages.
pub(super) fn manual(args: impl Iterator<Item = OsString>) -> ExitCode {
    let name = match word(MANUAL, args) {
        Ok(Some(name)) => name,
        Ok(None) => return out::print(manual::list()),
        Err(code) => return code,
    };
    let name = name.to_string_lossy();
    match manual::page(&name) {
        // The source of a page is of no use to a person.
        Some(_) if io::stdout().is_terminal() => {
            out::print(format_args!("Read this page with: dormouse manual {name} | man -l -\n"))
        }
        Some(page) => out::print_document(page),
        None => {
            let known = manual::names().collect::<Vec<_>>().join(", ");
            out::fail(format_args!("No manual page {name:?}; choose one of {known}."))
        }
    }
}

/// The command line of one of these commands.
#[derive(Clone, Copy)]
struct Plain {
    name: &'static str,
    /// The argument that it takes; empty if it takes none.
    argument: &'static str,
    /// What the command does, in sentences.
    description: &'static str,
}

const HELP: Plain = Plain {
    name: "help",
    argument: "COMMAND",
    description: "Show the help of COMMAND, or without it the list of the commands.",
};
const VERSION: Plain = Plain { name: "version", argument: "", description: "Show the version of dormouse." };
const MANUAL: Plain = Plain {
    name: "manual",
    argument: "PAGE",
    description: "Print the source of a manual page, for man(1): dormouse manual run | man -l -\n\
                  PAGE is a page, or a command for the page that describes it. Without PAGE list the pages.",
};
const COMPLETION: Plain = Plain {
    name: "completion",
    argument: "bash",
    description: "Print the completion script for bash. To use it in this shell:\n    . <(dormouse completion)",
};
const DEMO: Plain = Plain {
    name: "demo",
    argument: "",
    description: "Start a web server on the first connection, and stop it after 10 s without one. Everything is built\n\
                  in, and dormouse listens on a free port of 127.0.0.1. Ctrl-C ends the demo.",
};

impl Plain {
    fn help(self) -> String {
        let Self { name, argument, description } = self;
        let argument = if argument.is_empty() { String::new() } else { format!(" [{argument}]") };
        format!("dormouse {name}{argument}\n\n{description}\n\n{}", flags::help(HELP_ONLY))
    }
}

/// Reads the command line: `--help`, and one word where the command takes one.
///
/// # Errors
/// The exit status, after the help or a message.
fn word(command: Plain, args: impl Iterator<Item = OsString>) -> Result<Option<OsString>, ExitCode> {
    let Plain { name, argument, .. } = command;
    let words = flags::read(&format!("dormouse {name}"), HELP_ONLY, args, |(), _| Err(flags::Stop::Help))
        .map_err(|stop| stop.exit(&command.help()))?;
    let takes = usize::from(!argument.is_empty());
    match words.get(takes) {
        None => Ok(words.into_iter().next()),
        Some(extra) => {
            let takes =
                if argument.is_empty() { "no arguments".to_owned() } else { format!("only {argument}") };
            Err(out::fail(format_args!(
                "Unexpected argument {extra:?}: dormouse {name} takes {takes}; see dormouse {name} --help."
            )))
        }
    }
}
