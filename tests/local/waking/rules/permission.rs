//! The clients and the events that may wake a service.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use dormouse_tests::wait::SOON;
use dormouse_tests::{Stream, messages};
use rustix::process::Signal;
use socket2::{Domain, Socket, Type};

use super::scene::{MOMENT, Scene};

#[test]
fn only_data_wakes_a_service_with_wake_on_data() {
    let scene = Scene::new(&[], &["--wake-on=data", "--idle=300ms"]).unwrap();
    // A port scanner, and a client that resets.
    drop(scene.client().unwrap());
    scene.client().unwrap().reset().unwrap();
    scene.wait_for_log_times(messages::LEFT_UNSERVED, 2).unwrap();
    let silent = scene.client().unwrap();
    scene.expect(!silent.is_readable_within(MOMENT).unwrap(), "the silent client received data");
    scene.expect(scene.count_in_log(messages::STARTING) == 0, "the service woke without a byte");
    // A byte of a client that was silent at first wakes the service.
    scene.echo(&silent, "hello").unwrap();
    drop(silent);
    scene.wait_for_log(&messages::state_of("main", "stopping", "stopped")).unwrap();
    scene.visit("hello").unwrap();
    assert_eq!(scene.place.starts(), 2);
}

#[test]
fn an_awake_service_serves_silent_clients() {
    let scene = Scene::new(&["greet=welcome"], &["--wake-on=data"]).unwrap();
    let first = scene.client().unwrap();
    first.send(b"x", SOON).unwrap();
    scene.receives(&first, "welcome").unwrap();
    let second = scene.client().unwrap();
    scene.receives(&second, "welcome").unwrap();
}

#[test]
fn a_silent_client_is_held_only_for_the_timeout() {
    let scene = Scene::new(&[], &["--wake-on=data", "--hold=400ms"]).unwrap();
    let client = scene.client().unwrap();
    let began = Instant::now();
    scene.is_refused(&client).unwrap();
    scene.expect(began.elapsed() >= Duration::from_millis(300), "the client was ended too early");
    scene.wait_for_log(messages::CLIENT_SILENT).unwrap();
    assert_eq!(scene.place.starts(), 0);
}

/// Connects a client from this address.
fn from(scene: &Scene, ip: Ipv4Addr) -> Stream {
    let front = scene.front("main").unwrap();
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((ip, 0)).into()).unwrap();
    socket.connect(&front.into()).unwrap();
    Stream::from_socket(socket).unwrap()
}

#[test]
fn a_client_without_wake_permission_is_served_by_an_awake_service() {
    let (may, may_not) = (Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 3));
    let scene =
        Scene::new(&["start"], &["--wake-allow=127.0.0.2", "--wake-allow=10.0.0.0/8", "--idle=300ms"])
            .unwrap();
    scene.is_refused(&from(&scene, may_not)).unwrap();
    scene
        .wait_for_log(&format!(
            "{}: the service sleeps, and {}",
            messages::NOT_SERVED,
            messages::MAY_NOT_WAKE
        ))
        .unwrap();
    assert_eq!(scene.place.starts(), 0);
    let waker = from(&scene, may);
    scene.wait_for_log(&messages::output("main", "starts")).unwrap();
    // Another client has started the workload: all clients may wait for it.
    let other = from(&scene, may_not);
    scene.place.open("start").unwrap();
    scene.echo(&waker, "hello").unwrap();
    scene.echo(&other, "hello").unwrap();
    scene.echo(&from(&scene, may_not), "hello").unwrap();
    drop((waker, other));
    scene.wait_for_log(&messages::state_of("main", "stopping", "stopped")).unwrap();
    scene.is_refused(&from(&scene, may_not)).unwrap();
    assert_eq!(scene.place.starts(), 1);
}

#[test]
fn a_client_that_left_before_its_check_wakes_nothing() {
    let (may, may_not) = (Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 3));
    let scene = Scene::new(&[], &["--wake-allow=127.0.0.2"]).unwrap();
    // All clients have left before dormouse checks the first of them.
    scene.dormouse.signal(Signal::STOP).unwrap();
    for _ in 0..5 {
        from(&scene, may_not).reset().unwrap();
    }
    scene.dormouse.signal(Signal::CONT).unwrap();
    scene.is_refused(&from(&scene, may_not)).unwrap();
    scene.expect(scene.place.starts() == 0 && scene.count_in_log(messages::STARTING) == 0, "woken");
    scene.echo(&from(&scene, may), "hello").unwrap();
    assert_eq!(scene.place.starts(), 1);
}

#[test]
fn a_client_without_wake_permission_does_not_thaw_the_workload() {
    let (may, may_not) = (Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 3));
    let scene = Scene::new(&[], &["--wake-allow=127.0.0.2", "--freeze=200ms"]).unwrap();
    scene.echo(&from(&scene, may), "hello").unwrap();
    scene.wait_for_log(&messages::state_of("main", "freezing", "frozen")).unwrap();
    scene.is_refused(&from(&scene, may_not)).unwrap();
    scene.expect(scene.count_in_log("thawing") == 0, "thawed");
    scene.echo(&from(&scene, may), "hello").unwrap();
}
