//! What we had woken, for whoever comes after us: written down whenever it changes, so that after a crash it is still
//! ours, and put to sleep in time.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use dormouse_log::{Level, Log};
use dormouse_proxy::upstream::WokenServer;
use rustix::fs::{MemfdFlags, Mode, OFlags, memfd_create};

use super::fdname;
use super::store::Store;

/// The first line; another one is not ours to understand.
const HEAD: &str = "dormouse 1";
/// The last one, without which it was not written to its end.
const END: &str = "end";
/// More is none of ours.
const LARGEST: usize = 1 << 20;
/// The file's name where there is no store.
const FILE: &str = "woken";

/// Where it is written down.
#[derive(Debug)]
pub(super) struct Memory {
    file: Option<File>,
    log: Log,
}

impl Memory {
    /// In what came back from the manager's store, in a new file there, or in `RUNTIME_DIRECTORY`; with what it says.
    pub(super) fn open(
        state: Option<OwnedFd>,
        store: Option<&mut Store>,
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
                format_args!("What we wake cannot be written down, and is not known after a crash: {error}."),
            );
            None
        });
        let woken = file.as_ref().map(read).unwrap_or_default();
        (Self { file, log: log.clone() }, woken)
    }

    /// Writes it down.
    pub(super) fn write(&mut self, woken: &[WokenServer]) {
        let Some(file) = &self.file else { return };
        let text = text(woken);
        let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
        if let Err(error) = file.write_all_at(text.as_bytes(), 0).and_then(|()| file.set_len(length)) {
            // Once: it would not work the next time.
            self.file = None;
            self.log.line(
                Level::Warning,
                format_args!("What we wake cannot be written down, and is not known after a crash: {error}."),
            );
        }
    }
}

fn in_store(store: &mut Store, log: &Log) -> io::Result<File> {
    let file = memfd_create("dormouse-state", MemfdFlags::CLOEXEC)?;
    store.keep(fdname::STATE, file.as_fd(), log);
    Ok(file.into())
}

fn in_runtime_directory() -> Option<io::Result<File>> {
    let directories = std::env::var("RUNTIME_DIRECTORY").ok()?;
    let directory = PathBuf::from(directories.split(':').next()?);
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = rustix::fs::open(directory.join(FILE), flags, Mode::RUSR | Mode::WUSR);
    Some(opened.map(File::from).map_err(Into::into))
}

fn read(file: &File) -> Vec<WokenServer> {
    let length = file.metadata().map_or(0, |metadata| metadata.len());
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(LARGEST).min(LARGEST)];
    let text = file.read_exact_at(&mut bytes, 0).ok().and_then(|()| String::from_utf8(bytes).ok());
    text.and_then(|text| parse(&text)).unwrap_or_default()
}

fn text(woken: &[WokenServer]) -> String {
    let mut lines = vec![HEAD.to_owned()];
    lines.extend(woken.iter().map(|WokenServer { service, to, number, wake }| {
        format!("{} {} {number} {}", fdname::encode(service), fdname::encode(to), fdname::encode(wake))
    }));
    lines.extend([END.to_owned(), String::new()]);
    lines.join("\n")
}

/// `None` if it was not written to its end, or by another version.
fn parse(text: &str) -> Option<Vec<WokenServer>> {
    let mut lines = text.lines();
    if lines.next() != Some(HEAD) {
        return None;
    }
    let mut woken = Vec::new();
    for line in lines {
        if line == END {
            return Some(woken);
        }
        let mut words = line.split(' ');
        let mut word = || words.next().and_then(fdname::decode);
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
        fn what_was_written_is_read(all in woken()) {
            prop_assert_eq!(parse(&text(&all)), Some(all));
        }

        #[test]
        fn what_was_cut_off_says_nothing(all in woken(), cut in any::<prop::sample::Index>()) {
            let text = text(&all);
            // The last line's end says nothing more.
            let cut = cut.index(text.len() - 1);
            prop_assert_eq!(text.get(..cut).and_then(parse), None);
        }

        #[test]
        fn nothing_makes_it_panic(text: String) {
            let _ = parse(&text);
        }
    }

    #[test]
    fn where_nothing_can_be_written_it_is_not_tried_again() {
        // No room at all.
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut memory = Memory { file: Some(full), log: Log::new(Some(Level::Err)) };
        memory.write(&[]);
        assert!(memory.file.is_none());
        memory.write(&[]);
    }

    #[test]
    fn a_shorter_text_takes_the_place_of_a_longer_one() {
        let file = File::from(memfd_create("test", MemfdFlags::CLOEXEC).unwrap());
        let again = file.try_clone().unwrap();
        let log = Log::new(Some(Level::Err));
        let mut memory = Memory { file: Some(file), log };
        let woken = |name: &str| WokenServer {
            service: name.to_owned(),
            to: "127.0.0.1:1".to_owned(),
            number: 0,
            wake: "unit x.service".to_owned(),
        };
        for all in [vec![woken("a"), woken("b b")], vec![woken("c")], Vec::new()] {
            memory.write(&all);
            assert_eq!(read(&again), all);
        }
    }
}
