//! Exclusive groups: one service runs at a time.

use dormouse_tests::messages;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::scene::{MOMENT, Place, Scene};

/// Starts two services of a group; `more` is added to the second.
fn two(minimum_uptime: &str, more: &str) -> Scene {
    let place = Place::new(2).unwrap();
    let mut text = String::new();
    for (index, name) in ["a", "b"].into_iter().enumerate() {
        let (to, exec) = (place.port(index), place.server(index, &[]));
        let more = if index == 1 { more } else { "" };
        write!(
            text,
            "[services.{name}]\nlisten = LISTEN\nto = \"{to}\"\nwake.exec = \"{exec}\"\nexclusive = \"gpu\"\n{more}\
             idle = {{ minimum_uptime = \"{minimum_uptime}\" }}\n"
        )
        .unwrap();
    }
    Scene::of_file(place, &text).unwrap()
}

/// Whether the two never ran at the same time.
fn one_at_a_time(scene: &Scene) -> bool {
    let mut running = Vec::new();
    for line in scene.log().lines() {
        let Some((name, what)) = line.split_once([':', '|']) else { continue };
        if line.contains("| starts") {
            running.push(name.to_owned());
        } else if what.contains("stopping →") {
            running.retain(|other| other != name);
        }
        if running.len() > 1 {
            return false;
        }
    }
    true
}

#[test]
fn the_start_of_one_stops_the_other_when_it_is_idle() {
    let scene = two("0", "");
    for round in 1..=2 {
        scene.visit_of("a", "hello").unwrap();
        scene.visit_of("b", "hello").unwrap();
        scene.wait_for_log_times(&messages::state_of("a", "stopping", "stopped"), round).unwrap();
    }
    scene.expect(one_at_a_time(&scene), "both services ran");
    assert_eq!(scene.place.starts(), 4);
}

#[test]
fn a_used_service_is_not_stopped_and_the_client_of_the_other_waits() {
    let scene = two("0", "");
    let first = scene.client_of("a").unwrap();
    scene.echo(&first, "hello").unwrap();
    let second = scene.client_of("b").unwrap();
    scene.wait_for_log(&messages::state_of("b", "stopped", "starting")).unwrap();
    scene.expect(!second.is_readable_within(MOMENT).unwrap(), "the client was not held");
    scene.echo(&first, "still there").unwrap();
    assert_eq!(scene.place.starts(), 1);
    drop(first);
    scene.echo(&second, "hello").unwrap();
    scene.expect(one_at_a_time(&scene), "both services ran");
}

#[test]
fn each_service_runs_for_its_minimum_uptime() {
    let scene = two("700ms", "");
    let began = Instant::now();
    scene.visit_of("a", "hello").unwrap();
    scene.visit_of("b", "hello").unwrap();
    scene.expect(
        began.elapsed() >= Duration::from_millis(700),
        "the service ran for less than its minimum uptime",
    );
    scene.expect(one_at_a_time(&scene), "both services ran");
}

#[test]
fn clients_of_both_are_served_in_turn() {
    let scene = two("0", "");
    std::thread::scope(|scope| {
        for name in ["a", "b"] {
            let scene = &scene;
            scope.spawn(move || {
                for _ in 0..4 {
                    scene.visit_of(name, "hello").unwrap();
                }
            });
        }
    });
    scene.expect(one_at_a_time(&scene), "both services ran");
}

/// A client that leaves while it is held does not stop the other service.
#[test]
fn a_client_that_stopped_waiting_does_not_count() {
    let scene = two("0", "hold.timeout = \"300ms\"\nwake.start_timeout = \"600ms\"\n");
    let first = scene.client_of("a").unwrap();
    scene.echo(&first, "hello").unwrap();
    let second = scene.client_of("b").unwrap();
    scene.is_refused(&second).unwrap();
    scene.wait_for_log(&messages::state_of("b", "stopping", "failed")).unwrap();
    drop(first);
    scene.visit_of("a", "hello").unwrap();
    scene.wait_for_log_times(messages::SESSION_FROM, 3).unwrap();
    let other = scene.client_of("a").unwrap();
    scene.expect(
        !other.is_readable_within(MOMENT).unwrap(),
        "the service was stopped without a waiting client",
    );
    scene.echo(&other, "hello").unwrap();
    assert_eq!(scene.place.starts(), 1);
}
