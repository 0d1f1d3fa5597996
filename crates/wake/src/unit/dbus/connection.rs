//! A connection: calls and their answers, and signals to those who watch.

use std::collections::HashMap;
use std::io::{Error, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::auth::authenticate;
use super::decode::{FIXED, Kind, Message, rest};
use super::encode::{Arg, Call, call};

/// So many calls may wait to be sent.
const CALLS: usize = 16;
/// Longer messages are passed over: nothing that we ask for is.
const LONG: usize = 256 * 1024;
/// How long somebody may take to answer; a manager may be busy with reading its files again.
const ANSWER: Duration = Duration::from_secs(25);

/// Why a call has no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::unit) enum Failure {
    /// The connection is gone, or nobody answers.
    Gone(String),
    /// An error is the answer.
    Error {
        /// Its name.
        name: String,
        /// What whoever answers says about it.
        text: String,
    },
}

/// Who gets signals.
pub(in crate::unit) trait Watcher: Send + Sync {
    /// A signal came. Must not block.
    fn signal(&self, message: &Message);
    /// The connection is gone: there will be no more.
    fn gone(&self);
}

/// A connection to a service manager or to a bus.
pub(in crate::unit) struct Connection {
    shared: Arc<Shared>,
    outgoing: mpsc::Sender<Vec<u8>>,
    carrier: JoinHandle<()>,
}

struct Shared {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    serial: u32,
    gone: bool,
    calls: HashMap<u32, oneshot::Sender<Message>>,
    watchers: Vec<Weak<dyn Watcher>>,
}

impl Connection {
    /// Shakes hands over a socket that is connected.
    ///
    /// # Errors
    /// When the other side does not want us, or does not speak D-Bus.
    pub(in crate::unit) async fn over(socket: UnixStream) -> Result<Self, Error> {
        let (reader, mut writer) = socket.into_split();
        let mut reader = BufReader::new(reader);
        authenticate(&mut reader, &mut writer).await?;
        let shared = Arc::new(Shared { state: Mutex::default() });
        let (outgoing, calls) = mpsc::channel(CALLS);
        let carrier = tokio::spawn(carry(reader, writer, calls, Arc::clone(&shared)));
        Ok(Self { shared, outgoing, carrier })
    }

    /// Calls a method and waits for its answer, which has to have this signature.
    ///
    /// # Errors
    /// [`Failure`].
    pub(in crate::unit) async fn call(
        &self,
        destination: Option<&str>,
        (path, interface, member): (&str, &str, &str),
        args: &[Arg<'_>],
    ) -> Result<Message, Failure> {
        let (serial, answer) = self.shared.expect_answer();
        let _forgotten = Forget { shared: &self.shared, serial };
        let bytes = call(serial, Call { destination, path, interface, member }, args);
        let done = async {
            self.outgoing.send(bytes).await.ok()?;
            answer.await.ok()
        };
        match timeout(ANSWER, done).await {
            Ok(Some(message)) if message.kind == Kind::Answer => Ok(message),
            Ok(Some(message)) => {
                let text = message.first_text().unwrap_or_default();
                Err(Failure::Error { name: message.error, text })
            }
            Ok(None) => Err(Failure::Gone("the connection to it is lost".to_owned())),
            Err(_) => Err(Failure::Gone(format!("no answer within {} s", ANSWER.as_secs()))),
        }
    }

    /// Tells this one of all signals, until it is dropped.
    pub(in crate::unit) fn watch(&self, watcher: &Arc<dyn Watcher>) {
        let gone = {
            let mut state = self.shared.lock();
            state.watchers.retain(|watcher| watcher.strong_count() > 0);
            state.watchers.push(Arc::downgrade(watcher));
            state.gone
        };
        if gone {
            watcher.gone();
        }
    }

    /// Whether it still works, as far as is known.
    pub(in crate::unit) fn is_gone(&self) -> bool {
        self.shared.lock().gone
    }

    /// Gives it up.
    pub(in crate::unit) fn close(&self) {
        self.carrier.abort();
        self.shared.end();
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn expect_answer(&self) -> (u32, oneshot::Receiver<Message>) {
        let (answer, receiver) = oneshot::channel();
        let mut state = self.lock();
        // Zero is no serial.
        state.serial = state.serial.checked_add(1).unwrap_or(1);
        let serial = state.serial;
        if !state.gone {
            state.calls.insert(serial, answer);
        }
        (serial, receiver)
    }

    fn take(&self, message: Message) {
        match (message.kind, message.answers) {
            (Kind::Answer | Kind::Error, Some(serial)) => {
                let call = self.lock().calls.remove(&serial);
                if let Some(call) = call {
                    let _ = call.send(message);
                }
            }
            (Kind::Signal, _) => {
                for watcher in self.watchers() {
                    watcher.signal(&message);
                }
            }
            _ => {}
        }
    }

    fn end(&self) {
        {
            let mut state = self.lock();
            state.gone = true;
            state.calls.clear();
        }
        for watcher in self.watchers() {
            watcher.gone();
        }
    }

    fn watchers(&self) -> Vec<Arc<dyn Watcher>> {
        self.lock().watchers.iter().filter_map(Weak::upgrade).collect()
    }
}

/// A call that nobody waits for any more.
struct Forget<'a> {
    shared: &'a Shared,
    serial: u32,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.shared.lock().calls.remove(&self.serial);
    }
}

