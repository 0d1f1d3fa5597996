//! Listeners: socket files, addresses, options and errors.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::Duration;

use dormouse_tests::messages;
use dormouse_tests::temp::TempDir;
use dormouse_tests::wait::{Deadline, SOON};
use dormouse_tests::{Address, Family, Listener, Stream};
use rustix::process::Signal;

use super::scene::{Scene, expect_received, launch};

/// The time for which a test waits to see that nothing happens.
const MOMENT: Duration = Duration::from_millis(200);

#[test]
fn a_socket_has_its_mode_and_its_owner() {
    let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let listen = format!("unix:DIR/front?mode=0620&owner={user}&group={group}");
    let scene = Scene::listening(&listen, "").unwrap();
    let found = fs::symlink_metadata(scene.path("front")).unwrap();
    assert!(found.file_type().is_socket());
    assert_eq!((found.mode() & 0o777, found.uid(), found.gid()), (0o620, user, group));
}

#[test]
fn a_socket_file_appears_only_when_it_accepts() {
    let dir = TempDir::new().unwrap();
    let (path, server) = (dir.join("front"), Listener::bind(Family::Tcp4).unwrap());
    for _ in 0..5 {
        let launch = launch(&dir, &server.address().to_string(), "DIR/front?mode=0660", "").unwrap();
        // As soon as the file exists, a client can connect and the file has its mode.
        let looking = thread::spawn({
            let path = path.clone();
            move || {
                let deadline = Deadline::after(SOON);
                loop {
                    if let Ok(seen) = fs::symlink_metadata(&path) {
                        return (seen.mode() & 0o777, UnixStream::connect(&path));
                    }
                    deadline.left(|| path.display().to_string()).unwrap();
                }
            }
        });
        let mut dormouse = launch.start().unwrap();
        let (mode, connected) = looking.join().unwrap();
        connected.unwrap();
        assert_eq!(mode, 0o660);
        dormouse.stderr().wait_for(messages::LISTENING, SOON).unwrap();
        dormouse.signal(Signal::TERM).unwrap();
        dormouse.wait(SOON).unwrap();
        assert_eq!(names_in(dir.path()), ["dormouse.toml"], "other files remain");
    }
}

fn names_in(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory).unwrap();
    names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_stale_socket_file_is_replaced_and_a_live_one_is_not() {
    let dir = TempDir::new().unwrap();
    let server = Listener::bind(Family::Tcp4).unwrap();
    let start = || launch(&dir, &server.address().to_string(), "DIR/front", "").unwrap().start().unwrap();
    let mut first = start();
    first.stderr().wait_for(messages::LISTENING, SOON).unwrap();
    let mut second = start();
    assert!(!second.wait(SOON).unwrap().success());
    let output = second.stderr().text();
    assert!(output.contains(messages::UNIX_ADDRESS_IN_USE), "{output}");
    let client = Stream::connect(&Address::Unix(dir.join("front")), SOON).unwrap();
    client.send(b"hello", SOON).unwrap();
    // The second process has checked whether another process listens.
    assert_eq!(server.accept(SOON).unwrap().receive_to_end(SOON).unwrap().bytes, b"");
    expect_received(&server.accept(SOON).unwrap(), b"hello");
    first.signal(Signal::KILL).unwrap();
    first.wait(SOON).unwrap();
    assert!(dir.join("front").exists(), "a killed process leaves its socket file");
    let third = start();
    third.stderr().wait_for(messages::LISTENING, SOON).unwrap();
    Stream::connect(&Address::Unix(dir.join("front")), SOON).unwrap();
}

#[test]
fn a_socket_file_replaced_by_another_process_is_kept() {
    let mut scene = Scene::listening("DIR/front", "").unwrap();
    let path = scene.path("front");
    fs::remove_file(&path).unwrap();
    let _theirs = Listener::bind_at(&Address::Unix(path.clone())).unwrap();
    scene.dormouse.signal(Signal::TERM).unwrap();
    assert!(scene.dormouse.wait(SOON).unwrap().success());
    Stream::connect(&Address::Unix(path), SOON).unwrap();
}

#[test]
fn an_ipv6_only_listener_leaves_ipv4_free() {
    for (options, both) in [("", true), ("?v6only", false)] {
        let scene = Scene::listening(&format!("[::]:0{options}"), "").unwrap();
        let port = scene.port().unwrap().port();
        let connects = |ip| Stream::connect(&Address::Tcp(SocketAddr::new(ip, port)), SOON).is_ok();
        assert!(connects(Ipv6Addr::LOCALHOST.into()));
        assert_eq!(connects(Ipv4Addr::LOCALHOST.into()), both, "{options:?}");
    }
}

#[test]
fn a_listener_can_bind_an_address_that_does_not_exist_yet() {
    // An address reserved for documentation, which no machine has (RFC 5737).
    Scene::listening("192.0.2.77:0?freebind", "")
        .unwrap()
        .wait_for_log(&messages::listening_on("192.0.2.77:"))
        .unwrap();
    Scene::listening("[2001:db8::77]:0?freebind", "")
        .unwrap()
        .wait_for_log(&messages::listening_on("[2001:db8::77]:"))
        .unwrap();
    let output = refused("192.0.2.77:0");
    assert!(output.contains("192.0.2.77:0: bind: ") && output.contains("?freebind"), "{output}");
}

#[test]
fn a_listener_can_be_bound_to_an_interface() {
    let scene = Scene::listening("127.0.0.1:0?interface=lo", "").unwrap();
    scene.session().unwrap();
    let output = refused("127.0.0.1:0?interface=no-such-one");
    assert!(output.contains(messages::CANNOT_BIND_TO_INTERFACE) && output.contains("ip link"), "{output}");
}

/// Starts dormouse on an address that cannot be opened and returns its output.
fn refused(listen: &str) -> String {
    let dir = TempDir::new().unwrap();
    let mut dormouse = launch(&dir, "@nobody", listen, "").unwrap().start().unwrap();
    assert!(!dormouse.wait(SOON).unwrap().success());
    dormouse.stderr().text()
}

#[test]
fn an_error_to_listen_names_the_remedy() {
    let output = refused("/nonexistent/dormouse/front");
    assert!(output.contains(messages::NO_SOCKET_DIRECTORY), "{output}");
    let taken = Listener::bind(Family::Tcp4).unwrap();
    let output = refused(&taken.address().to_string());
    assert!(output.contains(messages::TCP_ADDRESS_IN_USE), "{output}");
}

#[test]
fn a_directory_in_which_every_user_may_replace_the_socket_is_refused() {
    let dir = TempDir::new().unwrap();
    let start = |mode| {
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(mode)).unwrap();
        launch(&dir, "@nobody", "DIR/front", "").unwrap().start().unwrap()
    };
    let mut refused = start(0o777);
    assert!(!refused.wait(SOON).unwrap().success());
    let output = refused.stderr().text();
    let expected = format!("{} {} (owner ", messages::EVERY_USER_MAY_WRITE, dir.path().display());
    assert!(output.contains(&expected) && output.contains("chmod +t"), "{output}");
    start(0o1777).stderr().wait_for(messages::LISTENING, SOON).unwrap();
}

#[test]
fn a_client_is_accepted_with_its_first_byte() {
    let scene = Scene::listening("127.0.0.1:0?defer_accept=20s&fastopen=16", "").unwrap();
    let client = scene.client().unwrap();
    assert!(!scene.server.has_pending(MOMENT).unwrap(), "accepted without a byte");
    client.send(b"hello", SOON).unwrap();
    expect_received(&scene.server.accept(SOON).unwrap(), b"hello");
}
