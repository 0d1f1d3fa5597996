//! The values of all rounds.

use std::collections::BTreeMap;

use crate::{metric::Reading, transport::Transport};

/// The values of all rounds, by metric, transport and subject.
#[derive(Debug, Default)]
pub(crate) struct Results {
    values: BTreeMap<(&'static str, Transport, String), Vec<f64>>,
    /// One line for each failed measurement.
    pub(crate) failures: Vec<String>,
}

impl Results {
    /// Returns the values of a metric in all rounds; empty if there are none.
    pub(crate) fn of(&self, metric: &'static str, transport: Transport, subject: &str) -> &[f64] {
        self.values.get(&(metric, transport, subject.to_owned())).map_or(&[], Vec::as_slice)
    }

    /// Adds the values of one measurement.
    pub(crate) fn add(&mut self, transport: Transport, subject: &str, readings: &[Reading]) {
        for reading in readings {
            self.values
                .entry((reading.metric.key, transport, subject.to_owned()))
                .or_default()
                .push(reading.value);
        }
    }
}
