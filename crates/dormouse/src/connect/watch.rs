//! Knowing at once that a UNIX socket appears: inotify(7) on its directory, or on the nearest one that exists.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use dormouse_sys::watch::watch;

/// Watches for a path to appear or to be replaced.
#[derive(Debug)]
pub struct PathWatch {
    path: PathBuf,
    inotify: AsyncFd<OwnedFd>,
}

impl PathWatch {
    /// Begins to watch; `None` where the system has no more watches to give (polling is left then).
    pub fn new(path: &Path) -> Option<Self> {
        let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok()?;
        let watch = Self { path: path.to_owned(), inotify: watch(fd, Interest::READABLE).ok()? };
        watch.watch_nearest()?;
        Some(watch)
    }

    /// Waits until something changed on the way to the path.
    pub async fn changed(&mut self) {
        loop {
            let Ok(mut guard) = self.inotify.readable().await else { return std::future::pending().await };
            let mut events = [0; 4096];
            match rustix::io::read(self.inotify.get_ref(), &mut events) {
                Ok(_) => break,
                Err(rustix::io::Errno::AGAIN) => guard.clear_ready(),
                Err(_) => return std::future::pending().await,
            }
        }
        // A directory may have appeared, and with it all that is below.
        self.watch_nearest();
    }

    /// Watches the directories from the deepest that exists upwards by one, since any of them may be replaced.
    fn watch_nearest(&self) -> Option<()> {
        let flags = WatchFlags::CREATE
            | WatchFlags::MOVED_TO
            | WatchFlags::ATTRIB
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        let mut added = 0;
        for directory in self.path.ancestors().skip(1) {
            if inotify::add_watch(self.inotify.get_ref(), directory, flags).is_ok() {
                added += 1;
            }
            if added == 2 {
                break;
            }
        }
        (added > 0).then_some(())
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
        let patience = Duration::from_secs(5);
        tokio::time::timeout(patience, watch.changed()).await.unwrap();
        std::fs::write(&path, "").unwrap();
        tokio::time::timeout(patience, watch.changed()).await.unwrap();
        std::fs::remove_dir_all(base).unwrap();
    }
}
