//! The socket for notifications of a program (`sd_notify(3)`).
//!
//! The program may give up root before it notifies, so every user may send to the socket. The kernel adds the sender to
//! each message, and messages of processes that do not belong to the program are ignored.

mod directory;
mod sender;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dormouse_sys::credentials::Credentials;
use dormouse_sys::datagram;
use dormouse_sys::event_loop::sleep_until;
use rustix::fs::{Mode, OFlags, open};
use rustix::process::{Pid, geteuid};
use tokio::io::Interest;
use tokio::net::UnixDatagram;
use tokio::time::Instant;

pub(crate) use self::directory::{MODE as DIRECTORY_MODE, is_own};
use self::directory::{SOCKET, create};
pub use self::directory::{directories, prepare};
pub(super) use self::directory::{remove, remove_common_of};
pub(crate) use self::sender::SenderQuestion;
use crate::permissions::set_mode;
use crate::spawner::{Question as _, ask};

/// The longest message that is read, in bytes.
const MAX_MESSAGE: usize = 4096;
/// The number of messages that are read before a pause, and the pause. Further senders wait meanwhile.
const BURST: u32 = 32;
const PAUSE: Duration = Duration::from_millis(50);

/// A notification socket, in a directory of its own.
#[derive(Debug)]
pub(super) struct NotifySocket {
    socket: UnixDatagram,
    directory: PathBuf,
    /// The user of the program, if it is not that of dormouse.
    user: Option<u32>,
    /// The number of messages since the last pause.
    received: u32,
    /// The end of a pause.
    resume: Option<Instant>,
    /// A message whose sender is not judged yet.
    unjudged: Option<(Vec<u8>, Option<Credentials>)>,
}

/// A notification, as far as dormouse uses it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Notification {
    /// The program is ready.
    pub(super) ready: bool,
    /// The program's description of its state.
    pub(super) status: Option<String>,
}

/// A message, and whether to believe it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// A process of the program sent it.
    Notification(Notification),
    /// Another process sent it: this user, and this process if the kernel knows it here.
    Foreign { uid: u32, pid: Option<u32> },
}

/// Returns the path of the socket in its directory, the value of `NOTIFY_SOCKET`.
pub(super) fn path_in(directory: &Path) -> PathBuf {
    directory.join(SOCKET)
}

/// Returns whether a sender is a descendant of the guard. A spawner that has ended knows nothing: what this process may
/// see decides then.
async fn belongs_to(sender: &Credentials, guard: Pid, user: Option<u32>) -> bool {
    let question = SenderQuestion::new(sender, guard, user);
    match ask(question.clone()).await {
        Ok(answer) => answer,
        Err(_) => question.answer(),
    }
}

impl NotifySocket {
    /// Opens a socket in a new directory for a program that is started as `user`, or as the user of dormouse.
    ///
    /// # Errors
    /// When no directory can be created, or no descriptors are left.
    pub(super) fn open(user: Option<u32>) -> io::Result<Self> {
        let own = geteuid().as_raw();
        // A program of root may become another user by itself.
        let directory = create(own == 0 || user.is_some_and(|user| user != own))?;
        let socket = bind(&directory.join(SOCKET)).inspect_err(|_| remove(&directory))?;
        Ok(Self { socket, directory, user, received: 0, resume: None, unjudged: None })
    }

    /// Returns the directory of the socket.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Receives the next message for the program of this guard; `None` after an error of the socket. Cancel safe.
    pub(super) async fn receive(&mut self, guard: Option<Pid>) -> Option<Message> {
        if self.unjudged.is_none() {
            self.unjudged = Some(self.receive_unjudged().await?);
        }
        // It stays there until it is judged, because the caller may drop this.
        let (message, sender) = self.unjudged.clone()?;
        let message = self.judge(&message, sender, guard).await;
        self.unjudged = None;
        if matches!(message, Message::Foreign { .. }) {
            // Any user may send, and to judge a sender takes time.
            self.received = BURST;
        }
        Some(message)
    }

