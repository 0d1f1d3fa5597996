//! The definitions of flags, from which the parser, the help, the manual and the completion are made.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::process::ExitCode;

use dormouse_config::suggest::nearest;
use dormouse_core::getopt::{Arg, Getopt, GetoptError, OptSpec, Problem, Tier};

use super::out;

/// The definition of a flag.
pub(crate) struct Definition<F> {
    /// The identity of the flag in its command.
    pub(crate) flag: F,
    pub(crate) spec: OptSpec,
    /// The placeholder of its argument; empty if it takes none.
    pub(crate) value: &'static str,
    /// The help: an imperative sentence, joined and wrapped when shown.
    pub(crate) help: &'static [&'static str],
    /// The text in the manual page.
    pub(crate) manual: &'static str,
}

impl<F> Definition<F> {
    /// Returns the fixed words that the argument may be. Words in capitals are placeholders.
    pub(crate) fn choices(&self) -> impl Iterator<Item = &'static str> {
        let word = |word: &&str| self.value.contains('|') && !word.contains(|c: char| c.is_ascii_uppercase());
        self.value.split('|').filter(word)
    }
}

/// Returns the definition of `--help`, which every command has.
pub(super) const fn for_help<F: Copy>(flag: F) -> Definition<F> {
    Definition {
        flag,
        spec: OptSpec { short: Some('h'), long: "help", arg: Arg::No, tier: Tier::Extension },
        value: "",
        help: &["Show this help"],
        manual: "Show a short help.",
    }
}

/// The flags of a command that has only `--help`.
pub(super) const HELP_ONLY: &[Definition<()>] = &[for_help(())];

/// Returns the definition of `--control`, for the clients of the control socket.
pub(super) const fn for_control<F: Copy>(flag: F) -> Definition<F> {
    Definition {
        flag,
        spec: OptSpec { short: None, long: "control", arg: Arg::Required, tier: Tier::Extension },
        value: "PATH",
        help: &[
            "Connect to this control socket [default: /run/dormouse/control.sock or dormouse/control.sock in $XDG_RUNTIME_DIR]",
        ],
        manual: "Connect to this control socket. [default: /run/dormouse/control.sock, or if that does not exist \
                 $XDG_RUNTIME_DIR/dormouse/control.sock]",
    }
}

/// The reason why a command does not run.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The user asks for the help.
    Help,
    /// The command line is wrong.
    Wrong(String),
}

impl Stop {
    /// Prints the help, or the error.
    pub(super) fn exit(self, help: &str) -> ExitCode {
        match self {
            Self::Help => out::print(help),
            Self::Wrong(what) => out::fail(what),
        }
    }
}

/// Reads the arguments of a command: `take` gets each flag with its argument. Returns the other arguments.
///
/// # Errors
/// The error of `take`, or an unknown flag.
pub(super) fn read<F: Copy>(
    command: &str,
    definitions: &[Definition<F>],
    args: impl Iterator<Item = OsString>,
    mut take: impl FnMut(F, OsString) -> Result<(), Stop>,
) -> Result<Vec<OsString>, Stop> {
    let specs: Vec<OptSpec> = definitions.iter().map(|definition| definition.spec).collect();
    let mut getopt = Getopt::new(command, &specs, args);
    for option in getopt.by_ref() {
        let option = option.map_err(|error| Stop::Wrong(describe(&error, definitions)))?;
        if let Some(definition) = definitions.get(option.index) {
            take(definition.flag, option.value.unwrap_or_default())?;
        }
    }
    Ok(getopt.positionals())
}

/// Returns the message of a wrong option: with the option that was probably meant, or else where all are listed.
pub(super) fn describe<F>(error: &GetoptError, definitions: &[Definition<F>]) -> String {
    match (meant(error, definitions), &error.problem) {
        (Some(meant), _) => format!("{error}; did you mean --{meant}?"),
        (None, Problem::Unrecognized(_) | Problem::InvalidLetter(_)) => {
            format!("{error}; see {} --help", error.argv0)
        }
        (None, _) => error.to_string(),
    }
}

/// Returns the option that an unknown option resembles.
pub(super) fn meant<F>(error: &GetoptError, definitions: &[Definition<F>]) -> Option<&'static str> {
    let Problem::Unrecognized(given) = &error.problem else { return None };
    let name = given.split('=').next().unwrap_or_default();
    nearest(name, definitions.iter().map(|definition| definition.spec.long))
}

/// Returns the help of the flags, as `--help` shows it.
pub(crate) fn help<F>(definitions: &[Definition<F>]) -> String {
    help_with(definitions, |_| None)
}

/// Returns the help of the flags with their defaults in brackets.
pub(crate) fn help_with<F>(
    definitions: &[Definition<F>],
    default: impl Fn(&Definition<F>) -> Option<String>,
) -> String {
    /// The widths of the two columns.
    const LEFT: usize = 33;
    const RIGHT: usize = 66;
    let mut text = String::new();
    for definition in definitions {
        let Definition { spec, value, help, .. } = definition;
        let short = spec.short.map_or_else(|| "    ".to_owned(), |short| format!("-{short}, "));
        let equals = if value.is_empty() { "" } else { "=" };
        let flag = format!("  {short}--{}{equals}", spec.long);
        // A value that does not fit is named after the flag: --log-level=LEVEL.
        let left = if flag.len() + value.len() <= LEFT {
            format!("{flag}{value}")
        } else {
            format!("{flag}{}", spec.long.rsplit('-').next().unwrap_or_default().to_ascii_uppercase())
        };
        let default =
            default(definition).map_or_else(String::new, |default| format!(" [default: {default}]"));
        for (row, line) in wrap(&format!("{}{default}", help.join(" ")), RIGHT).iter().enumerate() {
            let left = if row == 0 { left.as_str() } else { "" };
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{left:LEFT$} {line}");
        }
    }
    text
}

/// Splits a text into lines of at most this many characters.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.len() + word.len() < width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fixed_words_of_a_flag_are_shown_where_they_fit_and_capitals_are_placeholders() {
        let take = |long, value| Definition {
            spec: OptSpec { short: None, long, arg: Arg::Required, tier: Tier::Extension },
            value,
            help: &["Help"],
            ..for_help(())
        };
        let flags = [
            take("log", "text|tcplog|json"),
            take("log-level", "err|warning|notice|info|debug"),
            take("accept-proxy", "CIDR|all"),
            take("listen", "ADDRESS"),
        ];
        let help = help(&flags);
        let shown: Vec<_> = help.lines().filter_map(|line| line.split_whitespace().next()).collect();
        assert_eq!(
            shown,
            ["--log=text|tcplog|json", "--log-level=LEVEL", "--accept-proxy=CIDR|all", "--listen=ADDRESS"]
        );
        let choices: Vec<Vec<_>> = flags.iter().map(|flag| flag.choices().collect()).collect();
        assert_eq!(choices.iter().map(Vec::len).collect::<Vec<_>>(), [3, 5, 1, 0]);
        assert_eq!(choices.get(2).and_then(|words| words.first()), Some(&"all"));
    }
}
