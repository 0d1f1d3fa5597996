//! The state machine of a workload under random schedules. Each seed is one schedule: clients come and go, starts are
//! slow, fail or never end, the workload crashes, freezes fail. The invariants hold after every step, and in the end
//! every client has an answer.
//!
//! `DORMOUSE_SEEDS=10000 cargo test -p dormouse-core --test activation` runs more seeds than CI does; `DORMOUSE_SEED=N`
//! replays one seed.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test: what fails fails it"
)]

mod invariants;
mod random;
mod simulation;
mod steps;

use simulation::Simulation;

/// The number of schedules.
const SEEDS: u64 = 256;

#[test]
fn invariants_hold_under_random_schedules() {
    let number = |name| std::env::var(name).ok().map(|value| value.parse::<u64>().unwrap());
    if let Some(seed) = number("DORMOUSE_SEED") {
        return Simulation::new(seed).run();
    }
    for seed in 0..number("DORMOUSE_SEEDS").unwrap_or(SEEDS) {
        Simulation::new(seed).run();
    }
}
