//! Questions about other processes. A restricted process may not look into them (ptrace(2), Landlock).

use std::io;
use std::time::Duration;

use dormouse_sys::blocking;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::client::spawner;
use super::reports::{Report, gone};

/// The time that an answer may take. The longest one searches all processes for several sockets.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// A question about other processes.
pub(crate) trait Question: Serialize + Clone + Send + 'static {
    /// The name of the question for the spawner.
    const KIND: &'static str;
    /// Whether the answer takes so long that it needs a thread.
    const IS_LONG: bool;
    /// The answer.
    type Answer: DeserializeOwned + Send + 'static;

    /// Finds the answer, in a process that is not restricted.
    fn answer(self) -> Self::Answer;
}

/// A question with its name.
#[derive(Serialize)]
struct Named<'a, Q> {
    kind: &'static str,
    body: &'a Q,
}

/// Asks the spawner, or finds the answer in this process if there is none.
///
/// # Errors
/// When the spawner has ended or is too busy, or the system refuses a thread.
pub(crate) async fn ask<Q: Question>(question: Q) -> io::Result<Q::Answer> {
    let Some(spawner) = spawner() else {
        if Q::IS_LONG {
            return blocking::spawn(Q::KIND, move || question.answer())
                .result()
                .await
                .map_err(io::Error::other);
        }
        return Ok(question.answer());
    };
    let named = Named { kind: Q::KIND, body: &question };
    let (mut reports, place) = spawner.request(&Asked { ask: named }, &[]).await?;
    let report = timeout(ANSWER_TIMEOUT, reports.next()).await;
    drop(place);
    match report.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?? {
        Report::Answer(text) => Ok(serde_json::from_str(&text)?),
        Report::Refused => Err(io::Error::other("the spawner does not answer this")),
        _ => Err(gone()),
    }
}

#[derive(Serialize)]
struct Asked<T> {
    ask: T,
}
