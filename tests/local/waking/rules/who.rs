//! Who may wake a service, and by what.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use dormouse_tests::wait::SOON;
use dormouse_tests::{Stream, messages};
use rustix::process::Signal;
use socket2::{Domain, Socket, Type};

use super::scene::{MOMENT, Scene};

#[test]
fn only_a_byte_wakes_what_wakes_on_data() {
    let scene = Scene::new(&[], &["--wake-on=data", "--idle=300ms"]).unwrap();
    // A scanner, and one that resets.
    drop(scene.client().unwrap());
    scene.client().unwrap().reset().unwrap();
    scene.wait_for_log_times(messages::LEFT_WHILE_HELD, 2).unwrap();
    let silent = scene.client().unwrap();
    scene.expect(!silent.is_readable_within(MOMENT).unwrap(), "who is it that speaks?");
    scene.expect(scene.count_in_log(messages::STARTING) == 0, "woken without a byte");
    // A byte of somebody who came in silence does.
    scene.echo(&silent, "hello").unwrap();
    drop(silent);
    scene.wait_for_log(&messages::state_of("main", "stopping", "stopped")).unwrap();
    scene.visit("hello").unwrap();
    assert_eq!(scene.place.starts(), 2);
}

#[test]
fn while_it_is_awake_nobody_has_to_speak_first() {
    let scene = Scene::new(&["greet=welcome"], &["--wake-on=data"]).unwrap();
    let first = scene.client().unwrap();
    first.send(b"x", SOON).unwrap();
    scene.receives(&first, "welcome").unwrap();
    let second = scene.client().unwrap();
    scene.receives(&second, "welcome").unwrap();
}

#[test]
fn who_says_nothing_is_not_held_for_ever() {
    let scene = Scene::new(&[], &["--wake-on=data", "--hold=400ms"]).unwrap();
    let client = scene.client().unwrap();
    let began = Instant::now();
    scene.is_turned_away(&client).unwrap();
    scene.expect(began.elapsed() >= Duration::from_millis(300), "too early");
    scene.wait_for_log("not served: the client said nothing for").unwrap();
    assert_eq!(scene.place.starts(), 0);
}

/// A client from this address.
fn from(scene: &Scene, ip: Ipv4Addr) -> Stream {
    let front = scene.front("main").unwrap();
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((ip, 0)).into()).unwrap();
    socket.connect(&front.into()).unwrap();
    Stream::from_socket(socket).unwrap()
}

#[test]
fn who_may_not_wake_it_is_served_while_it_is_awake() {
    let (may, may_not) = (Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 3));
    let scene =
        Scene::new(&["start"], &["--wake-allow=127.0.0.2", "--wake-allow=10.0.0.0/8", "--idle=300ms"])
            .unwrap();
    scene.is_turned_away(&from(&scene, may_not)).unwrap();
    scene.wait_for_log("not served: the service sleeps, and this client may not wake it").unwrap();
    assert_eq!(scene.place.starts(), 0);
    let waker = from(&scene, may);
    scene.wait_for_log(&messages::output("main", "starts")).unwrap();
    // It is on its way because of somebody else: all may wait for it.
    let other = from(&scene, may_not);
    scene.place.open("start").unwrap();
    scene.echo(&waker, "hello").unwrap();
    scene.echo(&other, "hello").unwrap();
    scene.echo(&from(&scene, may_not), "hello").unwrap();
    drop((waker, other));
    scene.wait_for_log(&messages::state_of("main", "stopping", "stopped")).unwrap();
    scene.is_turned_away(&from(&scene, may_not)).unwrap();
    assert_eq!(scene.place.starts(), 1);
}

#[test]
fn who_is_gone_before_it_is_known_wakes_nothing() {
    let (may, may_not) = (Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 3));
    let scene = Scene::new(&[], &["--wake-allow=127.0.0.2"]).unwrap();
    // All are gone by the time that the first of them is looked at.
    scene.dormouse.signal(Signal::STOP).unwrap();
    for _ in 0..5 {
        from(&scene, may_not).reset().unwrap();
    }
    scene.dormouse.signal(Signal::CONT).unwrap();
    scene.is_turned_away(&from(&scene, may_not)).unwrap();
    scene.expect(scene.place.starts() == 0 && scene.count_in_log(messages::STARTING) == 0, "woken");
    scene.echo(&from(&scene, may), "hello").unwrap();
    assert_eq!(scene.place.starts(), 1);
}

#[test]
fn who_may_not_wake_it_does_not_thaw_it() {
    let (may, may_not) = (Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 3));
    let scene = Scene::new(&[], &["--wake-allow=127.0.0.2", "--freeze=200ms"]).unwrap();
    scene.echo(&from(&scene, may), "hello").unwrap();
    scene.wait_for_log(&messages::state_of("main", "freezing", "frozen")).unwrap();
    scene.is_turned_away(&from(&scene, may_not)).unwrap();
    scene.expect(scene.count_in_log("thawing") == 0, "thawed");
    scene.echo(&from(&scene, may), "hello").unwrap();
}
