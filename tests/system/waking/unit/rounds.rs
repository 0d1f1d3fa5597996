//! Many rounds of sleep and wake, with requests at any time, including the time of the stop.

use std::thread;
use std::time::{Duration, Instant};

use dormouse_tests::machine::{Machine, case, ensure};
use dormouse_tests::rng::{Rng, seed};
use dormouse_tests::{Failure, Result, rounds};

use super::stage::{NGINX, Stage, WEB, ask_and_stay};
use dormouse_tests::nginx::Start;

const LIMIT: Duration = Duration::from_secs(1200);

/// The number of rounds if `DORMOUSE_ROUNDS` is not set.
const ROUNDS: u64 = 100;

/// The idle time before the stop.
const IDLE: Duration = Duration::from_millis(40);

case!(User, no_request_fails, LIMIT, |machine| no_request_fails_(machine, rounds(ROUNDS)?, ""));
case!(System, no_request_fails_with_the_system_manager, LIMIT, |machine| no_request_fails_(
    machine,
    rounds(ROUNDS)?,
    ""
));
case!(User, no_request_fails_with_freezing, LIMIT, |machine| no_request_fails_(
    machine,
    rounds(ROUNDS)?.div_ceil(2),
    "--freeze=20ms"
));

/// The results of the requests that were sent around the stop.
#[derive(Default)]
struct Tally {
    requests: u64,
    /// The rounds in which the process of the first answer still ran at the end.
    awake: u64,
}

fn no_request_fails_(machine: &Machine, rounds: u64, flags: &str) -> Result<()> {
    let seed = seed()?;
    println!("{rounds} rounds with DORMOUSE_SEED={seed:#x}");
    let mut rng = Rng::new(seed);
    let stage = Stage::new(machine, NGINX, Start::Quick)?;
    stage.dormouse(&format!("--idle={}ms {flags}", IDLE.as_millis()))?;
    let started = Instant::now();
    let mut tally = Tally::default();
    for round in 0..rounds {
        one_round(&stage, &mut rng, &mut tally)
            .map_err(|failure| stage.with_log(&Failure::Unexpected(format!("round {round}: {failure}"))))?;
    }
    let Tally { requests, awake } = tally;
    println!(
        "{requests} requests; {awake} of {rounds} rounds met the old process; {:.1} s",
        started.elapsed().as_secs_f64()
    );
    // A run whose requests were all too early, or all too late, does not test the stop.
    let enough = rounds / 20;
    ensure(awake >= enough && rounds - awake >= enough, || {
        format!("{awake} of {rounds} rounds met the old process: too one-sided")
    })
}

/// Sends requests from the first answer until well after the end of the stop; half of the rounds aim at the stop
/// itself.
fn one_round(stage: &Stage<'_>, rng: &mut Rng, tally: &mut Tally) -> Result<()> {
    // The open session keeps the unit awake during these checks.
    let client = ask_and_stay(tally.requests)?;
    let process = stage.machine.number(WEB, "MainPID")?;
    drop(client);
    let answered = Instant::now();
    let at = answered
        + if rng.chance(50) {
            IDLE + rng.duration(Duration::from_millis(15))
        } else {
            rng.duration(IDLE * 3)
        };
    let extra = if rng.chance(70) { 1 } else { 2 + rng.below(7) };
    let clients: Vec<_> = (0..extra)
        .map(|client| {
            let at = at + rng.duration(Duration::from_millis(3));
            let number = tally.requests + 1 + client;
            thread::spawn(move || {
                thread::sleep(at.saturating_duration_since(Instant::now()));
                ask_and_stay(number)
            })
        })
        .collect();
    tally.requests += 1 + extra;
    let mut stay = Vec::new();
    for client in clients {
        stay.push(client.join().map_err(|_| Failure::Unexpected("a client panicked".to_owned()))??);
    }
    tally.awake += u64::from(stage.machine.number(WEB, "MainPID")? == process);
    Ok(())
}
