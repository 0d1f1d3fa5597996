//! The command line.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use lexopt::{Arg, Parser, ValueExt as _};

use crate::{
    backend::Mode,
    case::{Amounts, Case},
    error::{Error, Result},
    load::{Load, Span},
    net::Endpoint,
    site::Transport,
    subjects::{self, Subject},
};

const HELP: &str = "\
dormouse and its peers side by side, on this machine, in one run.

cargo run --release -p dormouse-bench -- [OPTIONS]

  --rounds N          rounds over all subjects, in a new order each (5)
  --only A,B          only these measures: bulk messages connections latency
                      startup idle stuck limit cold
  --peers A,B|none    the peers to compare with (PEERS)
  --also NAME=PATH    another build of dormouse as a column of its own
  --transport A,B     of tcp, unix (UNIX sockets on both sides), bridge
                      (TCP clients, UNIX backend) (tcp,unix)
  --seed N            of the order (1)
  --quick             one short round, to see that everything works
  --gate              compare with the project's bounds; exit 1 if one is missed
  --markdown FILE     put the tables between the markers of this file
  --no-dormouse       leave dormouse itself out
  -h, --help          this

dormouse is $DORMOUSE_BIN, or the `dormouse` beside this program.
";

/// What one process of this program is to do.
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
        span: Span,
    },
    Woken {
        at: Endpoint,
        delay: Duration,
    },
    Floor {
        front: Endpoint,
        target: Endpoint,
    },
    /// What follows is for [`crate::process::launch`].
    Launch(Vec<OsString>),
}

/// A run as it was asked for.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) rounds: usize,
    pub(crate) cases: Vec<Case>,
    pub(crate) subjects: Vec<Subject>,
    pub(crate) transports: Vec<Transport>,
    pub(crate) amounts: Amounts,
    pub(crate) seed: u64,
    pub(crate) gate: bool,
    pub(crate) markdown: Option<PathBuf>,
}

/// Reads the arguments, the program's name left out.
pub(crate) fn parse(mut args: impl Iterator<Item = OsString>) -> Result<Command> {
    let mut args: Vec<OsString> = args.by_ref().collect();
    let first = args.first().and_then(|word| word.to_str()).unwrap_or_default().to_owned();
    match first.as_str() {
        "launch" => Ok(Command::Launch(args.split_off(1))),
        "backend" | "client" | "woken" | "floor" => role(&first, &args),
        _ => bench(args),
    }
}

fn role(name: &str, args: &[OsString]) -> Result<Command> {
    let words: Vec<&str> = args.iter().skip(1).filter_map(|word| word.to_str()).collect();
    let wrong = || Error::Usage(format!("not a {name}: {words:?}"));
    let milliseconds = |word: &str| word.parse().map(Duration::from_millis).map_err(|_| wrong());
    match (name, words.as_slice()) {
        ("backend", [mode, at]) => Ok(Command::Backend { mode: mode.parse()?, at: at.parse()? }),
        ("client", [load, front, warm, window]) => Ok(Command::Client {
            load: load.parse()?,
            front: front.parse()?,
            span: Span { warm: milliseconds(warm)?, window: milliseconds(window)? },
        }),
        ("floor", [front, target]) => Ok(Command::Floor { front: front.parse()?, target: target.parse()? }),
        ("woken", [at, microseconds]) => Ok(Command::Woken {
            at: at.parse()?,
            delay: microseconds.parse().map(Duration::from_micros).map_err(|_| wrong())?,
        }),
        _ => Err(wrong()),
    }
}

fn bench(args: Vec<OsString>) -> Result<Command> {
    let mut rounds = None;
    let mut only: Option<Vec<String>> = None;
    let mut peers: Vec<String> = subjects::default_peers().into_iter().map(str::to_owned).collect();
    let mut also = Vec::new();
    let mut transports = vec![Transport::Tcp, Transport::Unix];
    let (mut seed, mut quick, mut gate, mut ours, mut markdown) = (1, false, false, true, None);
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
            Arg::Long("no-dormouse") => ours = false,
            Arg::Long("markdown") => markdown = Some(PathBuf::from(value(&mut parser)?)),
            other => return Err(usage(other.unexpected())),
        }
    }
    let cases = match only {
        None => Case::ALL.to_vec(),
        Some(groups) => {
            let chosen = groups.iter().map(|group| Case::of(group)).collect::<Result<Vec<_>>>()?;
            chosen.concat()
        }
    };
    Ok(Command::Bench(Box::new(Plan {
        rounds: rounds.unwrap_or(if quick { 1 } else { 5 }).max(1),
        cases,
        subjects: chosen_subjects(ours, &also, &peers)?,
        transports,
        amounts: if quick { Amounts::QUICK } else { Amounts::FULL },
        seed,
        gate,
        markdown,
    })))
}

fn chosen_subjects(ours: bool, also: &[String], peers: &[String]) -> Result<Vec<Subject>> {
    let mut chosen = vec![subjects::direct()];
    if ours {
        chosen.push(subjects::dormouse()?);
    }
    for pair in also {
        let (name, path) =
            pair.split_once('=').ok_or_else(|| Error::Usage("--also takes NAME=PATH".into()))?;
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
