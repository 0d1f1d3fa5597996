//! The command line of `dormouse top`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use dormouse_core::getopt::{Arg, OptSpec, Tier};
use dormouse_core::timespan::TimeSpan;

use super::flags::{self, Definition, Stop};
use super::out;

/// A flag of `dormouse top`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TopFlag {
    Control,
    Interval,
    Help,
}

/// The flags of `dormouse top`.
pub(crate) const TOP: &[Definition<TopFlag>] = &[
    flags::for_control(TopFlag::Control),
    Definition {
        flag: TopFlag::Interval,
        spec: OptSpec { short: None, long: "interval", arg: Arg::Required, tier: Tier::Extension },
        value: "SPAN",
        help: &["Refresh after this long, from 100ms to 1h [default: 1s]"],
        manual: "Refresh after this long, from 100ms to 1h. [default: 1s]",
    },
    flags::for_help(TopFlag::Help),
];

/// The default of `--interval`.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(1);
/// The shortest value of `--interval`.
const MIN_INTERVAL: Duration = Duration::from_millis(100);
/// The longest value of `--interval`.
const MAX_INTERVAL: Duration = Duration::from_secs(3600);

pub(super) fn run(args: impl Iterator<Item = OsString>) -> ExitCode {
    let (mut control, mut interval) = (None, DEFAULT_INTERVAL);
    let words = flags::read("dormouse top", TOP, args, |flag, value| {
        match flag {
            TopFlag::Control => control = Some(PathBuf::from(value)),
            TopFlag::Interval => interval = span(&value.to_string_lossy())?,
            TopFlag::Help => return Err(Stop::Help),
        }
        Ok(())
    });
    match words {
        Ok(words) => {
            if let Some(word) = words.first() {
                return out::fail(format_args!(
                    "Unexpected argument {word:?}: dormouse top takes none; see dormouse top --help."
                ));
            }
        }
        Err(stop) => return stop.exit(&help()),
    }
    super::end(dormouse_client::top::run(control, interval))
}

fn span(text: &str) -> Result<Duration, Stop> {
    let span = text.parse::<TimeSpan>().ok().and_then(TimeSpan::finite);
    span.filter(|span| (MIN_INTERVAL..=MAX_INTERVAL).contains(span)).ok_or_else(|| {
        Stop::Wrong(format!(
            "--interval={text} is not a time span from 100ms to 1h; write for example --interval=2s."
        ))
    })
}

fn help() -> String {
    format!(
        "dormouse top [OPTIONS...]\n\n\
         Show services and their sessions live in a terminal, and control them by keys; h shows the keys.\n\n\
         {}\n\
         See dormouse-top(8).\n",
        flags::help(TOP)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_has_bounds() {
        assert_eq!(span("2s"), Ok(Duration::from_secs(2)));
        assert_eq!(span("100ms"), Ok(MIN_INTERVAL));
        for text in ["", "0", "99ms", "2h", "infinity", "often"] {
            assert!(span(text).is_err(), "{text}");
        }
    }
}
