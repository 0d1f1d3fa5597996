//! The receiving side of `sd_notify`.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{process, thread};

use crate::Result;
use crate::failure::Doing;
use crate::process::Collected;
use crate::temp::TempDir;

/// A notification socket and all messages that it has received.
#[derive(Debug)]
pub struct Manager {
    socket: UnixDatagram,
    name: String,
    received: Arc<Collected<Message>>,
    reader: Option<thread::JoinHandle<()>>,
    _dir: Option<TempDir>,
}

/// One notification.
#[derive(Clone, Debug)]
pub struct Message {
    /// When it arrived.
    pub at: Instant,
    /// Its text: assignments, one a line.
    pub text: String,
}

impl Message {
    /// The value of `key`, if the message assigns it.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
    }
}

impl Manager {
    /// Listens at a path.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn at_path() -> Result<Self> {
        let dir = TempDir::new()?;
        let path = dir.join("notify");
        let socket = UnixDatagram::bind(&path).doing(|| format!("bind {}", path.display()))?;
        Self::start(socket, path.display().to_string(), Some(dir))
    }

    /// Listens at an abstract name.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn at_abstract_name() -> Result<Self> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("dormouse-test-notify-{}-{number}", process::id());
        let address = SocketAddr::from_abstract_name(&name).doing(|| format!("name @{name}"))?;
        let socket = UnixDatagram::bind_addr(&address).doing(|| format!("bind @{name}"))?;
        Self::start(socket, format!("@{name}"), None)
    }

    fn start(socket: UnixDatagram, name: String, dir: Option<TempDir>) -> Result<Self> {
        let received = Arc::new(Collected::default());
        let source = socket.try_clone().doing(|| format!("clone the socket {name}"))?;
        let into = Arc::clone(&received);
        let reader = thread::spawn(move || {
            let mut buffer = [0; 4096];
            // A length of 0 is the shutdown of the socket by our own drop.
            while let Ok(length @ 1..) = source.recv(&mut buffer) {
                let text = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()).into_owned();
                into.push(Message { at: Instant::now(), text });
            }
            into.close();
        });
        Ok(Self { socket, name, received, reader: Some(reader), _dir: dir })
    }

    /// The value for `NOTIFY_SOCKET`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns all messages received so far.
    pub fn messages(&self) -> Vec<Message> {
        self.received.with(<[Message]>::to_vec)
    }

    /// Waits for a message that assigns `value` to `key`; earlier messages count.
    ///
    /// # Errors
    /// When none arrives within `limit`.
    pub fn wait_for(&self, key: &str, value: &str, limit: Duration) -> Result<Message> {
        self.wait_until(&format!("notification {key}={value}"), limit, |message| {
            message.get(key) == Some(value)
        })
    }

    /// Waits for a message that satisfies `wanted`; earlier messages count.
    ///
    /// # Errors
    /// When none arrives within `limit`; `what` describes the message for the failure.
    pub fn wait_until(
        &self,
        what: &str,
        limit: Duration,
        wanted: impl Fn(&Message) -> bool,
    ) -> Result<Message> {
        self.received.wait_until(what, limit, |messages| messages.iter().find(|m| wanted(m)).cloned())
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        // The shutdown ends the reader thread. If it fails, a join would block.
        if self.socket.shutdown(std::net::Shutdown::Both).is_ok() {
            if let Some(reader) = self.reader.take() {
                let _ = reader.join();
            }
        }
    }
}
