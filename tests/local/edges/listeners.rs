//! Where clients arrive.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::Duration;

use dormouse_tests::messages;
use dormouse_tests::temp::TempDir;
use dormouse_tests::wait::{Deadline, SOON};
use dormouse_tests::{Address, Family, Listener, Stream};
use rustix::process::Signal;

use super::scene::{Scene, hears, launch};

/// Not so long as nothing could come of it.
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
fn a_name_is_there_only_when_it_works() {
    let dir = TempDir::new().unwrap();
    let (path, server) = (dir.join("front"), Listener::bind(Family::Tcp4).unwrap());
    for _ in 0..5 {
        let launch = launch(&dir, &server.address().to_string(), "DIR/front?mode=0660", "").unwrap();
        // Whoever sees the name first can connect, and sees the mode that it was to have.
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
        assert_eq!(names_in(dir.path()), ["dormouse.toml"], "nothing stays behind");
    }
}

fn names_in(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory).unwrap();
    names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_stale_name_is_taken_over_and_a_living_one_is_not() {
    let dir = TempDir::new().unwrap();
    let server = Listener::bind(Family::Tcp4).unwrap();
    let start = || launch(&dir, &server.address().to_string(), "DIR/front", "").unwrap().start().unwrap();
    let mut first = start();
    first.stderr().wait_for(messages::LISTENING, SOON).unwrap();
    let mut second = start();
    assert!(!second.wait(SOON).unwrap().success());
    let said = second.stderr().text();
    assert!(said.contains(messages::UNIX_ADDRESS_IN_USE), "{said}");
    let client = Stream::connect(&Address::Unix(dir.join("front")), SOON).unwrap();
    client.send(b"hello", SOON).unwrap();
    // The second one has looked whether somebody is there.
    assert_eq!(server.accept(SOON).unwrap().receive_to_end(SOON).unwrap().bytes, b"");
    hears(&server.accept(SOON).unwrap(), b"hello");
    first.signal(Signal::KILL).unwrap();
    first.wait(SOON).unwrap();
    assert!(dir.join("front").exists(), "what was killed leaves its name");
    let third = start();
    third.stderr().wait_for(messages::LISTENING, SOON).unwrap();
    Stream::connect(&Address::Unix(dir.join("front")), SOON).unwrap();
}

#[test]
fn a_name_that_somebody_else_has_taken_stays() {
    let mut scene = Scene::listening("DIR/front", "").unwrap();
    let path = scene.path("front");
    fs::remove_file(&path).unwrap();
    let _theirs = Listener::bind_at(&Address::Unix(path.clone())).unwrap();
    scene.dormouse.signal(Signal::TERM).unwrap();
    assert!(scene.dormouse.wait(SOON).unwrap().success());
    Stream::connect(&Address::Unix(path), SOON).unwrap();
}

#[test]
fn ipv6_alone_leaves_ipv4_to_others() {
    for (options, both) in [("", true), ("?v6only", false)] {
        let scene = Scene::listening(&format!("[::]:0{options}"), "").unwrap();
        let port = scene.port().unwrap().port();
        let connects = |ip| Stream::connect(&Address::Tcp(SocketAddr::new(ip, port)), SOON).is_ok();
        assert!(connects(Ipv6Addr::LOCALHOST.into()));
        assert_eq!(connects(Ipv4Addr::LOCALHOST.into()), both, "{options:?}");
    }
}

#[test]
fn an_address_that_comes_later_can_be_listened_on() {
    // A documentation address, which no machine has (RFC 5737).
    Scene::listening("192.0.2.77:0?freebind", "")
        .unwrap()
        .wait_for_log(&messages::listening_on("192.0.2.77:"))
        .unwrap();
    Scene::listening("[2001:db8::77]:0?freebind", "")
        .unwrap()
        .wait_for_log(&messages::listening_on("[2001:db8::77]:"))
        .unwrap();
    let said = refused("192.0.2.77:0");
    assert!(said.contains("192.0.2.77:0: bind: ") && said.contains("?freebind"), "{said}");
}

#[test]
fn an_interface_is_all_that_is_listened_to() {
    let scene = Scene::listening("127.0.0.1:0?interface=lo", "").unwrap();
    scene.session().unwrap();
    let said = refused("127.0.0.1:0?interface=no-such-one");
    assert!(said.contains(messages::CANNOT_BIND_TO_INTERFACE) && said.contains("ip link"), "{said}");
}

/// What is said where nothing can listen.
fn refused(listen: &str) -> String {
    let dir = TempDir::new().unwrap();
    let mut dormouse = launch(&dir, "@nobody", listen, "").unwrap().start().unwrap();
    assert!(!dormouse.wait(SOON).unwrap().success());
    dormouse.stderr().text()
}

#[test]
fn what_cannot_be_opened_says_what_to_do() {
    let said = refused("/nonexistent/dormouse/front");
    assert!(said.contains(messages::NO_SOCKET_DIRECTORY), "{said}");
    let taken = Listener::bind(Family::Tcp4).unwrap();
    let said = refused(&taken.address().to_string());
    assert!(said.contains(messages::TCP_ADDRESS_IN_USE), "{said}");
}

#[test]
fn a_client_comes_with_its_first_byte() {
    let scene = Scene::listening("127.0.0.1:0?defer_accept=20s&fastopen=16", "").unwrap();
    let client = scene.client().unwrap();
    assert!(!scene.server.has_pending(MOMENT).unwrap(), "accepted without a byte");
    client.send(b"hello", SOON).unwrap();
    hears(&scene.server.accept(SOON).unwrap(), b"hello");
}
