//! Requests at random moments, also in the moment of stopping: none may fail.

use std::time::{Duration, Instant};

use dormouse_tests::rng::{self, Rng};
use dormouse_tests::scaled;

use super::scene::{LIMIT, Scene};

/// How often it is woken; `DORMOUSE_ROUNDS` says another number.
const ROUNDS: usize = scaled(5, 100);
/// How many knock at the same time.
const CLIENTS: u64 = 3;

#[test]
fn no_request_fails_whenever_it_comes() {
    rounds("well", &["--idle=10ms"]);
}

#[test]
fn no_request_fails_while_it_takes_its_time_to_stop() {
    rounds("slow-end", &["--idle=10ms"]);
}

#[test]
fn no_request_fails_while_it_freezes_and_thaws() {
    rounds("well", &["--freeze=5ms", "--idle=60ms"]);
}

fn rounds(how: &str, flags: &[&str]) {
    let rounds = std::env::var("DORMOUSE_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(ROUNDS);
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
                    // Around the moment at which it stops: what is tried out here is the moment itself.
                    std::thread::sleep(rng.duration(Duration::from_millis(250)));
                }
            });
        }
    });
}
