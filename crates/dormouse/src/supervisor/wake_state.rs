//! The list of workloads that dormouse started. It is saved at each change, so that after a crash the next process
//! recognises them as its own and stops them when they are idle.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use dormouse_log::{Level, Log};
use dormouse_proxy::upstream::WokenServer;
use dormouse_sys::directory::Writer;
use rustix::fs::{FileType, MemfdFlags, Mode, OFlags, fstat, memfd_create};

use super::fd_name;
use super::fd_store::FdStore;

/// The first line. A file that begins with another one is ignored: its format is unknown.
const HEADER: &str = "dormouse 1";
/// The last line. A file without it was not written completely.
const END: &str = "end";
/// The largest number of bytes that are read.
const MAX_SIZE: usize = 1 << 20;
/// The name of the file in `RUNTIME_DIRECTORY`, for service managers without a descriptor store.
const FILE_NAME: &str = "woken";

/// The file that contains the wake state.
#[derive(Debug)]
pub(super) struct WakeState {
    /// `None` after a failure: a later attempt would fail, too.
    file: Option<File>,
    log: Log,
}

impl WakeState {
    /// Opens the file that came back from the descriptor store, a new one there, or one in `RUNTIME_DIRECTORY`. Returns
    /// the state that was saved in it, too.
    pub(super) fn open(
        state: Option<OwnedFd>,
        store: Option<&mut FdStore>,
        log: &Log,
    ) -> (Self, Vec<WokenServer>) {
        let file = match (state, store) {
            (Some(state), _) => Ok(Some(File::from(state))),
            (None, Some(store)) => in_store(store, log).map(Some),
            (None, None) => in_runtime_directory().transpose(),
        };
        let file = file.unwrap_or_else(|error| {
            log.line(
                Level::Warning,
                format_args!("Cannot save the wake state: {error}. Workloads started now will not be recognised after a crash."),
            );
            None
        });
        let woken = file.as_ref().map(read).unwrap_or_default();
        (Self { file, log: log.clone() }, woken)
    }

    /// Saves the list.
    pub(super) fn save(&mut self, woken: &[WokenServer]) {
        let Some(file) = &self.file else { return };
        let text = format(woken);
        let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
        if let Err(error) = file.write_all_at(text.as_bytes(), 0).and_then(|()| file.set_len(length)) {
            self.file = None;
            self.log.line(
                Level::Warning,
                format_args!("Cannot save the wake state: {error}. Workloads started now will not be recognised after a crash."),
            );
        }
    }
}

fn in_store(store: &mut FdStore, log: &Log) -> io::Result<File> {
    let file = memfd_create("dormouse-state", MemfdFlags::CLOEXEC)?;
    store.keep(fd_name::STATE, file.as_fd(), log);
    Ok(file.into())
}

fn in_runtime_directory() -> Option<io::Result<File>> {
    let directories = std::env::var("RUNTIME_DIRECTORY").ok()?;
    let directory = PathBuf::from(directories.split(':').next()?);
    Some(open_own(&directory.join(FILE_NAME)))
}

/// Opens or creates a file that only this user may write: dormouse stops what the file says that it started. A file with
/// a second name is refused, because another user may have made that name for a file elsewhere.
fn open_own(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDWR
        | OFlags::CREATE
        | OFlags::NOFOLLOW
        | OFlags::NONBLOCK
        | OFlags::NOCTTY
        | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?);
    let found = fstat(&file)?;
    let is_own = FileType::from_raw_mode(found.st_mode) == FileType::RegularFile
        && found.st_uid == rustix::process::geteuid().as_raw()
        && found.st_nlink == 1
        && Writer::of(&found).is_none();
    if is_own {
        Ok(file)
    } else {
        let path = path.display();
        Err(io::Error::other(format!("{path} is not a file that only this user may write; remove it")))
    }
}

