//! Requests at random times, including the time of the stop: none may fail.

use std::time::{Duration, Instant};

use dormouse_tests::rng::{self, Rng};
use dormouse_tests::scaled;

use super::scene::{LIMIT, Scene};

/// The number of wakes if `DORMOUSE_ROUNDS` is not set.
const ROUNDS: usize = scaled(5, 100);
/// The number of concurrent clients.
const CLIENTS: u64 = 3;

#[test]
fn no_request_fails_at_any_time() {
    rounds("well", &["--idle=10ms"]);
}

#[test]
fn no_request_fails_during_a_slow_stop() {
    rounds("slow-end", &["--idle=10ms"]);
}

#[test]
fn no_request_fails_during_freezes_and_thaws() {
    rounds("well", &["--freeze=5ms", "--idle=60ms"]);
}

fn rounds(how: &str, flags: &[&str]) {
    let rounds = dormouse_tests::rounds(ROUNDS).unwrap();
    let seed = rng::seed().unwrap();
    println!("DORMOUSE_SEED={seed}");
    let scene = Scene::new(how, flags).unwrap();
    let deadline = Instant::now() + LIMIT + Duration::from_secs(2) * u32::try_from(rounds).unwrap();
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let scene = &scene;
            scope.spawn(move || {
                let mut rng = Rng::new(seed ^ client);
                let mut request = 0;
                while scene.starts().len() < rounds {
                    assert!(Instant::now() < deadline, "{} starts\n{}", scene.starts().len(), scene.log());
                    request += 1;
                    scene.served(&format!("{client} {request}\n"));
                    // Around the moment of the stop, which is the subject of this test.
                    std::thread::sleep(rng.duration(Duration::from_millis(250)));
                }
            });
        }
    });
}
