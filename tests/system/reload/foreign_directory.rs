//! Sockets with a mode and an owner in a directory of another user, who exchanges their files while dormouse, as root,
//! opens and reloads them. A file of root must keep its owner and its mode.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use dormouse_tests::scaled;
use rustix::fs::{AtFlags, CWD, RenameFlags, Uid, renameat_with, unlinkat};

use super::scene::{Place, Scene};

/// The user who owns the directory.
const ATTACKER: u32 = 65_534;
/// The sockets in the directory: each reload is an attempt on each of them.
const SOCKETS: usize = 40;
/// The attempts of a test: thousands.
const ROUNDS: usize = scaled(20, 100);

/// A directory of the attacker, and files of root beside it.
struct Ground {
    _place: Place,
    theirs: PathBuf,
    victims: [PathBuf; 2],
    _socket: UnixListener,
}

impl Ground {
    fn new() -> Self {
        assert!(rustix::process::geteuid().is_root(), "the test changes owners: run it as root");
        let place = Place::new(0).unwrap();
        let (theirs, file, socket) = (place.path("theirs"), place.path("file"), place.path("socket"));
        fs::create_dir(&theirs).unwrap();
        fs::write(&file, "secret").unwrap();
        let listener = UnixListener::bind(&socket).unwrap();
        let ground = Self { _place: place, theirs, victims: [file, socket], _socket: listener };
        for victim in &ground.victims {
            fs::set_permissions(victim, fs::Permissions::from_mode(0o600)).unwrap();
        }
        chown(&ground.theirs, Some(ATTACKER), Some(ATTACKER)).unwrap();
        ground
    }

    /// A configuration whose services differ from those of every other round.
    fn config(&self, round: usize) -> String {
        let theirs = self.theirs.display();
        let service = |number: usize| {
            let (maxconn, options) = (round + 1, format!("mode=0666&owner={ATTACKER}&group={ATTACKER}"));
            format!(
                "[services.s{number}]\nlisten = \"{theirs}/s{number}?{options}\"\nto = \"@nobody\"\nmaxconn = {maxconn}\n"
            )
        };
        format!("log_level = \"info\"\n{}", (0..SOCKETS).map(service).collect::<String>())
    }

    /// Fails if a file of root is not as it was.
    #[track_caller]
    fn expect_untouched(&self, attempts: usize) {
        for victim in &self.victims {
            let found = fs::metadata(victim).unwrap();
            let state = (found.uid(), found.gid(), found.mode() & 0o777);
            assert_eq!(state, (0, 0, 0o600), "{} after {attempts} attempts", victim.display());
        }
    }
}

/// Runs `attack` again and again in a thread of the attacker, while `defend` runs.
fn under_attack(attack: impl Fn() + Sync, defend: impl FnOnce()) {
    let (over, attacks) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            let attacker = Uid::from_raw(ATTACKER);
            // Of this thread only.
            rustix::thread::set_thread_res_uid(attacker, attacker, attacker).unwrap();
            while !over.load(Ordering::Relaxed) {
                attack();
                attacks.fetch_add(1, Ordering::Relaxed);
            }
        });
        // Also when an assertion fails, so that the thread ends.
        let _end = SetOnDrop(&over);
        defend();
    });
    println!("{} rounds of the attack", attacks.into_inner());
}

struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn exchange(one: &Path, other: &Path) {
    // The other process may have moved or removed one of them.
    let _ = renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE);
}

#[test]
fn a_reload_does_not_follow_a_link_that_replaces_a_socket() {
    let ground = Ground::new();
    let names: Vec<(PathBuf, PathBuf)> = (0..SOCKETS)
        .map(|number| (ground.theirs.join(format!("s{number}")), ground.theirs.join(format!("link{number}"))))
        .collect();
    for (number, (_, link)) in names.iter().enumerate() {
        symlink(&ground.victims[number % 2], link).unwrap();
    }
    let scene = Scene::new(Place::new(0).unwrap(), &ground.config(0)).unwrap();
    let attack = || names.iter().for_each(|(socket, link)| exchange(socket, link));
    under_attack(attack, || {
        for round in 1..=ROUNDS {
            scene.reload(&ground.config(round)).unwrap();
            ground.expect_untouched(round * SOCKETS);
        }
    });
}

/// Replaces each new name in a directory: by a link to the file, and if it is that of a directory, by one to `place`.
fn replace_new_names(theirs: &Path, aside: &Path, victim: &Path, known: &dyn Fn(&OsString) -> bool) {
    for entry in fs::read_dir(theirs).unwrap().flatten() {
        let name = entry.file_name();
        if known(&name) {
            continue;
        }
        let (path, aside) = (theirs.join(&name), aside.join(&name));
        let target =
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) { victim.parent().unwrap() } else { victim };
        if symlink(target, &aside).is_ok() {
            exchange(&path, &aside);
            let _ = unlinkat(CWD, &aside, AtFlags::empty());
        }
    }
}

#[test]
fn the_open_of_a_socket_does_not_follow_a_link_that_replaces_it() {
    let ground = Ground::new();
    let aside = ground.theirs.join("aside");
    fs::create_dir(&aside).unwrap();
    chown(&aside, Some(ATTACKER), Some(ATTACKER)).unwrap();
    let scene = Scene::new(Place::new(0).unwrap(), &ground.config(0)).unwrap();
    let names: Vec<OsString> = (0..SOCKETS).map(|number| format!("s{number}").into()).collect();
    let known = |name: &OsString| *name == "aside" || names.contains(name);
    let turn = AtomicUsize::new(0);
    let attack = || {
        let victim = &ground.victims[turn.fetch_add(1, Ordering::Relaxed) % 2];
        replace_new_names(&ground.theirs, &aside, victim, &known);
    };
    under_attack(attack, || {
        for round in 1..=ROUNDS {
            for name in &names {
                let _ = fs::remove_file(ground.theirs.join(name));
            }
            scene.reload(&ground.config(round)).unwrap();
            ground.expect_untouched(round * SOCKETS);
            for victim in &ground.victims {
                let beside = fs::read_dir(victim.parent().unwrap()).unwrap().count();
                assert_eq!(beside, 4, "a file was created beside those of root");
            }
        }
    });
}
