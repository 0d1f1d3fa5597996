//! Programs that end with their first client.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;

use dormouse_tests::messages;
use dormouse_tests::wait::until;

use super::scene::{LIMIT, Scene};

/// The number of runs in a row after which starts wait.
const RUNS: usize = 6;
/// More clients than such runs.
const CLIENTS: usize = 3 * RUNS;

/// Clients that come one after another start the program some times, and then wait for the next start.
#[test]
fn a_program_that_ends_without_an_answer_is_not_started_for_each_client() {
    let scene = Scene::new("hang-up", &["--hold=20s", "--no-replay"]).unwrap();
    let found = until("a pause", LIMIT, || {
        scene.refused("hello\n");
        Ok((scene.count_in_log(messages::ENDED_AT_ONCE) > 0).then_some(()))
    });
    assert!(found.is_ok(), "{found:?}\n{}", scene.log());
    scene.wait_for_log(&format!("{RUNS} {}", messages::ENDED_AT_ONCE)).unwrap();
    // The next client is held, and gets the next start.
    scene.refused("hello\n");
    scene.wait_for_log_times(messages::ENDED_AT_ONCE, 2).unwrap();
    let starts = scene.starts().len();
    let pauses = scene.count_in_log(messages::ENDED_AT_ONCE);
    assert!(starts > RUNS && starts <= RUNS + pauses, "{starts} starts, {pauses} pauses\n{}", scene.log());
}

#[test]
fn a_program_that_serves_one_client_a_run_is_started_for_each() {
    let scene = Scene::new("once", &[]).unwrap();
    for client in 1..=CLIENTS {
        scene.served(&format!("{client}\n"));
        // Until then the program may take one more connection, which it does not accept.
        scene.wait_for_log_times(messages::STOPPED, client).unwrap();
    }
    scene.expect_in_log_times(messages::ENDED_AT_ONCE, 0).unwrap();
    assert_eq!(scene.starts().len(), CLIENTS, "{}", scene.log());
}

/// As `nc -l >file`: the client ends the session, and the program says nothing.
#[test]
fn a_program_that_only_receives_is_started_for_each_client() {
    let scene = Scene::new("once-in", &[]).unwrap();
    for number in 1..=CLIENTS {
        let mut client = scene.connect().unwrap();
        client.write_all(b"hello\n").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap_or_else(|error| panic!("{error}\n{}", scene.log()));
        scene.wait_for_log_times(messages::STOPPED, number).unwrap();
    }
    scene.expect_in_log_times(messages::ENDED_AT_ONCE, 0).unwrap();
    assert_eq!(scene.starts().len(), CLIENTS, "{}", scene.log());
}