    async fn receive_unjudged(&mut self) -> Option<(Vec<u8>, Option<Credentials>)> {
        if self.received >= BURST && self.resume.is_none() {
            self.resume = Instant::now().checked_add(PAUSE);
        }
        if self.resume.is_some() {
            sleep_until(self.resume).await;
            self.resume = None;
            self.received = 0;
        }
        let mut message = [0; MAX_MESSAGE];
        let socket = &self.socket;
        let receive = || datagram::receive_from(socket, &mut message);
        let (length, sender) = socket.async_io(Interest::READABLE, receive).await.ok()?;
        self.received += 1;
        Some((message.get(..length).unwrap_or_default().to_vec(), sender))
    }

    async fn judge(&self, message: &[u8], sender: Option<Credentials>, guard: Option<Pid>) -> Message {
        match (sender, guard) {
            (Some(sender), Some(guard)) if belongs_to(&sender, guard, self.user).await => {
                Message::Notification(parse(message))
            }
            (Some(Credentials { uid, pid, .. }), _) => Message::Foreign { uid, pid },
            // The kernel adds the sender to each message.
            (None, _) => Message::Foreign { uid: u32::MAX, pid: None },
        }
    }
}

impl Drop for NotifySocket {
    fn drop(&mut self) {
        remove(&self.directory);
    }
}

/// Binds a socket that every user may send to. Only this process may change its directory, so the path means this socket.
fn bind(path: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::bind(path)?;
    datagram::pass_senders(&socket)?;
    set_mode(open(path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?, 0o666)?;
    Ok(socket)
}

fn parse(message: &[u8]) -> Notification {
    let mut notification = Notification::default();
    for line in String::from_utf8_lossy(message).lines() {
        match line.split_once('=') {
            Some(("READY", "1")) => notification.ready = true,
            Some(("STATUS", status)) => notification.status = Some(status.to_owned()),
            _ => {}
        }
    }
    notification
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixDatagram as Sender;
    use std::process::Command;

    use rustix::process::getppid;

    #[test]
    fn notifications_are_parsed() {
        assert_eq!(
            parse(b"READY=1\nSTATUS=all well\nMAINPID=1"),
            Notification { ready: true, status: Some("all well".to_owned()) }
        );
        for nothing in [&b"READY=0"[..], b"", b"\xff\xfe", b"READY", b"STOPPING=1"] {
            assert_eq!(parse(nothing), Notification::default());
        }
    }

    #[tokio::test]
    async fn every_user_may_send_and_only_the_own_user_may_change_the_directory() {
        let socket = NotifySocket::open(None).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(socket.directory()), 0o711);
        assert_eq!(mode(&path_in(socket.directory())), 0o666);
        let directory = socket.directory().to_owned();
        drop(socket);
        assert!(!directory.exists());
    }

    #[tokio::test]
    async fn only_descendants_of_the_guard_are_believed() {
        let mut socket = NotifySocket::open(None).unwrap();
        let sender = Sender::unbound().unwrap();
        sender.send_to(b"READY=1", path_in(socket.directory())).unwrap();
        // The test stands in for the program, and its parent for the guard.
        let message = socket.receive(getppid()).await.unwrap();
        assert_eq!(message, Message::Notification(Notification { ready: true, status: None }));
        sender.send_to(b"READY=1", path_in(socket.directory())).unwrap();
        let (uid, pid) = (rustix::process::getuid().as_raw(), Some(std::process::id()));
        let mut other = Command::new("sleep").arg("1000").spawn().unwrap();
        let other_guard = Pid::from_raw(other.id().try_into().unwrap());
        assert_eq!(socket.receive(other_guard).await.unwrap(), Message::Foreign { uid, pid });
        other.kill().unwrap();
        other.wait().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_pauses_the_reader() {
        let mut socket = NotifySocket::open(None).unwrap();
        let sender = Sender::unbound().unwrap();
        let start = Instant::now();
        for _ in 0..=BURST {
            sender.send_to(b"STATUS=x", path_in(socket.directory())).unwrap();
            socket.receive(getppid()).await.unwrap();
        }
        assert!(start.elapsed() >= PAUSE, "{:?}", start.elapsed());
    }
}
