//! A D-Bus connection: calls, replies, and signals for handlers.

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
use super::decode::{FIXED_LENGTH, Kind, Message, remaining_length};
use super::encode::{Arg, Call, call};

/// The number of calls that may wait to be sent.
const CALL_CAPACITY: usize = 16;
/// The longest message to read, in bytes. Longer messages are skipped; no expected reply is longer.
const MAX_MESSAGE: usize = 256 * 1024;
/// The time that a reply may take. A manager may be busy with reloading its files.
const REPLY_TIMEOUT: Duration = Duration::from_secs(25);

/// A failed call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::unit) enum CallError {
    /// The connection is lost, or there was no reply in time.
    Disconnected(String),
    /// The reply is an error.
    Reply {
        /// The name of the error.
        name: String,
        /// The message.
        text: String,
    },
}

/// A handler of signals.
pub(in crate::unit) trait SignalHandler: Send + Sync {
    /// Handles a signal. It must not block.
    fn signal(&self, message: &Message);
    /// Handles the end of the connection.
    fn disconnected(&self);
}

/// A connection to a service manager or to a bus.
pub(in crate::unit) struct Connection {
    shared: Arc<Shared>,
    outgoing: mpsc::Sender<Vec<u8>>,
    io_task: JoinHandle<()>,
}

struct Shared {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    serial: u32,
    closed: bool,
    calls: HashMap<u32, oneshot::Sender<Message>>,
    handlers: Vec<Weak<dyn SignalHandler>>,
}

impl Connection {
    /// Authenticates over a connected socket.
    ///
    /// # Errors
    /// When the peer rejects the client, or does not speak D-Bus.
    pub(in crate::unit) async fn over(socket: UnixStream) -> Result<Self, Error> {
        let (reader, mut writer) = socket.into_split();
        let mut reader = BufReader::new(reader);
        authenticate(&mut reader, &mut writer).await?;
        let shared = Arc::new(Shared { state: Mutex::default() });
        let (outgoing, calls) = mpsc::channel(CALL_CAPACITY);
        let io_task = tokio::spawn(transfer(reader, writer, calls, Arc::clone(&shared)));
        Ok(Self { shared, outgoing, io_task })
    }

    /// Calls a method and waits for the reply.
    ///
    /// # Errors
    /// [`CallError`].
    pub(in crate::unit) async fn call(
        &self,
        destination: Option<&str>,
        (path, interface, member): (&str, &str, &str),
        args: &[Arg<'_>],
    ) -> Result<Message, CallError> {
        let (serial, reply) = self.shared.expect_reply();
        let _pending = PendingCall { shared: &self.shared, serial };
        let bytes = call(serial, Call { destination, path, interface, member }, args);
        let exchange = async {
            self.outgoing.send(bytes).await.ok()?;
            reply.await.ok()
        };
        match timeout(REPLY_TIMEOUT, exchange).await {
            Ok(Some(message)) if message.kind == Kind::Reply => Ok(message),
            Ok(Some(message)) => {
                let text = message.first_text().unwrap_or_default();
                Err(CallError::Reply { name: message.error, text })
            }
            Ok(None) => Err(CallError::Disconnected("the connection to it was lost".to_owned())),
            Err(_) => Err(CallError::Disconnected(format!("no answer within {} s", REPLY_TIMEOUT.as_secs()))),
        }
    }

    /// Passes all signals to a handler until the handler is dropped.
    pub(in crate::unit) fn add_handler(&self, handler: &Arc<dyn SignalHandler>) {
        let closed = {
            let mut state = self.shared.lock();
            state.handlers.retain(|handler| handler.strong_count() > 0);
            state.handlers.push(Arc::downgrade(handler));
            state.closed
        };
        if closed {
            handler.disconnected();
        }
    }

    /// Returns whether the connection is closed.
    pub(in crate::unit) fn is_closed(&self) -> bool {
        self.shared.lock().closed
    }

    /// Closes the connection.
    pub(in crate::unit) fn close(&self) {
        self.io_task.abort();
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

    fn expect_reply(&self) -> (u32, oneshot::Receiver<Message>) {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.lock();
        // Zero is not a valid serial number.
        state.serial = state.serial.checked_add(1).unwrap_or(1);
        let serial = state.serial;
        if !state.closed {
            state.calls.insert(serial, sender);
        }
        (serial, receiver)
    }

    fn dispatch(&self, message: Message) {
        match (message.kind, message.reply_serial) {
            (Kind::Reply | Kind::Error, Some(serial)) => {
                let call = self.lock().calls.remove(&serial);
                if let Some(call) = call {
                    let _ = call.send(message);
                }
            }
            (Kind::Signal, _) => {
                for handler in self.handlers() {
                    handler.signal(&message);
                }
            }
            _ => {}
        }
    }

    fn end(&self) {
        {
            let mut state = self.lock();
            state.closed = true;
            state.calls.clear();
        }
        for handler in self.handlers() {
            handler.disconnected();
        }
    }

    fn handlers(&self) -> Vec<Arc<dyn SignalHandler>> {
        self.lock().handlers.iter().filter_map(Weak::upgrade).collect()
    }
}

/// A call in progress. Dropping it forgets the call.
struct PendingCall<'a> {
    shared: &'a Shared,
    serial: u32,
}

impl Drop for PendingCall<'_> {
    fn drop(&mut self) {
        self.shared.lock().calls.remove(&self.serial);
    }
}

