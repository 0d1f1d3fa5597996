//! Several servers of one service, woken as the load grows.

use std::fmt::Write as _;

use super::scene::{Place, Scene};

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
fn the_load_wakes_the_next_and_puts_the_last_to_sleep() {
    let scene = three(2);
    let mut clients = Vec::new();
    let mut come = |number: usize| {
        let client = scene.client().unwrap();
        scene.echo(&client, &format!("client {number}")).unwrap();
        clients.push(client);
    };
    come(1);
    come(2);
    scene.expect(scene.count("→ starting") == 1, "one is enough for two");
    come(3);
    scene.told("main/b: stopped → starting").unwrap();
    scene.told("main/b: idle after").unwrap();
    // The third stayed with the first; now the second has room for two.
    come(4);
    come(5);
    scene.expect(scene.count("main/b| accepted") >= 2, "the second does its part");
    scene.expect(scene.count("→ starting") == 2, "two are enough");
    come(6);
    scene.told("main/c: stopped → starting").unwrap();
    scene.told("main/c: idle after").unwrap();
    come(7);
    scene.told("main/c: ").unwrap();
    // The load falls: the last ones sleep again, the first one stays for who is left.
    let stays = clients.remove(0);
    for client in clients {
        scene.echo(&client, "goodbye").unwrap();
    }
    scene.told("main/c: stopping → stopped").unwrap();
    scene.told("main/b: stopping → stopped").unwrap();
    scene.echo(&stays, "still here").unwrap();
    scene.expect(scene.count("main/a: idle → stopping") == 0, "the first one went");
    assert_eq!(scene.count("not served"), 0);
}

#[test]
fn a_crowd_wakes_all_and_everybody_is_served() {
    let scene = three(2);
    let clients: Vec<_> = (0..12).map(|_| scene.client().unwrap()).collect();
    for (number, client) in clients.iter().enumerate() {
        scene.echo(client, &format!("client {number}")).unwrap();
    }
    scene.told("main/c| accepted").unwrap();
    assert_eq!(scene.count("not served"), 0);
    assert_eq!(scene.place.starts(), 3);
    drop(clients);
    for name in ["a", "b", "c"] {
        scene.told(&format!("main/{name}: stopping → stopped")).unwrap();
    }
}

#[test]
fn a_server_that_cannot_be_started_is_passed_over() {
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
    scene.told("main/server1: starting → failed").unwrap();
    assert_eq!(scene.count("not served"), 0);
}
