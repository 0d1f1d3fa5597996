//! Bytes are conserved: whatever two peers do, each receives exactly the bytes that the other sent, in order, and
//! the way in which the other ended.
//!
//! A run sends ten thousand random sessions (400 without the feature `system`) through one process for each pair of
//! socket families. The seed of a session determines its actions (`plan`); each peer performs them and checks the
//! received bytes (`peer`); then the observations of each peer are compared with the actions of the other
//! (`verdict`).
//!
//! | variable | meaning |
//! |---|---|
//! | `DORMOUSE_SEED` | the seed of the run (default: a new one, which is printed) |
//! | `DORMOUSE_SESSIONS` | the number of sessions over all pairs of families (default 10000, or 400 without the feature `system`) |
//! | `DORMOUSE_SESSION` | run only this session, such as `tcp-unix:0x1f`, as printed by a failure |
//!
//! With `DORMOUSE_SESSION`, `DORMOUSE_SESSIONS` is the number of repetitions (default 1).

mod connection;
mod content;
mod peer;
mod plan;
mod registry;
mod run;
mod setup;
mod verdict;

use std::{env, time::Duration};

use dormouse_tests::{Failure, Result, Subject, rng::seed, scaled};

use self::{
    run::{Report, Run, Sessions, run},
    setup::{FamilyPair, Path},
};

/// The number of sessions of a run if `DORMOUSE_SESSIONS` is not set.
const SESSIONS: u64 = scaled(400, 10_000) as u64;

/// The longest time without progress of a session. The pauses of a session are far shorter; a busy machine may
/// delay it.
const STALL_LIMIT: Duration = Duration::from_secs(20);

#[test]
fn all_bytes_arrive_through_the_program() {
    let run_one = env::var("DORMOUSE_SESSION").ok();
    let seed = seed().unwrap();
    let (sessions, pairs) = if let Some(text) = &run_one {
        let (pair, session) = one_session(text).unwrap();
        (Sessions::Repeated { seed: session, times: count(1).unwrap() }, vec![pair])
    } else {
        println!("DORMOUSE_SEED={seed:#x}");
        let each = count(SESSIONS).unwrap().div_ceil(FamilyPair::ALL.len() as u64);
        (Sessions::Random { seed, count: each }, FamilyPair::ALL.to_vec())
    };
    let wanted = Run { path: Path::Program(Subject::Dormouse), pairs, sessions, stall_limit: STALL_LIMIT };
    let report = run(&wanted).unwrap();
    println!("{report}");
    report.assert_clean();
}

/// The kernel alone meets all requirements of the sessions.
#[test]
fn all_bytes_arrive_over_a_direct_connection() {
    let report = run_some(
        Path::Direct,
        &[FamilyPair::TCP_TO_TCP, FamilyPair::UNIX_TO_UNIX],
        scaled(50, 500) as u64,
        STALL_LIMIT,
    )
    .unwrap();
    report.assert_clean();
}

fn run_some(path: Path, pairs: &[FamilyPair], count: u64, stall_limit: Duration) -> Result<Report> {
    let sessions = Sessions::Random { seed: seed()?, count };
    run(&Run { path, pairs: pairs.to_vec(), sessions, stall_limit })
}

fn count(default: u64) -> Result<u64> {
    match env::var("DORMOUSE_SESSIONS") {
        Ok(text) => {
            text.parse().map_err(|_| Failure::Unexpected(format!("DORMOUSE_SESSIONS={text} is not a number")))
        }
        Err(_) => Ok(default),
    }
}

fn one_session(text: &str) -> Result<(FamilyPair, u64)> {
    let parsed = text.split_once(':').and_then(|(pair, seed)| {
        let pair = FamilyPair::ALL.into_iter().find(|known| known.to_string() == pair)?;
        Some((pair, u64::from_str_radix(seed.strip_prefix("0x")?, 16).ok()?))
    });
    parsed.ok_or_else(|| Failure::Unexpected(format!("DORMOUSE_SESSION={text} is not like tcp-unix:0x1f")))
}
