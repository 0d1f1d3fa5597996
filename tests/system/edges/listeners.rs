//! Properties of listeners that need root or `ss`.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::process::Command;

use super::scene::Scene;

#[test]
fn a_socket_has_its_mode_and_its_owner() {
    // Only root may change the owner of a file, and root may set any number.
    let scene = Scene::listening("unix:DIR/front?mode=0620&owner=root&group=1234", "").unwrap();
    let found = fs::symlink_metadata(scene.path("front")).unwrap();
    assert!(found.file_type().is_socket());
    assert_eq!((found.mode() & 0o777, found.uid(), found.gid()), (0o620, 0, 1234));
}

#[test]
fn the_backlog_has_the_configured_length() {
    for listen in ["127.0.0.1:0?backlog=7", "DIR/front?backlog=7"] {
        let scene = Scene::listening(listen, "").unwrap();
        let (kind, name) = match scene.port() {
            Ok(address) => ("-t", address.to_string()),
            Err(_) => ("-x", scene.path("front").to_string_lossy().into_owned()),
        };
        let output = Command::new("ss").args(["-lnH", kind]).output().expect("ss of the package iproute2");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text.lines().find(|line| line.contains(&name) || line.contains(&format!("{name}.")));
        let line = line.unwrap_or_else(|| panic!("{name} is not in\n{text}"));
        assert!(line.split_whitespace().any(|column| column == "7"), "{line}");
    }
}