/// Transfers messages in both directions until one direction fails.
async fn transfer(
    mut reader: BufReader<OwnedReadHalf>,
    mut writer: OwnedWriteHalf,
    mut calls: mpsc::Receiver<Vec<u8>>,
    shared: Arc<Shared>,
) {
    let reading = async {
        while let Ok(message) = receive(&mut reader).await {
            if let Some(message) = message {
                shared.dispatch(message);
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

/// Reads the next message; `None` if it was skipped.
async fn receive(reader: &mut BufReader<OwnedReadHalf>) -> Result<Option<Message>, Error> {
    let malformed = |_| Error::from(ErrorKind::InvalidData);
    let mut fixed = [0; FIXED_LENGTH];
    reader.read_exact(&mut fixed).await?;
    let length = remaining_length(&fixed).map_err(malformed)?;
    if length > MAX_MESSAGE {
        let mut left = reader.take(u64::try_from(length).unwrap_or(u64::MAX));
        tokio::io::copy(&mut left, &mut tokio::io::sink()).await?;
        return Ok(None);
    }
    let mut rest = vec![0; length];
    reader.read_exact(&mut rest).await?;
    // Signals of other programs may contain unsupported types.
    Ok(Message::parse(fixed, &rest).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails instead of hanging.
    async fn soon<T>(work: impl Future<Output = T>) -> T {
        timeout(Duration::from_secs(10), work).await.expect("it takes too long")
    }

    const METHOD: (&str, &str, &str) = ("/a", "a.b", "Do");

    /// Returns a connection and its peer, after the handshake.
    async fn pair() -> (Connection, UnixStream) {
        let (local, mut peer) = UnixStream::pair().unwrap();
        peer.write_all(b"DATA\r\nOK 0123\r\n").await.unwrap();
        let connection = soon(Connection::over(local)).await.unwrap();
        let mut handshake = [0; 29];
        soon(peer.read_exact(&mut handshake)).await.unwrap();
        assert!(handshake.ends_with(b"BEGIN\r\n"));
        (connection, peer)
    }

    /// Returns a reply to a call, with an empty body.
    fn reply(serial: u8) -> Vec<u8> {
        let mut bytes = vec![b'l', 2, 0, 1, 0, 0, 0, 0, 9, 0, 0, 0, 8, 0, 0, 0];
        bytes.extend([5, 1, b'u', 0, serial, 0, 0, 0]);
        bytes
    }

    #[tokio::test]
    async fn replies_may_arrive_in_any_order() {
        let (connection, mut peer) = pair().await;
        let call = || connection.call(None, METHOD, &[Arg::Text("x")]);
        let replies = async {
            let mut calls = [0; 96];
            peer.read_exact(&mut calls).await.unwrap();
            peer.write_all(&reply(2)).await.unwrap();
            peer.write_all(&reply(77)).await.unwrap();
            peer.write_all(&reply(1)).await.unwrap();
        };
        let (one, two, ()) = soon(async { tokio::join!(call(), call(), replies) }).await;
        assert_eq!((one.unwrap().reply_serial, two.unwrap().reply_serial), (Some(1), Some(2)));
    }

    #[tokio::test]
    async fn a_lost_connection_fails_all_calls() {
        let (connection, peer) = pair().await;
        let call = connection.call(None, METHOD, &[]);
        let end = async { drop(peer) };
        let (called, ()) = soon(async { tokio::join!(call, end) }).await;
        assert!(matches!(called, Err(CallError::Disconnected(_))), "{called:?}");
        assert!(connection.is_closed());
        let again = soon(connection.call(None, METHOD, &[])).await;
        assert!(matches!(again, Err(CallError::Disconnected(_))), "{again:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_without_a_reply_times_out() {
        let (connection, _theirs) = pair().await;
        let called = connection.call(None, METHOD, &[]).await;
        assert_eq!(called.unwrap_err(), CallError::Disconnected("no answer within 25 s".to_owned()));
        assert!(connection.shared.lock().calls.is_empty(), "the call is still pending");
    }

    #[tokio::test]
    async fn a_malformed_message_closes_the_connection() {
        let (connection, mut peer) = pair().await;
        peer.write_all(&[b'x'; 64]).await.unwrap();
        let called = soon(connection.call(None, METHOD, &[])).await;
        assert!(matches!(called, Err(CallError::Disconnected(_))), "{called:?}");
    }

    #[tokio::test]
    async fn long_messages_are_skipped() {
        let (connection, mut peer) = pair().await;
        let long = MAX_MESSAGE + 8;
        let mut bytes = vec![b'l', 4, 0, 1];
        bytes.extend(u32::try_from(long).unwrap().to_le_bytes());
        bytes.extend([1, 0, 0, 0, 0, 0, 0, 0]);
        bytes.resize(bytes.len() + long, 0);
        bytes.extend(reply(1));
        let send = async { peer.write_all(&bytes).await.unwrap() };
        let (called, ()) = soon(async { tokio::join!(connection.call(None, METHOD, &[]), send) }).await;
        assert!(called.is_ok(), "{called:?}");
    }

    #[tokio::test]
    async fn a_rejected_client_gets_an_error() {
        let (local, mut peer) = UnixStream::pair().unwrap();
        peer.write_all(b"REJECTED EXTERNAL\r\n").await.unwrap();
        let rejected = soon(Connection::over(local)).await.err().unwrap();
        assert_eq!(rejected.kind(), ErrorKind::PermissionDenied);
    }
}
