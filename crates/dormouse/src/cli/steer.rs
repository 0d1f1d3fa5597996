//! `dormouse wake|sleep|freeze|thaw|drain|explain NAME`: a word to the control socket.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use dormouse_core::getopt::{Arg, Getopt, OptSpec, Tier};

use super::client::{Client, escaped};
use super::flags::{self, Definition};

/// These commands.
pub(crate) const VERBS: [&str; 6] = ["wake", "sleep", "freeze", "thaw", "drain", "explain"];

/// A flag of these commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SteerFlag {
    Control,
    Help,
}

/// Where the control socket is.
pub(crate) const CONTROL: (&str, &[&str], &str) = (
    "control",
    &["Where the control socket is (/run/dormouse/control.sock, or", "in $XDG_RUNTIME_DIR/dormouse)"],
    "Where the control socket is: /run/dormouse/control.sock unless told, or $XDG_RUNTIME_DIR/dormouse/control.sock if \
     there is none.",
);

/// The flags of these commands.
pub(crate) const STEER: &[Definition<SteerFlag>] = &[
    Definition {
        flag: SteerFlag::Control,
        spec: OptSpec { short: None, long: CONTROL.0, arg: Arg::Required, tier: Tier::Ours },
        value: "PATH",
        help: CONTROL.1,
        manual: CONTROL.2,
    },
    Definition {
        flag: SteerFlag::Help,
        spec: OptSpec { short: Some('h'), long: "help", arg: Arg::No, tier: Tier::Ours },
        value: "",
        help: &["Show this help"],
        manual: "Show a short help.",
    },
];

pub(super) fn run(verb: &str, args: impl Iterator<Item = OsString>) -> ExitCode {
    let name = format!("dormouse {verb}");
    let specs: Vec<OptSpec> = STEER.iter().map(|definition| definition.spec).collect();
    let mut getopt = Getopt::new(&name, &specs, args);
    let mut control = None;
    for option in getopt.by_ref() {
        let option = match option {
            Ok(option) => option,
            Err(error) => {
                eprintln!("{error}");
                return ExitCode::FAILURE;
            }
        };
        match STEER.get(option.index).map(|definition| definition.flag) {
            Some(SteerFlag::Control) => control = option.value.map(PathBuf::from),
            Some(SteerFlag::Help) => {
                print!("{}", help(verb));
                return ExitCode::SUCCESS;
            }
            None => {}
        }
    }
    let names = getopt.positionals();
    if names.is_empty() {
        eprintln!("Which service? dormouse {verb} NAME (dormouse status names them).");
        return ExitCode::FAILURE;
    }
    let client = match Client::new(control) {
        Ok(client) => client,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let mut done = true;
    for name in names {
        let name = name.to_string_lossy();
        match client.ask(&format!("{verb} {}", escaped(&name))) {
            Ok(answer) if is_refusal(&answer) => {
                eprintln!("{}", answer.replace("No such backend.", &format!("No such service: {name}.")));
                done = false;
            }
            Ok(answer) => println!("{answer}"),
            Err(error) => {
                eprintln!("{error}");
                return ExitCode::FAILURE;
            }
        }
    }
    if done { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Whether it was not done.
fn is_refusal(answer: &str) -> bool {
    let refused = |line: &str| line.starts_with("No such ") || line.starts_with("Require ");
    answer.lines().any(|line| refused(line) || line.contains(": not done: "))
}

fn help(verb: &str) -> String {
    let does = super::COMMANDS.iter().find(|(name, _)| *name == verb).map_or("", |(_, does)| *does);
    format!(
        "dormouse {verb} [OPTIONS...] NAME...\n\n\
         {does}. A NAME is a service, or SERVICE/SERVER.\n\n\
         {}\n\
         See dormouse-status(8).\n",
        flags::help(STEER)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_done_fails() {
        assert!(is_refusal("web: not done: 3 sessions use it"));
        assert!(is_refusal("No such backend."));
        assert!(!is_refusal("web: starting"));
        assert_eq!(escaped("a b;c\\d\n"), "a\\ b\\;c\\\\d");
    }
}
