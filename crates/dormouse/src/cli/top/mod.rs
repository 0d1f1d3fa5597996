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

use dormouse_core::getopt::{Arg, OptSpec, Tier};
use dormouse_core::timespan::TimeSpan;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::MissedTickBehavior;

use self::model::{Action, Model};
use self::snapshot::Snapshot;
use self::terminal::Terminal;
use super::client::{Client, ClientError};
use super::flags::{self, Definition, Stop};
use super::out;
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
    flags::for_control(TopFlag::Control),
    Definition {
        flag: TopFlag::Interval,
        spec: OptSpec { short: None, long: "interval", arg: Arg::Required, tier: Tier::Ours },
        value: "SPAN",
        help: &["Show it anew after so long (1s; 100ms to 1h)"],
        manual: "Show it anew after so long, one second unless told; from 100ms to 1h.",
    },
    flags::for_help(TopFlag::Help),
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
    let (mut control, mut interval) = (None, INTERVAL);
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
                return out::fail(format_args!("{word:?} is not expected; dormouse top takes no names."));
            }
        }
        Err(stop) => return stop.tell(&help()),
    }
    super::end(top(control, interval))
}

fn span(text: &str) -> Result<Duration, Stop> {
    let span = text.parse::<TimeSpan>().ok().and_then(TimeSpan::finite);
    span.filter(|span| (SHORTEST..=LONGEST).contains(span)).ok_or_else(|| {
        Stop::Wrong(format!("--interval={text} is not a time span from 100ms to 1h, for example 2s."))
    })
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
        assert_eq!(span("2s"), Ok(Duration::from_secs(2)));
        assert_eq!(span("100ms"), Ok(SHORTEST));
        for text in ["", "0", "99ms", "2h", "infinity", "often"] {
            assert!(span(text).is_err(), "{text}");
        }
    }
}
