//! Notifications when a UNIX socket appears or disappears: inotify(7) on its directory, or the nearest existing one.

use std::ffi::OsStr;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use dormouse_sys::closer;
use dormouse_sys::event_loop::register;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The maximum number of events read at a time.
const MOST: usize = 1024;

/// Watches for a path to appear, to be replaced or to disappear.
#[derive(Debug)]
pub struct PathWatch {
    path: PathBuf,
    /// `None` only during drop.
    inotify: Option<AsyncFd<OwnedFd>>,
}

impl PathWatch {
    /// Starts to watch. Returns `None` if the system is out of watches; the caller then polls.
    pub fn new(path: &Path) -> Option<Self> {
        let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok()?;
        let watch = Self { path: path.to_owned(), inotify: Some(register(fd, Interest::READABLE).ok()?) };
        watch.watch_nearest()?;
        Some(watch)
    }

    /// Waits for a change of the path or of one of its directories.
    pub async fn changed(&mut self) {
        let Some(inotify) = &self.inotify else { return std::future::pending().await };
        loop {
            let Ok(mut guard) = inotify.readable().await else { return std::future::pending().await };
            match self.read_events(inotify.get_ref()) {
                Ok(true) => break,
                // The event is about another file in the same directory.
                Ok(false) => guard.clear_ready(),
                Err(_) => return std::future::pending().await,
            }
        }
        // A directory may have appeared with everything below it.
        self.watch_nearest();
    }

    /// Reads all events. Returns whether one of them is about the path or one of its directories.
    fn read_events(&self, inotify: &OwnedFd) -> Result<bool, Errno> {
        let mut space = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(inotify, &mut space);
        let mut found = false;
        for _ in 0..MOST {
            match events.next() {
                // An event without a name is about a directory itself, or events were lost.
                Ok(event) => {
                    let name = event.file_name().map(|name| OsStr::from_bytes(name.to_bytes()));
                    found |= name.is_none_or(|name| self.path.iter().any(|part| part == name));
                }
                Err(Errno::AGAIN) => return Ok(found),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
        // Too many events to read: assume a change.
        Ok(true)
    }

    /// Watches the deepest existing directory and its parent, because both of them may be replaced.
    fn watch_nearest(&self) -> Option<()> {
        let flags = WatchFlags::CREATE
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE
            | WatchFlags::MOVED_FROM
            | WatchFlags::ATTRIB
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        let inotify = self.inotify.as_ref()?;
        let mut added = 0;
        for directory in self.path.ancestors().skip(1) {
            if inotify::add_watch(inotify.get_ref(), directory, flags).is_ok() {
                added += 1;
            }
            if added == 2 {
                break;
            }
        }
        (added > 0).then_some(())
    }
}

impl Drop for PathWatch {
    /// Closes the inotify descriptor in another thread, because the kernel takes 10 to 25 ms, during which all sessions would
    /// wait.
    fn drop(&mut self) {
        let Some(inotify) = self.inotify.take().map(AsyncFd::into_inner) else { return };
        closer::close(vec![inotify]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn sees_a_file_appear_in_a_directory_that_appears() {
        let base = std::env::temp_dir().join(format!("dormouse-watch-{}", std::process::id()));
        std::fs::create_dir_all(&base).unwrap();
        let path = base.join("later/socket");
        let mut watch = PathWatch::new(&path).unwrap();
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let limit = Duration::from_secs(5);
        tokio::time::timeout(limit, watch.changed()).await.unwrap();
        std::fs::write(&path, "").unwrap();
        tokio::time::timeout(limit, watch.changed()).await.unwrap();
        std::fs::remove_dir_all(base).unwrap();
    }

    #[tokio::test]
    async fn ignores_other_files_in_the_directory() {
        let base = std::env::temp_dir().join(format!("dormouse-watch-beside-{}", std::process::id()));
        std::fs::create_dir_all(&base).unwrap();
        let path = base.join("socket");
        let watch = PathWatch::new(&path).unwrap();
        let inotify = watch.inotify.as_ref().unwrap().get_ref();
        std::fs::write(base.join("another"), "").unwrap();
        assert_eq!(watch.read_events(inotify), Ok(false));
        std::fs::write(&path, "").unwrap();
        std::fs::remove_file(base.join("another")).unwrap();
        assert_eq!(watch.read_events(inotify), Ok(true));
        assert_eq!(watch.read_events(inotify), Ok(false));
        std::fs::remove_dir_all(base).unwrap();
    }
}
