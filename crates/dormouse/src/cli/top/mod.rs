//! `dormouse top`: services and sessions, live in a terminal.

mod keys;
mod model;
mod render;
mod snapshot;
mod terminal;

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dormouse_core::getopt::{Arg, Getopt, OptSpec, Tier};
use dormouse_core::timespan::TimeSpan;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::MissedTickBehavior;

use self::model::{Action, Model};
use self::snapshot::Snapshot;
use self::terminal::Terminal;
use super::client::{Client, ClientError};
use super::flags::{self, Definition};
use super::steer::CONTROL;
use crate::life::{Hangups, Signals};

/// A flag of `dormouse top`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TopFlag {
    Control,
    Interval,
    Help,
}

/// The flags of `dormouse top`.
pub(crate) const TOP: &[Definition<TopFlag>] = &[
    Definition {
        flag: TopFlag::Control,
        spec: OptSpec { short: None, long: CONTROL.0, arg: Arg::Required, tier: Tier::Ours },
        value: "PATH",
        help: CONTROL.1,
        manual: CONTROL.2,
    },
    Definition {
        flag: TopFlag::Interval,
        spec: OptSpec { short: None, long: "interval", arg: Arg::Required, tier: Tier::Ours },
        value: "SPAN",
        help: &["Show it anew after so long (1s; 100ms to 1h)"],
        manual: "Show it anew after so long, one second unless told; from 100ms to 1h.",
    },
    Definition {
        flag: TopFlag::Help,
        spec: OptSpec { short: Some('h'), long: "help", arg: Arg::No, tier: Tier::Ours },
        value: "",
        help: &["Show this help"],
        manual: "Show a short help.",
    },
];

/// How often it is shown anew unless told.
const INTERVAL: Duration = Duration::from_secs(1);
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(3600);
/// With more sessions than these the list is not asked for: at 256 bytes each it would keep both sides busy.
const MOST: u64 = 10_000;

/// Why it could not go on.
#[derive(Debug)]
enum TopError {
    Client(ClientError),
    NoTerminal,
    Terminal(io::Error),
    Runtime(io::Error),
}

impl fmt::Display for TopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(error) => error.fmt(f),
            Self::NoTerminal => f.write_str(
                "dormouse top needs a terminal as its input and output; dormouse status --watch does without.",
            ),
            Self::Terminal(error) => write!(f, "Failed to use the terminal: {error}"),
            Self::Runtime(error) => write!(f, "Failed to wait for signals and time: {error}"),
        }
    }
}

