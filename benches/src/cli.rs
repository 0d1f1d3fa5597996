//! The command line.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use lexopt::{Arg, Parser, ValueExt as _};

use crate::{
    backend::Mode,
    case::{Case, Parameters},
    error::{Error, Result},
    net::Endpoint,
    plan::Plan,
    spec::{Load, Timing},
    subjects::{self, Subject},
    transport::Transport,
};

const HELP: &str = "\
Compare dormouse with its peers on this machine, in one run.

cargo run --release -p dormouse-bench -- [OPTIONS]

  --rounds N          Run N rounds over all subjects, each in a new order [5]
  --only A,B          Run only these measurements: bulk messages connections
                      latency startup idle stuck limit cold
  --peers A,B|none    Compare with these peers (PEERS)
  --also NAME=PATH    Add another build of dormouse as a column
  --transport A,B     Use these transports: tcp, unix (UNIX sockets on both
                      sides), bridge (TCP clients, UNIX backend) [tcp,unix]
  --seed N            Set the seed of the order [1]
  --quick             Run one short round, as a smoke test
  --gate              Check the bounds of the project; exit 1 if one is missed
  --markdown FILE     Write the tables between the markers of FILE
  --no-dormouse       Omit dormouse itself
  -h, --help          Show this help

dormouse is $DORMOUSE_BIN, or the program `dormouse` in the same folder.
";

/// What a process of this program does.
pub(crate) enum Command {
    Help(String),
    Bench(Box<Plan>),
    Backend {
        mode: Mode,
        at: Endpoint,
    },
    Client {
        load: Load,
        front: Endpoint,
        timing: Timing,
    },
    WakeServer {
        at: Endpoint,
        delay: Duration,
    },
    Floor {
        front: Endpoint,
        target: Endpoint,
    },
    /// The arguments for [`crate::process::launch`].
    Launch(Vec<OsString>),
}

/// Reads the arguments, without the name of the program.
pub(crate) fn parse(mut args: impl Iterator<Item = OsString>) -> Result<Command> {
    let mut args: Vec<OsString> = args.by_ref().collect();
    let first = args.first().and_then(|word| word.to_str()).unwrap_or_default().to_owned();
    match first.as_str() {
        "launch" => Ok(Command::Launch(args.split_off(1))),
        "backend" | "client" | "wake-server" | "floor" => helper(&first, &args),
        _ => bench(args),
    }
}

fn helper(name: &str, args: &[OsString]) -> Result<Command> {
    let words: Vec<&str> = args.iter().skip(1).filter_map(|word| word.to_str()).collect();
    let invalid = || Error::Usage(format!("invalid arguments for {name}: {words:?}"));
    let milliseconds = |word: &str| word.parse().map(Duration::from_millis).map_err(|_| invalid());
    match (name, words.as_slice()) {
        ("backend", [mode, at]) => Ok(Command::Backend { mode: mode.parse()?, at: at.parse()? }),
        ("client", [load, front, warmup, window]) => Ok(Command::Client {
            load: load.parse()?,
            front: front.parse()?,
            timing: Timing { warmup: milliseconds(warmup)?, window: milliseconds(window)? },
        }),
        ("floor", [front, target]) => Ok(Command::Floor { front: front.parse()?, target: target.parse()? }),
        ("wake-server", [at, microseconds]) => Ok(Command::WakeServer {
            at: at.parse()?,
            delay: microseconds.parse().map(Duration::from_micros).map_err(|_| invalid())?,
        }),
        _ => Err(invalid()),
    }
}

fn bench(args: Vec<OsString>) -> Result<Command> {
    let mut rounds = None;
    let mut only: Option<Vec<String>> = None;
    let mut peers: Vec<String> = subjects::default_peers().into_iter().map(str::to_owned).collect();
    let mut also = Vec::new();
    let mut transports = vec![Transport::Tcp, Transport::Unix];
    let (mut seed, mut quick, mut gate, mut with_dormouse, mut markdown) = (1, false, false, true, None);
    let mut parser = Parser::from_args(args);
    while let Some(arg) = parser.next().map_err(usage)? {
        match arg {
            Arg::Short('h') | Arg::Long("help") => {
                return Ok(Command::Help(HELP.replace("PEERS", &subjects::peer_names().join(","))));
            }
            Arg::Long("rounds") => rounds = Some(value(&mut parser)?.parse().map_err(usage)?),
            Arg::Long("only") => only = Some(list(&mut parser)?),
            Arg::Long("peers") => peers = list(&mut parser)?,
            Arg::Long("also") => also.push(word(&mut parser)?),
            Arg::Long("transport") => {
                transports = list(&mut parser)?.iter().map(|name| name.parse()).collect::<Result<_>>()?;
            }
            Arg::Long("seed") => seed = value(&mut parser)?.parse().map_err(usage)?,
            Arg::Long("quick") => quick = true,
            Arg::Long("gate") => gate = true,
            Arg::Long("no-dormouse") => with_dormouse = false,
            Arg::Long("markdown") => markdown = Some(PathBuf::from(value(&mut parser)?)),
            other => return Err(usage(other.unexpected())),
        }
    }
    let cases = match only {
        None => Case::ALL.to_vec(),
        Some(groups) => {
            let chosen = groups.iter().map(|group| Case::in_group(group)).collect::<Result<Vec<_>>>()?;
            chosen.concat()
        }
    };
    Ok(Command::Bench(Box::new(Plan {
        rounds: rounds.unwrap_or(if quick { 1 } else { 5 }).max(1),
        cases,
        subjects: chosen_subjects(with_dormouse, &also, &peers)?,
        transports,
        parameters: if quick { Parameters::QUICK } else { Parameters::FULL },
        seed,
        gate,
        markdown,
    })))
}

fn chosen_subjects(with_dormouse: bool, also: &[String], peers: &[String]) -> Result<Vec<Subject>> {
    let mut chosen = vec![subjects::direct()];
    if with_dormouse {
        chosen.push(subjects::dormouse()?);
    }
    for pair in also {
        let (name, path) =
            pair.split_once('=').ok_or_else(|| Error::Usage("--also needs NAME=PATH".into()))?;
        chosen.push(subjects::other_dormouse(name, path.into())?);
    }
    for name in peers.iter().filter(|name| *name != "none") {
        chosen.push(subjects::peer(name)?);
    }
    Ok(chosen)
}

fn list(parser: &mut Parser) -> Result<Vec<String>> {
    Ok(word(parser)?.split(',').map(str::to_owned).collect())
}

fn word(parser: &mut Parser) -> Result<String> {
    value(parser)?.string().map_err(usage)
}

fn value(parser: &mut Parser) -> Result<OsString> {
    parser.value().map_err(usage)
}

#[expect(clippy::needless_pass_by_value, reason = "map_err passes it by value")]
fn usage(error: lexopt::Error) -> Error {
    Error::Usage(error.to_string())
}
