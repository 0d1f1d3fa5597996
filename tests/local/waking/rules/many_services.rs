//! Several services in one process.

use std::fmt::Write as _;

use dormouse_tests::messages;
use dormouse_tests::process::Launch;
use dormouse_tests::wait::SOON;
use dormouse_tests::{Address, Family, Listener, Stream};

use super::scene::{Place, Scene};

#[test]
fn many_services_in_one_process_wake_independently() {
    const SERVICES: usize = 12;
    let place = Place::new(SERVICES).unwrap();
    let mut text = String::new();
    for index in 0..SERVICES {
        let (to, exec) = (place.port(index), place.server(index, &[]));
        writeln!(
            text,
            "[services.s{index}]\nmaxconn = 16\nlisten = LISTEN\nto = \"{to}\"\nwake.exec = \"{exec}\""
        )
        .unwrap();
    }
    let scene = Scene::of_file(place, &text).unwrap();
    for index in [7, 3, 11] {
        scene.visit_of(&format!("s{index}"), "hello").unwrap();
        scene.wait_for_log(&messages::ready(&format!("s{index}"))).unwrap();
    }
    assert_eq!(scene.place.starts(), 3);
    // Of the configuration, which is read before, only root sees a warning.
    let of_start = [messages::LISTENING, messages::RUNS_AS_ROOT];
    let named = |line: &str| line.starts_with('s') || of_start.iter().any(|text| line.contains(text));
    scene.expect(scene.log().lines().all(named), "a line without a name");
}

#[test]
fn a_hanging_start_does_not_affect_other_services() {
    let place = Place::new(2).unwrap();
    let text = format!(
        "[services.hangs]\nlisten = LISTEN\nto = \"{}\"\nwake.exec = \"{}\"\n\
         [services.works]\nlisten = LISTEN\nto = \"{}\"\nwake.exec = \"{}\"\n\
         [services.stuck]\nlisten = LISTEN\nto = \"{}\"\n[services.stuck.wake]\nstart = \"sleep 30\"\nstop = \"true\"\n",
        place.port(0),
        place.server(0, &["start"]),
        place.port(1),
        place.server(1, &[]),
        place.port(0),
    );
    let scene = Scene::of_file(place, &text).unwrap();
    let held = [scene.client_of("hangs").unwrap(), scene.client_of("stuck").unwrap()];
    scene.wait_for_log(&messages::output("hangs", "starts")).unwrap();
    scene.wait_for_log(&messages::state_of("stuck", "stopped", "starting")).unwrap();
    scene.visit_of("works", "hello").unwrap();
    scene.place.open("start").unwrap();
    scene.echo(&held[0], "hello").unwrap();
}

#[test]
fn passed_sockets_belong_to_the_services_that_name_them() {
    let place = Place::new(2).unwrap();
    let (tcp, unix, unnamed) = (
        Listener::bind(Family::Tcp4).unwrap(),
        Listener::bind(Family::Unix).unwrap(),
        Listener::bind(Family::Tcp4).unwrap(),
    );
    let text = format!(
        "[services.one]\nlisten = \"fd:web\"\nto = \"{}\"\nwake.exec = \"{}\"\n\
         [services.two]\nlisten = [\"fd:other\", LISTEN]\nto = \"{}\"\nwake.exec = \"{}\"\n",
        place.port(0),
        place.server(0, &["greet=one"]),
        place.port(1),
        place.server(1, &["greet=two"]),
    );
    let launch = Launch::dormouse().pass(&tcp).pass(&unix).pass(&unnamed).names("web:other:nobody");
    let scene = Scene::of_file_by(place, &text, launch).unwrap();
    let receives = |address, words| scene.receives(&Stream::connect(address, SOON).unwrap(), words).unwrap();
    receives(tcp.address(), "one");
    receives(unix.address(), "two");
    receives(&Address::Tcp(scene.front("two").unwrap()), "two");
    scene.wait_for_log(&messages::unused_socket("nobody")).unwrap();
}

#[test]
fn a_socket_that_was_not_passed_is_an_error_with_its_name() {
    let place = Place::new(1).unwrap();
    let socket = Listener::bind(Family::Tcp4).unwrap();
    let mut dormouse = Launch::dormouse()
        .args(["run", "--listen=fd:web", "--exec=true"])
        .arg(format!("--to={}", place.port(0)))
        .pass(&socket)
        .names("wib")
        .start()
        .unwrap();
    assert!(!dormouse.wait(SOON).unwrap().success());
    let text = dormouse.stderr().text();
    assert!(
        text.contains("fd:web")
            && text.contains("the passed sockets are wib")
            && text.contains("FileDescriptorName=web"),
        "{text}"
    );
}
