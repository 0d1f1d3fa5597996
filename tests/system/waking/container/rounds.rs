//! Many rounds of sleep and wake, with requests at any time, including the time of the stop.

use std::thread;
use std::time::{Duration, Instant};

use dormouse_tests::machine::{Machine, case, ensure};
use dormouse_tests::rng::{Rng, seed};
use dormouse_tests::{Failure, Result, rounds};

use super::debian13;
use super::podman::{Podman, ask_and_stay};

const LIMIT: Duration = Duration::from_secs(1200);

/// The number of rounds if `DORMOUSE_ROUNDS` is not set.
const ROUNDS: u64 = 100;

/// The idle time before the stop.
const IDLE: Duration = Duration::from_millis(60);

case!(User, no_request_fails_rootless, LIMIT, |machine| no_request_fails(machine, rounds(ROUNDS)?, ""));
case!(System, no_request_fails_rootful, LIMIT, |machine| no_request_fails(
    machine,
    rounds(ROUNDS)?.div_ceil(2),
    ""
));
case!(User in debian13::tree, no_request_fails_rootless_on_debian_13, LIMIT, |machine| no_request_fails(
    machine,
    rounds(ROUNDS)?.div_ceil(2),
    ""
));
case!(User, no_request_fails_with_freezing, LIMIT, |machine| no_request_fails(
    machine,
    rounds(ROUNDS)?.div_ceil(2),
    "--freeze=20ms"
));

fn no_request_fails(machine: &Machine, rounds: u64, flags: &str) -> Result<()> {
    let seed = seed()?;
    println!("{rounds} rounds with DORMOUSE_SEED={seed:#x}");
    let mut rng = Rng::new(seed);
    let podman = Podman::new(machine)?;
    podman.create(&["--network=host"], &[])?;
    podman.dormouse(&format!("--container=web --idle={}ms {flags}", IDLE.as_millis()))?;
    let started = Instant::now();
    let (mut requests, mut awake) = (0, 0);
    for round in 0..rounds {
        one_round(&podman, &mut rng, &mut requests, &mut awake)
            .map_err(|failure| podman.with_log(Failure::Unexpected(format!("round {round}: {failure}"))))?;
    }
    println!(
        "{requests} requests; {awake} of {rounds} rounds met a container that ran; {:.1} s",
        started.elapsed().as_secs_f64()
    );
    // A run whose requests were all too early, or all too late, does not test the stop.
    let enough = rounds / 20;
    ensure(awake >= enough && rounds - awake >= enough, || {
        format!("{awake} of {rounds} rounds met a container that ran: too one-sided")
    })
}

/// Sends requests from the first answer until well after the end of the stop, which takes Podman about 0.1 s.
fn one_round(podman: &Podman<'_>, rng: &mut Rng, requests: &mut u64, awake: &mut u64) -> Result<()> {
    // The open session keeps the container awake during these checks.
    let client = ask_and_stay()?;
    let process = podman.process()?;
    drop(client);
    let answered = Instant::now();
    let at = answered + rng.duration(Duration::from_millis(250));
    let extra = if rng.chance(70) { 1 } else { 2 + rng.below(7) };
    *requests += 1 + extra;
    let clients: Vec<_> = (0..extra)
        .map(|_| {
            let at = at + rng.duration(Duration::from_millis(30));
            thread::spawn(move || {
                thread::sleep(at.saturating_duration_since(Instant::now()));
                ask_and_stay()
            })
        })
        .collect();
    let mut stay = Vec::new();
    for client in clients {
        stay.push(client.join().map_err(|_| Failure::Unexpected("a client panicked".to_owned()))??);
    }
    *awake += u64::from(podman.process()? == process);
    Ok(())
}
