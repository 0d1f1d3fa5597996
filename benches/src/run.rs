//! The rounds. All measurements of all subjects are interleaved, so that changes of the machine over time affect all alike.

use std::{cell::Cell, process::ExitCode};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{
    case::Case,
    error::{Error, ErrorContext, Result},
    plan::Plan,
    process::Scratch,
    report,
    results::Results,
    subjects::Subject,
    testbed::Setup,
};

/// Runs the plan and prints the report. Returns a failure if a measurement failed or missed a bound.
pub(crate) fn run(plan: &Plan) -> Result<ExitCode> {
    raise_descriptor_limit()?;
    let scratch = Scratch::new()?;
    let serials = Cell::new(0);
    let mut results = Results::default();
    let mut order = Order(plan.seed);
    for round in 1..=plan.rounds {
        for &case in &plan.cases {
            for &transport in &plan.transports {
                let mut subjects: Vec<&Subject> =
                    plan.subjects.iter().filter(|subject| case.applies_to(subject, transport)).collect();
                order.shuffle(&mut subjects);
                eprintln!("round {round}/{}: {case}, {}", plan.rounds, transport.name());
                for subject in subjects {
                    let timing = case.timing(&plan.parameters);
                    let setup =
                        Setup { subject, transport, timing, scratch: scratch.path(), serials: &serials };
                    measure(case, plan, &setup, &mut results);
                }
            }
        }
    }
    report::print(plan, &results)
}

fn measure(case: Case, plan: &Plan, setup: &Setup<'_>, results: &mut Results) {
    match case.measure(&plan.parameters, setup) {
        Ok(readings) => results.add(setup.transport, &setup.subject.name, &readings),
        Err(error) => {
            let line = format!("{case}, {}, {}: {error}", setup.transport.name(), setup.subject.name);
            eprintln!("failed: {line}");
            results.failures.push(line);
        }
    }
}

/// Raises the descriptor limit for all programs, because not all peers raise it themselves.
fn raise_descriptor_limit() -> Result<()> {
    const NEEDED: u64 = 16_000;
    let limit = getrlimit(Resource::Nofile);
    if limit.maximum.is_some_and(|maximum| maximum < NEEDED) {
        return Err(Error::Usage(format!("the hard limit of open descriptors must be at least {NEEDED}")));
    }
    // Not higher than needed: some programs allocate a table as large as the limit.
    let current = limit.current.map(|current| current.max(NEEDED));
    setrlimit(Resource::Nofile, Rlimit { current, maximum: limit.maximum })
        .context(|| "raise the descriptor limit".into())
}

/// A pseudo-random generator (splitmix64). The same seed gives the same order.
struct Order(u64);

impl Order {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = usize::try_from(self.next() % (last as u64 + 1)).unwrap_or(0);
            items.swap(last, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shuffle_is_a_permutation_and_repeats_with_its_seed() {
        let shuffled = |seed| {
            let mut items: Vec<u32> = (0..20).collect();
            Order(seed).shuffle(&mut items);
            items
        };
        assert_eq!(shuffled(1), shuffled(1));
        assert_ne!(shuffled(1), shuffled(2));
        let mut sorted = shuffled(1);
        sorted.sort_unstable();
        assert_eq!(sorted, (0..20).collect::<Vec<_>>());
    }
}
