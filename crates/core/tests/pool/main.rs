//! Load balancing: the algorithms, the health of servers, and the queue.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test's helpers fail as its body does"
)]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "a test's numbers are small"
)]

mod balance;
mod health;
mod queue;

use std::num::NonZeroU32;
use std::time::Duration;

use dormouse_core::pool::{CheckSettings, InitialState, PickContext, hash};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// The number of random cases of a property.
pub(crate) const CASES: u32 = if cfg!(feature = "system") { 256 } else { 48 };

pub(crate) fn number(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

pub(crate) fn names(count: usize) -> Vec<String> {
    (0..count).map(|index| format!("server{index}")).collect()
}

pub(crate) fn checks() -> CheckSettings {
    CheckSettings {
        fastinter: SECOND / 2,
        downinter: SECOND * 5,
        initial_state: InitialState::FullyUp,
        ..CheckSettings::default()
    }
}

/// A random number generator.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        hash(&self.0.to_le_bytes())
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }

    pub(crate) fn context(&mut self) -> PickContext {
        PickContext { client_hash: self.next(), random: self.next() }
    }
}