fn read(file: &File) -> Vec<WokenServer> {
    let length = file.metadata().map_or(0, |metadata| metadata.len());
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(MAX_SIZE).min(MAX_SIZE)];
    let text = file.read_exact_at(&mut bytes, 0).ok().and_then(|()| String::from_utf8(bytes).ok());
    text.and_then(|text| parse(&text)).unwrap_or_default()
}

fn format(woken: &[WokenServer]) -> String {
    let mut lines = vec![HEADER.to_owned()];
    lines.extend(woken.iter().map(|WokenServer { service, to, number, wake }| {
        format!("{} {} {number} {}", fd_name::encode(service), fd_name::encode(to), fd_name::encode(wake))
    }));
    lines.extend([END.to_owned(), String::new()]);
    lines.join("\n")
}

/// Returns `None` for a file that was not written completely, or that another version wrote.
fn parse(text: &str) -> Option<Vec<WokenServer>> {
    let mut lines = text.lines();
    if lines.next() != Some(HEADER) {
        return None;
    }
    let mut woken = Vec::new();
    for line in lines {
        if line == END {
            return Some(woken);
        }
        let mut words = line.split(' ');
        let mut word = || words.next().and_then(fd_name::decode);
        let (service, to) = (word()?, word()?);
        woken.push(WokenServer { service, to, number: word()?.parse().ok()?, wake: word()? });
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn woken() -> impl Strategy<Value = Vec<WokenServer>> {
        let one = (any::<String>(), any::<String>(), any::<usize>(), any::<String>());
        vec(one.prop_map(|(service, to, number, wake)| WokenServer { service, to, number, wake }), 0..5)
    }

    proptest! {
        #[test]
        fn a_saved_list_is_read_back(all in woken()) {
            prop_assert_eq!(parse(&format(&all)), Some(all));
        }

        #[test]
        fn an_incomplete_file_is_ignored(all in woken(), cut in any::<prop::sample::Index>()) {
            let text = format(&all);
            // The file is complete without its last newline.
            let cut = cut.index(text.len() - 1);
            prop_assert_eq!(text.get(..cut).and_then(parse), None);
        }

        #[test]
        fn parse_never_panics(text: String) {
            let _ = parse(&text);
        }
    }

    #[test]
    fn only_a_file_of_this_user_alone_is_used() {
        use std::fs;
        use std::os::unix::fs::{PermissionsExt as _, symlink};
        let directory = std::env::temp_dir().join(format!("dormouse-wake-state-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join(FILE_NAME);
        drop(open_own(&path).unwrap());
        drop(open_own(&path).unwrap());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o620)).unwrap();
        let error = open_own(&path).unwrap_err().to_string();
        assert!(error.ends_with("woken is not a file that only this user may write; remove it"), "{error}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::hard_link(&path, directory.join("second")).unwrap();
        open_own(&path).unwrap_err();
        fs::remove_file(&path).unwrap();
        symlink("second", &path).unwrap();
        open_own(&path).unwrap_err();
        fs::remove_file(&path).unwrap();
        let pipe = FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, &path, pipe, Mode::RUSR | Mode::WUSR, 0).unwrap();
        open_own(&path).unwrap_err();
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_failed_save_is_not_repeated() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut state = WakeState { file: Some(full), log: Log::new(Some(Level::Err)) };
        state.save(&[]);
        assert!(state.file.is_none());
        state.save(&[]);
    }

    #[test]
    fn a_shorter_list_replaces_a_longer_one() {
        let file = File::from(memfd_create("test", MemfdFlags::CLOEXEC).unwrap());
        let again = file.try_clone().unwrap();
        let log = Log::new(Some(Level::Err));
        let mut state = WakeState { file: Some(file), log };
        let woken = |name: &str| WokenServer {
            service: name.to_owned(),
            to: "127.0.0.1:1".to_owned(),
            number: 0,
            wake: "unit x.service".to_owned(),
        };
        for all in [vec![woken("a"), woken("b b")], vec![woken("c")], Vec::new()] {
            state.save(&all);
            assert_eq!(read(&again), all);
        }
    }
}
