//! Several servers of one service that wake as the load grows.

use dormouse_tests::messages;
use std::fmt::Write as _;

use super::scene::{MOMENT, Place, Scene};

fn three(soft: u32) -> Scene {
    let place = Place::new(3).unwrap();
    let mut text = format!(
        "[services.main]\nlisten = LISTEN\nbalance = \"first\"\nsoft = {soft}\n\
         idle = {{ stop = \"2s\", minimum_uptime = \"0\" }}\n"
    );
    for (index, name) in ["a", "b", "c"].into_iter().enumerate() {
        let (to, exec) = (place.port(index), place.server(index, &[]));
        writeln!(text, "[[services.main.servers]]\nname = \"{name}\"\nto = \"{to}\"\nwake.exec = \"{exec}\"")
            .unwrap();
    }
    Scene::of_file(place, &text).unwrap()
}

#[test]
fn load_wakes_the_next_server_and_idle_time_stops_the_last() {
    let scene = three(2);
    let mut clients = Vec::new();
    let mut come = |number: usize| {
        let client = scene.client().unwrap();
        scene.echo(&client, &format!("client {number}")).unwrap();
        clients.push(client);
    };
    come(1);
    come(2);
    // One server is enough for two sessions.
    scene.expect_in_log_times(messages::STARTING, 1).unwrap();
    come(3);
    scene.wait_for_log(&messages::state_of("main/b", "stopped", "starting")).unwrap();
    scene.wait_for_log(&messages::idle("main/b")).unwrap();
    // The third session is on the first server; the second server has capacity for two.
    come(4);
    come(5);
    scene.wait_for_log_times(&messages::output("main/b", "accepted"), 2).unwrap();
    scene.expect_in_log_times(messages::STARTING, 2).unwrap();
    come(6);
    scene.wait_for_log(&messages::state_of("main/c", "stopped", "starting")).unwrap();
    scene.wait_for_log(&messages::idle("main/c")).unwrap();
    come(7);
    scene.wait_for_log_times(&messages::output("main/c", "accepted"), 2).unwrap();
    // The load falls: the last servers stop, the first one stays for the remaining session.
    let stays = clients.remove(0);
    for client in clients {
        scene.echo(&client, "goodbye").unwrap();
    }
    scene.wait_for_log(&messages::state_of("main/c", "stopping", "stopped")).unwrap();
    scene.wait_for_log(&messages::state_of("main/b", "stopping", "stopped")).unwrap();
    scene.echo(&stays, "still here").unwrap();
    scene.expect(
        scene.count_in_log(&messages::state_of("main/a", "idle", "stopping")) == 0,
        "the first server stopped",
    );
    assert_eq!(scene.count_in_log(messages::NOT_SERVED), 0);
}

#[test]
fn many_clients_wake_all_servers_and_are_served() {
    let scene = three(2);
    let clients: Vec<_> = (0..12).map(|_| scene.client().unwrap()).collect();
    for (number, client) in clients.iter().enumerate() {
        scene.echo(client, &format!("client {number}")).unwrap();
    }
    scene.wait_for_log(&messages::output("main/c", "accepted")).unwrap();
    assert_eq!(scene.count_in_log(messages::NOT_SERVED), 0);
    assert_eq!(scene.place.starts(), 3);
    drop(clients);
    for name in ["a", "b", "c"] {
        scene.wait_for_log(&messages::state_of(&format!("main/{name}"), "stopping", "stopped")).unwrap();
    }
}

#[test]
fn a_server_that_cannot_be_started_is_skipped() {
    let place = Place::new(2).unwrap();
    let text = format!(
        "[services.main]\nlisten = LISTEN\nsoft = 1\n\
         [[services.main.servers]]\nto = \"{}\"\nwake.exec = \"/nonexistent/program\"\n\
         [[services.main.servers]]\nto = \"{}\"\nwake.exec = \"{}\"\n",
        place.port(0),
        place.port(1),
        place.server(1, &[]),
    );
    let scene = Scene::of_file(place, &text).unwrap();
    for _ in 0..3 {
        scene.visit("hello").unwrap();
    }
    scene.wait_for_log(&messages::state_of("main/server1", "starting", "failed")).unwrap();
    assert_eq!(scene.count_in_log(messages::NOT_SERVED), 0);
}

#[test]
fn checks_neither_wake_a_server_nor_keep_it_awake() {
    let place = Place::new(1).unwrap();
    let text = format!(
        "[services.main]\nlisten = LISTEN\nto = \"{}\"\nwake.exec = \"{}\"\n\
         check = {{ inter = \"20ms\" }}\nidle = {{ stop = \"400ms\", minimum_uptime = \"0\" }}\n",
        place.port(0),
        place.server(0, &[]),
    );
    let scene = Scene::of_file(place, &text).unwrap();
    std::thread::sleep(MOMENT);
    assert_eq!(scene.place.starts(), 0);
    for round in 1..=2 {
        scene.visit("hello").unwrap();
        scene.wait_for_log_times(&messages::state_of("main", "stopping", "stopped"), round).unwrap();
        let before = scene.count_in_log("| accepted");
        scene.expect(before > 5 * round, "the awake and unused server was not checked");
        std::thread::sleep(MOMENT);
        scene.expect(scene.count_in_log("| accepted") == before, "a sleeping server was checked");
    }
    assert_eq!(
        (scene.place.starts(), scene.count_in_log("DOWN"), scene.count_in_log(messages::NOT_SERVED)),
        (2, 0, 0)
    );
}

#[test]
fn a_server_with_wrong_check_answers_gets_no_sessions_until_they_are_right() {
    let place = Place::new(2).unwrap();
    let text = format!(
        "[services.main]\nlisten = LISTEN\nbalance = \"leastconn\"\n\
         check = {{ inter = \"50ms\", send = \"PING\", expect = \"+PONG\", passive = false }}\n\
         [[services.main.servers]]\nname = \"a\"\nto = \"{}\"\nwake.exec = \"{}\"\n\
         [[services.main.servers]]\nname = \"b\"\nto = \"{}\"\nwake.exec = \"{}\"\n",
        place.port(0),
        place.server(0, &["pong"]),
        place.port(1),
        place.server(1, &["pong=/"]),
    );
    place.open("pong").unwrap();
    let scene = Scene::of_file(place, &text).unwrap();
    let _clients = [scene.client().unwrap(), scene.client().unwrap()];
    scene.wait_for_log(&messages::ready("main/a")).unwrap();
    scene.wait_for_log(&messages::ready("main/b")).unwrap();
    scene.place.shut("pong").unwrap();
    scene.wait_for_log(&messages::check_failed("main/a")).unwrap();
    for _ in 0..5 {
        scene.visit("hello").unwrap();
    }
    scene.place.open("pong").unwrap();
    scene.wait_for_log(&messages::up("main/a")).unwrap();
}