/// Carries messages both ways until one way ends.
async fn carry(
    mut reader: BufReader<OwnedReadHalf>,
    mut writer: OwnedWriteHalf,
    mut calls: mpsc::Receiver<Vec<u8>>,
    shared: Arc<Shared>,
) {
    let reading = async {
        while let Ok(message) = receive(&mut reader).await {
            if let Some(message) = message {
                shared.take(message);
            }
        }
    };
    let writing = async {
        while let Some(bytes) = calls.recv().await {
            if writer.write_all(&bytes).await.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        () = reading => {}
        () = writing => {}
    }
    shared.end();
}

/// The next message; none if it was passed over.
async fn receive(reader: &mut BufReader<OwnedReadHalf>) -> Result<Option<Message>, Error> {
    let broken = |_| Error::from(ErrorKind::InvalidData);
    let mut fixed = [0; FIXED];
    reader.read_exact(&mut fixed).await?;
    let length = rest(&fixed).map_err(broken)?;
    if length > LONG {
        let mut left = reader.take(u64::try_from(length).unwrap_or(u64::MAX));
        tokio::io::copy(&mut left, &mut tokio::io::sink()).await?;
        return Ok(None);
    }
    let mut rest = vec![0; length];
    reader.read_exact(&mut rest).await?;
    // Signals of others may hold types that we do not know.
    Ok(Message::parse(fixed, &rest).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails instead of waiting for ever.
    async fn soon<T>(work: impl Future<Output = T>) -> T {
        timeout(Duration::from_secs(10), work).await.expect("it should have come soon")
    }

    const METHOD: (&str, &str, &str) = ("/a", "a.b", "Do");

    /// A connection, and its other side after the handshake.
    async fn pair() -> (Connection, UnixStream) {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(b"DATA\r\nOK 0123\r\n").await.unwrap();
        let connection = soon(Connection::over(ours)).await.unwrap();
        let mut handshake = [0; 29];
        soon(theirs.read_exact(&mut handshake)).await.unwrap();
        assert!(handshake.ends_with(b"BEGIN\r\n"));
        (connection, theirs)
    }

    /// An answer to a call, with an empty body.
    fn answer(serial: u8) -> Vec<u8> {
        let mut bytes = vec![b'l', 2, 0, 1, 0, 0, 0, 0, 9, 0, 0, 0, 8, 0, 0, 0];
        bytes.extend([5, 1, b'u', 0, serial, 0, 0, 0]);
        bytes
    }

    #[tokio::test]
    async fn answers_find_their_calls_in_any_order() {
        let (connection, mut theirs) = pair().await;
        let call = || connection.call(None, METHOD, &[Arg::Text("x")]);
        let answers = async {
            let mut calls = [0; 96];
            theirs.read_exact(&mut calls).await.unwrap();
            theirs.write_all(&answer(2)).await.unwrap();
            theirs.write_all(&answer(77)).await.unwrap();
            theirs.write_all(&answer(1)).await.unwrap();
        };
        let (one, two, ()) = soon(async { tokio::join!(call(), call(), answers) }).await;
        assert_eq!((one.unwrap().answers, two.unwrap().answers), (Some(1), Some(2)));
    }

    #[tokio::test]
    async fn nobody_waits_on_a_connection_that_ends() {
        let (connection, theirs) = pair().await;
        let call = connection.call(None, METHOD, &[]);
        let end = async { drop(theirs) };
        let (called, ()) = soon(async { tokio::join!(call, end) }).await;
        assert!(matches!(called, Err(Failure::Gone(_))), "{called:?}");
        assert!(connection.is_gone());
        let again = soon(connection.call(None, METHOD, &[])).await;
        assert!(matches!(again, Err(Failure::Gone(_))), "{again:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever_for_one_who_hangs() {
        let (connection, _theirs) = pair().await;
        let called = connection.call(None, METHOD, &[]).await;
        assert_eq!(called.unwrap_err(), Failure::Gone("no answer within 25 s".to_owned()));
        assert!(connection.shared.lock().calls.is_empty(), "it is remembered");
    }

    #[tokio::test]
    async fn nonsense_ends_the_connection() {
        let (connection, mut theirs) = pair().await;
        theirs.write_all(&[b'x'; 64]).await.unwrap();
        let called = soon(connection.call(None, METHOD, &[])).await;
        assert!(matches!(called, Err(Failure::Gone(_))), "{called:?}");
    }

    #[tokio::test]
    async fn long_messages_are_passed_over() {
        let (connection, mut theirs) = pair().await;
        let long = LONG + 8;
        let mut bytes = vec![b'l', 4, 0, 1];
        bytes.extend(u32::try_from(long).unwrap().to_le_bytes());
        bytes.extend([1, 0, 0, 0, 0, 0, 0, 0]);
        bytes.resize(bytes.len() + long, 0);
        bytes.extend(answer(1));
        let send = async { theirs.write_all(&bytes).await.unwrap() };
        let (called, ()) = soon(async { tokio::join!(connection.call(None, METHOD, &[]), send) }).await;
        assert!(called.is_ok(), "{called:?}");
    }

    #[tokio::test]
    async fn who_is_turned_away_is_told_so() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(b"REJECTED EXTERNAL\r\n").await.unwrap();
        let refused = soon(Connection::over(ours)).await.err().unwrap();
        assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
    }
}
