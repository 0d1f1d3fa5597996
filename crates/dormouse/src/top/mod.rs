//! `dormouse top`: services and sessions, live in a terminal.

mod keys;
mod model;
mod render;
mod snapshot;
mod terminal;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dormouse_proxy::server::{HangupSignals, Signals};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::MissedTickBehavior;

use self::model::{Action, Model};
use self::snapshot::Snapshot;
use self::terminal::Terminal;
use crate::client::{Client, ClientError};

/// With more sessions the list is not requested: at 256 bytes each it would load both sides.
const MOST: u64 = 10_000;

/// The reason why `dormouse top` failed.
#[derive(Debug)]
pub(crate) enum TopError {
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

/// Shows services and sessions of the program at this control socket, until the user quits.
///
/// # Errors
/// When there is no terminal, or the program cannot be asked.
pub(crate) fn run(control: Option<PathBuf>, interval: Duration) -> Result<(), TopError> {
    if !terminal::is_there() {
        return Err(TopError::NoTerminal);
    }
    let client = Arc::new(Client::new(control)?);
    // The first error is printed normally, not on the screen that is restored at the end.
    let model = Model::new(fetch(&client)?, interval);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(TopError::Runtime)?;
    let result = runtime.block_on(live(&client, model, interval));
    // An answer that is still outstanding is discarded.
    runtime.shutdown_background();
    result
}

/// What a thread of its own is asking; it ends within the client's timeout.
type Asked<T> = Option<JoinHandle<Result<T, ClientError>>>;

async fn live(client: &Arc<Client>, mut model: Model, interval: Duration) -> Result<(), TopError> {
    let mut signals = Signals::register().map_err(TopError::Runtime)?;
    let mut hangups = HangupSignals::register().map_err(TopError::Runtime)?;
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

/// Waits for the answer, if there is a request.
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
        return Err(client.invalid("the process or the services are missing"));
    };
    if snapshot.open <= MOST {
        snapshot.sessions = Some(snapshot::sessions(&client.ask("show sess")?));
    }
    Ok(snapshot)
}
