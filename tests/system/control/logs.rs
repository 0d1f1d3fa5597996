//! A log on a full disk: sessions continue, and lost lines are counted.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use dormouse_tests::failure::Doing;
use dormouse_tests::messages;
use dormouse_tests::wait::{self, SOON};

use super::log_scene::{Scene, whole};

/// Returns the path of the log on its small file system, from outside its mount namespace.
fn log_on_disk(scene: &Scene) -> PathBuf {
    format!("/proc/{}/root{}/disk/log", scene.child.id(), scene.dir.path().display()).into()
}

/// Returns a command whose standard error is a file on a small file system of its own.
fn onto_a_small_disk(dir: &Path, words: &[PathBuf]) -> Command {
    const SCRIPT: &str = r#"
        mkdir "$0" && mount -t tmpfs -o size=64k,mode=700 none "$0" && cd / && exec "$@" 2>>"$0/log"
    "#;
    let mut command = Command::new("unshare");
    let user = if rustix::process::geteuid().is_root() { "--mount" } else { "--map-root-user" };
    command.args([user, "--mount", "--propagation=private", "sh", "-c", SCRIPT]);
    command.arg(dir.join("disk")).args(words);
    command
}

#[test]
fn a_full_disk_delays_no_client() {
    let mut scene = Scene::new(onto_a_small_disk).unwrap();
    scene.visits(500).unwrap();
    let log = log_on_disk(&scene);
    let full = || {
        Ok((fs::metadata(&log).doing(|| "get the size of the log".to_owned())?.len() >= 60 << 10)
            .then_some(()))
    };
    wait::until("a full disk", SOON, full).unwrap();
    // Truncate the log, as log rotation does.
    File::options().write(true).open(&log).unwrap().set_len(0).unwrap();
    scene.visits(5).unwrap();
    let text = wait::until("the number of lost lines", SOON, || {
        let text = fs::read_to_string(&log).doing(|| "read the log".to_owned())?;
        Ok(text.contains(messages::LINES_LOST).then_some(text))
    })
    .unwrap();
    let torn: Vec<_> = text.lines().filter(|line| !line.is_empty() && !whole(line)).collect();
    assert!(torn.is_empty(), "{torn:?}");
    assert!(scene.end().unwrap().success(), "dormouse failed");
}
