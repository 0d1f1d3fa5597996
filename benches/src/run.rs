//! The rounds: every measure of every subject, interleaved, so that what changes on the machine over
//! time meets all alike.

use std::{cell::Cell, collections::BTreeMap, process::ExitCode};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{
    case::Case,
    cli::Plan,
    error::{Doing, Error, Result},
    metric::Reading,
    process::Scratch,
    report,
    site::{Site, Transport},
    subjects::Subject,
};

/// The values of all rounds, by metric, transport and subject.
#[derive(Debug, Default)]
pub(crate) struct Results {
    values: BTreeMap<(&'static str, Transport, String), Vec<f64>>,
    /// One line for each measure that could not be made.
    pub(crate) failures: Vec<String>,
}

impl Results {
    /// The rounds' values; empty if there are none.
    pub(crate) fn of(&self, metric: &'static str, transport: Transport, subject: &str) -> &[f64] {
        self.values.get(&(metric, transport, subject.to_owned())).map_or(&[], Vec::as_slice)
    }

    fn add(&mut self, transport: Transport, subject: &str, readings: &[Reading]) {
        for reading in readings {
            self.values
                .entry((reading.metric.key, transport, subject.to_owned()))
                .or_default()
                .push(reading.value);
        }
    }
}

/// Runs the plan, prints the report and says whether everything was as it should be.
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
                    plan.subjects.iter().filter(|subject| case.suits(subject, transport)).collect();
                order.shuffle(&mut subjects);
                eprintln!("round {round}/{}: {case}, {}", plan.rounds, transport.name());
                for subject in subjects {
                    let span = case.span(&plan.amounts);
                    let site = Site { subject, transport, span, scratch: scratch.path(), serials: &serials };
                    measure(case, plan, &site, &mut results);
                }
            }
        }
    }
    report::print(plan, &results)
}

fn measure(case: Case, plan: &Plan, site: &Site<'_>, results: &mut Results) {
    match case.measure(&plan.amounts, site) {
        Ok(readings) => results.add(site.transport, &site.subject.name, &readings),
        Err(error) => {
            let line = format!("{case}, {}, {}: {error}", site.transport.name(), site.subject.name);
            eprintln!("failed: {line}");
            results.failures.push(line);
        }
    }
}

/// All programs inherit it, as from a service with a raised limit: the peers do not all raise their own.
fn raise_descriptor_limit() -> Result<()> {
    const NEEDED: u64 = 16_000;
    let limit = getrlimit(Resource::Nofile);
    if limit.maximum.is_some_and(|maximum| maximum < NEEDED) {
        return Err(Error::Usage(format!("the hard limit of descriptors must be at least {NEEDED}")));
    }
    // No more than needed: some programs keep a table as large as the limit.
    let current = limit.current.map(|current| current.max(NEEDED));
    setrlimit(Resource::Nofile, Rlimit { current, maximum: limit.maximum })
        .doing(|| "raise the descriptor limit".into())
}

/// A small generator (splitmix64): the same seed makes the same order.
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
    fn a_shuffle_loses_nobody_and_repeats_with_its_seed() {
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