impl From<ClientError> for TopError {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

pub(super) fn run(args: impl Iterator<Item = OsString>) -> ExitCode {
    let specs: Vec<OptSpec> = TOP.iter().map(|definition| definition.spec).collect();
    let mut getopt = Getopt::new("dormouse top", &specs, args);
    let (mut control, mut interval) = (None, INTERVAL);
    for option in getopt.by_ref() {
        let option = match option {
            Ok(option) => option,
            Err(error) => {
                eprintln!("{error}");
                return ExitCode::FAILURE;
            }
        };
        match TOP.get(option.index).map(|definition| definition.flag) {
            Some(TopFlag::Control) => control = option.value.map(PathBuf::from),
            Some(TopFlag::Interval) => {
                let text = option.value.unwrap_or_default().to_string_lossy().into_owned();
                let Some(span) = span(&text) else {
                    eprintln!("--interval={text} is not a time span from 100ms to 1h, for example 2s.");
                    return ExitCode::FAILURE;
                };
                interval = span;
            }
            Some(TopFlag::Help) => {
                print!("{}", help());
                return ExitCode::SUCCESS;
            }
            None => {}
        }
    }
    if let Some(word) = getopt.positionals().first() {
        eprintln!("{:?} is not expected; dormouse top takes no names.", word.to_string_lossy());
        return ExitCode::FAILURE;
    }
    super::end(top(control, interval))
}

fn span(text: &str) -> Option<Duration> {
    let span = text.parse::<TimeSpan>().ok()?.finite()?;
    (SHORTEST..=LONGEST).contains(&span).then_some(span)
}

fn top(control: Option<PathBuf>, interval: Duration) -> Result<(), TopError> {
    if !terminal::is_there() {
        return Err(TopError::NoTerminal);
    }
    let client = Arc::new(Client::new(control)?);
    // What cannot be asked once is told as it is, not on a screen that goes away.
    let model = Model::new(fetch(&client)?, interval);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(TopError::Runtime)?;
    let result = runtime.block_on(live(&client, model, interval));
    // An answer that is still awaited concerns nobody any more.
    runtime.shutdown_background();
    result
}

/// What a thread of its own is asking; it ends within the client's patience.
type Asked<T> = Option<JoinHandle<Result<T, ClientError>>>;

async fn live(client: &Arc<Client>, mut model: Model, interval: Duration) -> Result<(), TopError> {
    let mut signals = Signals::register().map_err(TopError::Runtime)?;
    let mut hangups = Hangups::register().map_err(TopError::Runtime)?;
    let mut resized = signal(SignalKind::window_change()).map_err(TopError::Runtime)?;
    let mut terminal = Terminal::open().map_err(TopError::Terminal)?;
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut fetching: Asked<Snapshot> = None;
    let mut saying: Asked<String> = None;
    loop {
        let (width, height) = Terminal::size();
        Terminal::show(&render::render(&model, width, height)).map_err(TopError::Terminal)?;
        let mut anew = false;
        tokio::select! {
            () = signals.next() => return Ok(()),
            () = hangups.next() => return Ok(()),
            _ = resized.recv() => {}
            _ = ticks.tick() => anew = true,
            keys = terminal.keys() => for key in keys.map_err(TopError::Terminal)? {
                match model.key(key) {
                    Action::None => {}
                    Action::Quit => return Ok(()),
                    Action::Say(_) if saying.is_some() => {
                        "Not done: the last command is not answered yet.".clone_into(&mut model.message);
                    }
                    Action::Say(line) => {
                        let client = Arc::clone(client);
                        saying = Some(spawn_blocking(move || client.ask(&line)));
                    }
                }
            },
            outcome = answered(&mut fetching) => match outcome {
                Ok(snapshot) => model.take(snapshot),
                Err(trouble) => model.trouble = Some(trouble),
            },
            outcome = answered(&mut saying) => {
                model.told(&outcome.unwrap_or_else(|trouble| trouble));
                anew = true;
            }
        }
        if anew && fetching.is_none() {
            let client = Arc::clone(client);
            fetching = Some(spawn_blocking(move || fetch(&client)));
        }
    }
}

/// Waits for the answer, if one is awaited.
async fn answered<T>(asked: &mut Asked<T>) -> Result<T, String> {
    let Some(handle) = asked else { return std::future::pending().await };
    let outcome = handle.await;
    *asked = None;
    match outcome {
        Ok(outcome) => outcome.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

fn fetch(client: &Client) -> Result<Snapshot, ClientError> {
    let told = client.ask_json("show services json")?;
    let Some(mut snapshot) = Snapshot::read(&told, Instant::now()) else {
        return Err(client.nonsense("it names no process and no services"));
    };
    if snapshot.open <= MOST {
        snapshot.sessions = Some(snapshot::sessions(&client.ask("show sess")?));
    }
    Ok(snapshot)
}

fn help() -> String {
    format!(
        "dormouse top [OPTIONS...]\n\n\
         Show services and their sessions live in a terminal, and steer them by keys; h tells which.\n\n\
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
        assert_eq!(span("2s"), Some(Duration::from_secs(2)));
        assert_eq!(span("100ms"), Some(SHORTEST));
        for text in ["", "0", "99ms", "2h", "infinity", "often"] {
            assert_eq!(span(text), None, "{text}");
        }
    }
}
