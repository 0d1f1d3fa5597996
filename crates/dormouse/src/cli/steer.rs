//! `dormouse wake|sleep|freeze|thaw|drain|undrain|explain NAME`: commands on the control socket.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use super::flags::{self, Definition, Stop};
use super::out;
use super::status::no_such;
use dormouse_client::{Client, escaped};

/// These commands.
pub(crate) const VERBS: [&str; 7] = ["wake", "sleep", "freeze", "thaw", "drain", "undrain", "explain"];

/// A flag of these commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SteerFlag {
    Control,
    Help,
}

/// The flags of these commands.
pub(crate) const STEER: &[Definition<SteerFlag>] =
    &[flags::for_control(SteerFlag::Control), flags::for_help(SteerFlag::Help)];

pub(super) fn run(verb: &str, args: impl Iterator<Item = OsString>) -> ExitCode {
    let mut control = None;
    let names = flags::read(&format!("dormouse {verb}"), STEER, args, |flag, value| {
        match flag {
            SteerFlag::Control => control = Some(PathBuf::from(value)),
            SteerFlag::Help => return Err(Stop::Help),
        }
        Ok(())
    });
    let names = match names {
        Ok(names) => names,
        Err(stop) => return stop.exit(&help(verb)),
    };
    if names.is_empty() {
        return out::fail(format_args!(
            "dormouse {verb} needs the name of a service; dormouse status shows the names."
        ));
    }
    let client = match Client::new(control) {
        Ok(client) => client,
        Err(error) => return out::fail(error),
    };
    let mut done = true;
    for name in names {
        let name = name.to_string_lossy();
        match client.ask(&format!("{verb} {}", escaped(&name))) {
            Ok(answer) if is_refusal(&answer) => {
                let missing = matches!(answer.as_str(), "No such backend." | "No such server.");
                out::complain(if missing { no_such(&name) } else { answer });
                done = false;
            }
            Ok(answer) => done &= out::print(format_args!("{answer}\n")) == ExitCode::SUCCESS,
            Err(error) => return out::fail(error),
        }
    }
    if done { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Returns whether the answer reports a failure.
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
    fn a_refusal_is_recognised() {
        assert!(is_refusal("web: not done: 3 sessions use it"));
        assert!(is_refusal("No such backend."));
        assert!(!is_refusal("web: starting"));
        assert_eq!(escaped("a b;c\\d\n"), "a\\ b\\;c\\\\d");
    }
}
