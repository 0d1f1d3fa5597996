//! Sessions at a steady rate while processes are killed, sockets are removed and configurations are reloaded.
//!
//! Three services take sessions without a pause: a bridge to two servers, a listener at a path, and a workload that
//! falls asleep within a second. Meanwhile one disturbance follows another, in a random order: dormouse, a server, a
//! woken program or its guard is killed; the socket of a listener is removed; the configuration is reloaded, or a wrong
//! one is refused. The listening sockets of two services belong to the test, as they belong to a service manager.
//!
//! - No client ever receives a byte that it did not send, or one in another order.
//! - A session that no disturbance of its service overlaps receives all bytes and an orderly end. A reload is no
//!   disturbance.
//! - After each disturbance the service serves again within a deadline.
//! - In the end dormouse exits with status 0 and leaves no process behind, and it has as many descriptors as before.
//!
//! | variable | meaning |
//! |---|---|
//! | `DORMOUSE_SEED` | the seed of the run (default: a new one, which is printed) |
//! | `DORMOUSE_SOAK` | the length of the run in seconds (default 120) |

mod clients;
mod disturb;
mod scene;

use std::env;
use std::time::{Duration, Instant};

use dormouse_tests::rng::{Rng, seed};
use dormouse_tests::{Failure, Result};

use self::clients::Load;
use self::disturb::{Disturbance, Record};
use self::scene::Scene;

/// The length of a run in seconds if `DORMOUSE_SOAK` is not set.
const SECONDS: u64 = 120;

#[test]
fn no_disturbance_costs_more_than_the_sessions_it_cuts() {
    let seed = seed().unwrap();
    println!("DORMOUSE_SEED={seed:#x}");
    soak(seed, seconds().unwrap()).unwrap();
}

fn seconds() -> Result<Duration> {
    let text = env::var("DORMOUSE_SOAK").unwrap_or_else(|_| SECONDS.to_string());
    let seconds =
        text.parse().map_err(|_| Failure::Unexpected(format!("DORMOUSE_SOAK={text} is no number")))?;
    Ok(Duration::from_secs(seconds))
}

fn soak(seed: u64, length: Duration) -> Result<()> {
    let mut rng = Rng::new(seed);
    let mut scene = Scene::start()?;
    let at_rest = scene.descriptors_at_rest()?;
    let load = Load::start(scene.fronts(), rng.number());
    let end = Instant::now() + length;
    let mut records: Vec<Record> = Vec::new();
    while Instant::now() < end {
        for disturbance in Disturbance::round(&mut rng) {
            records.push(disturbance.carry_out(&mut scene, &load, &mut rng)?);
        }
    }
    let sessions = load.stop()?;
    for disturbance in Disturbance::ALL {
        let times = records.iter().filter(|record| record.disturbance == disturbance).count();
        println!("{disturbance:?}: {times}");
    }
    println!("{}", clients::verdict(&sessions, &records)?);
    scene.rests_with_descriptors(at_rest)?;
    scene.stop()
}
