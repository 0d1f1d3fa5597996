//! Bytes are conserved: whatever two peers do to each other, each gets what the other sent, byte for byte and in order,
//! and learns how the other ended.
//!
//! Ten thousand random sessions a run (400 without the feature `system`) go through one running program for each pair of socket families. What a session
//! does follows from its seed alone (`plan`); each side does it and watches what arrives (`side`); then what each has
//! seen is held against what the other has done (`judge`).
//!
//! | variable | meaning |
//! |---|---|
//! | `DORMOUSE_SEED` | the seed of the run; without it a new one, which is printed |
//! | `DORMOUSE_SESSIONS` | how many sessions, over all pairs of families (10000, or 400 without the feature `system`) |
//! | `DORMOUSE_SESSION` | only this session, such as `tcp-unix:0x1f`, as a failure prints it |
//!
//! With `DORMOUSE_SESSION`, `DORMOUSE_SESSIONS` says how many times it is repeated (1).

mod content;
mod judge;
mod link;
mod plan;
mod registry;
mod run;
mod side;
mod under_test;

use std::{env, time::Duration};

use dormouse_tests::{Failure, Result, Subject, rng::seed, scaled};

use self::{
    run::{Report, Run, Sessions, run},
    under_test::{Through, Way},
};

/// How many sessions a run has, unless `DORMOUSE_SESSIONS` contains another number.
const SESSIONS: u64 = scaled(400, 10_000) as u64;

/// How long a session may stand still. It never does for longer than some pauses; a busy machine may make it wait.
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn all_bytes_arrive_through_the_program() {
    let run_one = env::var("DORMOUSE_SESSION").ok();
    let seed = seed().unwrap();
    let (sessions, ways) = if let Some(text) = &run_one {
        let (way, session) = one_session(text).unwrap();
        (Sessions::Repeated { seed: session, times: count(1).unwrap() }, vec![way])
    } else {
        println!("DORMOUSE_SEED={seed:#x}");
        let each = count(SESSIONS).unwrap().div_ceil(Way::ALL.len() as u64);
        (Sessions::Random { seed, count: each }, Way::ALL.to_vec())
    };
    let wanted = Run { through: Through::Program(Subject::Ours), ways, sessions, patience: PATIENCE };
    let report = run(&wanted).unwrap();
    println!("{report}");
    report.assert_clean();
}

/// What the sessions demand is no more than what the kernel gives.
#[test]
fn all_bytes_arrive_without_a_program_between() {
    let report =
        run_some(Through::Nothing, &[Way::TCP_TO_TCP, Way::UNIX_TO_UNIX], scaled(50, 500) as u64, PATIENCE)
            .unwrap();
    report.assert_clean();
}

fn run_some(through: Through, ways: &[Way], count: u64, patience: Duration) -> Result<Report> {
    let sessions = Sessions::Random { seed: seed()?, count };
    run(&Run { through, ways: ways.to_vec(), sessions, patience })
}

fn count(default: u64) -> Result<u64> {
    match env::var("DORMOUSE_SESSIONS") {
        Ok(text) => {
            text.parse().map_err(|_| Failure::Unexpected(format!("DORMOUSE_SESSIONS={text} is not a number")))
        }
        Err(_) => Ok(default),
    }
}

fn one_session(text: &str) -> Result<(Way, u64)> {
    let parsed = text.split_once(':').and_then(|(way, seed)| {
        let way = Way::ALL.into_iter().find(|known| known.to_string() == way)?;
        Some((way, u64::from_str_radix(seed.strip_prefix("0x")?, 16).ok()?))
    });
    parsed.ok_or_else(|| Failure::Unexpected(format!("DORMOUSE_SESSION={text} is not like tcp-unix:0x1f")))
}
