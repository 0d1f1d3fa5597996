//! Messages about command lines of `dormouse run` that are wrong, with the flag that was probably meant: also where the
//! user knows it by the name of its key, or by that of another program.

use std::ffi::OsString;

use dormouse_config::keys::{Key, SERVICE};
use dormouse_config::synonyms;
use dormouse_core::getopt::{Arg, GetoptError, Problem};

use super::flags;
use super::run_flags::{ALIASES, RUN};

/// The flag that is taken for the user of the program.
const USER: &str = "user";

/// Returns the message of a wrong option.
pub(super) fn of_option(error: &GetoptError) -> String {
    let hint = match &error.problem {
        Problem::Unrecognized(given) => of_name(given.split('=').next().unwrap_or_default()),
        Problem::ArgumentNotAllowed(USER) => Some(about_user("USER")),
        _ => None,
    };
    hint.map_or_else(|| flags::describe(error, RUN), |hint| format!("{error}; {hint}"))
}

/// Returns the message for a word without dashes. `None` if it follows from the error of an option before it.
pub(super) fn of_word(word: &str, args: &[OsString]) -> Option<String> {
    let follows = |name: &str| {
        let mut pairs = args.windows(2);
        pairs.any(
            |pair| matches!(pair, [flag, next] if flag.to_str() == Some(name) && next.to_str() == Some(word)),
        )
    };
    let switches = RUN.iter().filter(|definition| definition.spec.arg == Arg::No);
    let switch = switches.map(|definition| definition.spec.long).find(|long| follows(&format!("--{long}")));
    if let Some(switch) = switch {
        let hint = if switch == USER { about_user(word) } else { "remove it".to_owned() };
        return Some(format!("unexpected argument {word:?}: --{switch} takes no value; {hint}"));
    }
    let is_known = |flag: &str| {
        let longs =
            RUN.iter().map(|definition| definition.spec.long).chain(ALIASES.iter().map(|(alias, _)| *alias));
        longs.into_iter().any(|long| flag.strip_prefix("--").is_some_and(|given| long.starts_with(given)))
    };
    let options = args.iter().filter_map(|arg| arg.to_str());
    let mut unknown = options.filter(|arg| arg.starts_with("--") && !arg.contains('=') && !is_known(arg));
    if unknown.any(follows) {
        return None;
    }
    Some(format!("unexpected argument {word:?}; write --config={word} for a file, --to={word} for a server"))
}

fn about_user(user: &str) -> String {
    format!(
        "it selects the service manager of the user. To run the program of --exec as another user, write --uid={user}"
    )
}

/// Returns the hint for the name of a key, or for a word of another program.
fn of_name(name: &str) -> Option<String> {
    let folded = name.replace('-', "_");
    let key = synonyms::find(name).or_else(|| the_only_key(&folded))?;
    Some(match key.flag {
        Some(flag) => format!("did you mean {flag}?"),
        None => format!("no flag sets {0}; write {0} in a file (--config=FILE)", key.path),
    })
}

/// Returns the key with this name, if no other has it.
fn the_only_key(name: &str) -> Option<&'static Key> {
    let mut named = SERVICE.iter().filter(|key| key.name() == name && key.table() != "servers");
    named.next().filter(|_| named.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use dormouse_core::getopt::Getopt;

    fn said(args: &[&str]) -> Vec<String> {
        let args: Vec<OsString> = args.iter().map(OsString::from).collect();
        let specs = crate::cli::run_flags::specs();
        let mut getopt = Getopt::new("dormouse run", &specs, args.clone());
        let mut lines: Vec<_> =
            getopt.by_ref().filter_map(|option| Some(of_option(&option.err()?))).collect();
        let words = getopt.positionals();
        lines.extend(words.iter().filter_map(|word| of_word(&word.to_string_lossy(), &args)));
        lines
    }

    #[test]
    fn a_user_for_the_program_leads_to_the_flag() {
        const HINT: &str =
            "it selects the service manager of the user. To run the program of --exec as another user, write";
        assert_eq!(
            said(&["--user", "nobody", "--exec=a"]),
            [format!("unexpected argument \"nobody\": --user takes no value; {HINT} --uid=nobody")]
        );
        assert_eq!(
            said(&["--user=nobody"]),
            [format!("dormouse run: option '--user' doesn't allow an argument; {HINT} --uid=USER")]
        );
        for (flag, meant) in [
            ("--run-as", "did you mean --uid?"),
            ("--username", "did you mean --uid?"),
            ("--group", "did you mean --gid?"),
            ("--bind", "did you mean --listen?"),
            ("--env", "no flag sets wake.environment; write wake.environment in a file (--config=FILE)"),
            ("--exce", "did you mean --exec?"),
            ("--timeout", "see dormouse run --help"),
        ] {
            let message = format!("dormouse run: unrecognized option '{flag}'; {meant}");
            assert_eq!(said(&[flag, "nobody"]), [message], "the word follows from the option");
        }
    }

    #[test]
    fn other_words_are_reported() {
        assert_eq!(
            said(&["--stop-foreign", "yes"]),
            ["unexpected argument \"yes\": --stop-foreign takes no value; remove it"]
        );
        assert_eq!(
            said(&["--name", "a", "x.toml"]),
            ["unexpected argument \"x.toml\"; write --config=x.toml for a file, --to=x.toml for a server"]
        );
    }
}
