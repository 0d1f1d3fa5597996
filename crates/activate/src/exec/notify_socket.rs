//! The socket for notifications of a program (`sd_notify(3)`).
//!
//! A program of root may become another user before it notifies, so every user may send to its socket. The kernel adds the
//! sender to each message, and messages of processes that do not belong to the program are ignored.

mod directory;
mod foreign;
mod sender;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dormouse_sys::closer;
use dormouse_sys::credentials::Credentials;
use dormouse_sys::datagram::{self, Datagram};
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
use self::foreign::ForeignSenders;
pub(crate) use self::sender::SenderQuestion;
use crate::permissions::{set_mode, set_owner};
use crate::spawner::{Question as _, ask};

/// The longest message that is read, in bytes.
const MAX_MESSAGE: usize = 4096;
/// The number of messages that are judged before a pause, and the pause. Further senders wait meanwhile.
const BURST: u32 = 32;
const PAUSE: Duration = Duration::from_millis(50);
/// The number of messages that are dropped before a pause, and the pause. A flood must take little time, and must not keep
/// the program's own message waiting.
const DROPPED_BURST: u32 = 64;
const DROPPED_PAUSE: Duration = Duration::from_millis(5);

/// The mode of a socket that every user may send to.
const OF_ALL: u32 = 0o666;
/// The mode of a socket that only its owner and root may send to.
const OF_ITS_OWNER: u32 = 0o600;

/// A notification socket, in a directory of its own.
#[derive(Debug)]
pub(super) struct NotifySocket {
    socket: UnixDatagram,
    directory: PathBuf,
    /// The user of the program, if it is not that of dormouse.
    user: Option<u32>,
    /// The number of messages since the last pause that were judged.
    judged: u32,
    /// The number of those that were dropped.
    dropped: u32,
    /// The users who have sent messages that are not the program's.
    foreign: ForeignSenders,
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
        let socket = bind(&directory.join(SOCKET), user).inspect_err(|_| remove(&directory))?;
        let foreign = ForeignSenders::default();
        Ok(Self { socket, directory, user, judged: 0, dropped: 0, foreign, resume: None, unjudged: None })
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
        self.judged += 1;
        if let Message::Foreign { uid, .. } = message {
            self.foreign.count(uid, Instant::now());
        }
        Some(message)
    }

    /// Receives the next message whose sender is to be judged.
    async fn receive_unjudged(&mut self) -> Option<(Vec<u8>, Option<Credentials>)> {
        loop {
            self.pause().await;
            let mut message = [0; MAX_MESSAGE];
            let socket = &self.socket;
            let receive = || datagram::receive_from(socket, &mut message);
            let Datagram { length, sender, descriptors } =
                socket.async_io(Interest::READABLE, receive).await.ok()?;
            // As sd_notify_barrier(3) expects it. Any user may have sent them, and made their close last long.
            closer::discard(descriptors);
            let uid = sender.as_ref().map_or(u32::MAX, |sender| sender.uid);
            if self.foreign.may_be_judged(uid, Instant::now()) {
                return Some((message.get(..length).unwrap_or_default().to_vec(), sender));
            }
            self.dropped += 1;
        }
    }

    /// Waits while enough messages were taken.
    async fn pause(&mut self) {
        while closer::is_full() {
            sleep_until(Instant::now().checked_add(PAUSE)).await;
        }
        let pause = match (self.judged >= BURST, self.dropped >= DROPPED_BURST) {
            (true, _) => Some(PAUSE),
            (false, true) => Some(DROPPED_PAUSE),
            (false, false) => None,
        };
        if let (Some(pause), None) = (pause, self.resume) {
            self.resume = Instant::now().checked_add(pause);
        }
        if self.resume.is_some() {
            sleep_until(self.resume).await;
            self.resume = None;
            (self.judged, self.dropped) = (0, 0);
        }
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
        closer::discard(datagram::take_unread_descriptors(&self.socket));
    }
}

/// Binds a socket that the user of the program may send to. Only this process may change its directory, so the path means
/// this socket.
fn bind(path: &Path, user: Option<u32>) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::bind(path)?;
    datagram::pass_senders(&socket)?;
    let file = open(path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    let own = geteuid().as_raw();
    let mode = match user.unwrap_or(own) {
        // A program of root may become another user by itself.
        0 => OF_ALL,
        // Without the right to give files away everybody may send.
        user if user != own && set_owner(&file, Some(user), None).is_err() => OF_ALL,
        _ => OF_ITS_OWNER,
    };
    set_mode(file, mode)?;
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
    use std::os::unix::fs::MetadataExt;
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
    async fn the_user_of_the_program_may_send_and_only_the_own_user_may_change_the_directory() {
        let root = geteuid().is_root();
        let other = if root { 64_321 } else { geteuid().as_raw() };
        let of = |path: &Path| fs::metadata(path).map(|of| (of.uid(), of.mode() & 0o7777)).unwrap();
        let socket = NotifySocket::open(Some(other)).unwrap();
        assert_eq!(of(&path_in(socket.directory())), (other, 0o600));
        let socket = NotifySocket::open(None).unwrap();
        assert_eq!(of(socket.directory()), (geteuid().as_raw(), 0o711));
        assert_eq!(of(&path_in(socket.directory())).1, if root { 0o666 } else { 0o600 });
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
