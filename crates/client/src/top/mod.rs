//! `dormouse top`: services and sessions, live in a terminal.

mod keys;
mod model;
mod render;
mod snapshot;
mod table;
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
use crate::{Client, ClientError};

/// Above this number the list of sessions is not requested: at 256 bytes each it would load both processes.
const MAX_LISTED: u64 = 10_000;

/// The reason why `dormouse top` failed.
#[derive(Debug)]
pub enum TopError {
    /// dormouse does not answer.
    Client(ClientError),
    /// Standard input or output is no terminal.
    NoTerminal,
    /// The terminal cannot be used.
    Terminal(io::Error),
    /// Signals or the time cannot be waited for.
    Runtime(io::Error),
}

impl fmt::Display for TopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(error) => error.fmt(f),
            Self::NoTerminal => f.write_str(
                "dormouse top needs a terminal as standard input and output; dormouse status --watch works without one.",
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

/// Shows the services and sessions of the dormouse at this control socket until the user quits.
///
/// # Errors
/// When there is no terminal, or dormouse does not answer.
pub fn run(control: Option<PathBuf>, interval: Duration) -> Result<(), TopError> {
    if !terminal::is_available() {
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

/// A request on a thread of its own; it ends within the timeout of the client.
type Pending<T> = Option<JoinHandle<Result<T, ClientError>>>;

/// Refreshes the screen and handles keys until the user quits.
async fn live(client: &Arc<Client>, mut model: Model, interval: Duration) -> Result<(), TopError> {
    let mut signals = Signals::register().map_err(TopError::Runtime)?;
    let mut hangups = HangupSignals::register().map_err(TopError::Runtime)?;
    let mut resized = signal(SignalKind::window_change()).map_err(TopError::Runtime)?;
    let mut terminal = Terminal::open().map_err(TopError::Terminal)?;
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut fetching: Pending<Snapshot> = None;
    let mut sending: Pending<String> = None;
    loop {
        let (width, height) = Terminal::size();
        Terminal::show(&render::render(&model, width, height)).map_err(TopError::Terminal)?;
        let mut refresh = false;
        tokio::select! {
            () = signals.next() => return Ok(()),
            () = hangups.next() => return Ok(()),
            _ = resized.recv() => {}
            _ = ticks.tick() => refresh = true,
            keys = terminal.keys() => for key in keys.map_err(TopError::Terminal)? {
                match model.key(key) {
                    Action::None => {}
                    Action::Quit => return Ok(()),
                    Action::Send(_) if sending.is_some() => {
                        "Not sent: the previous command has no answer yet.".clone_into(&mut model.message);
                    }
                    Action::Send(line) => {
                        let client = Arc::clone(client);
                        sending = Some(spawn_blocking(move || client.ask(&line)));
                    }
                }
            },
            outcome = answered(&mut fetching) => match outcome {
                Ok(snapshot) => model.update(snapshot),
                Err(error) => model.error = Some(error),
            },
            outcome = answered(&mut sending) => {
                model.show_answer(&outcome.unwrap_or_else(|error| error));
                refresh = true;
            }
        }
        if refresh && fetching.is_none() {
            let client = Arc::clone(client);
            fetching = Some(spawn_blocking(move || fetch(&client)));
        }
    }
}

/// Waits for the answer; without a request forever.
async fn answered<T>(request: &mut Pending<T>) -> Result<T, String> {
    let Some(handle) = request else { return std::future::pending().await };
    let outcome = handle.await;
    *request = None;
    match outcome {
        Ok(outcome) => outcome.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

/// Requests the data of the screen.
fn fetch(client: &Client) -> Result<Snapshot, ClientError> {
    let answer = client.ask_json("show services json")?;
    let Some(mut snapshot) = Snapshot::read(&answer, Instant::now()) else {
        return Err(client.invalid("the process or the services are missing"));
    };
    if snapshot.open <= MAX_LISTED {
        snapshot.sessions = Some(snapshot::sessions(&client.ask("show sess")?));
    }
    Ok(snapshot)
}
