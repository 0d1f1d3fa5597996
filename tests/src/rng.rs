//! Reproducible pseudo-random numbers.

use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{env, process};

use crate::{Failure, Result};

/// A small generator of pseudo-random numbers (`SplitMix64`): fast, and the same everywhere for the same seed.
#[derive(Clone, Debug)]
pub struct Rng {
    state: u64,
}

/// Added to the state at each step: 2^64 divided by the golden ratio, which visits every value.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl Rng {
    /// The generator that `seed` stands for.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next number, any of 2^64 with the same chance.
    pub fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(STEP);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to `limit - 1`; 0 when the limit is 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        let wide = u128::from(self.number()) * u128::from(limit);
        u64::try_from(wide >> 64).unwrap_or(0)
    }

    /// Returns true with a probability of `percent` in a hundred.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// A size from 0 to `limit`, each order of magnitude with about the same chance.
    pub fn size(&mut self, limit: u64) -> u64 {
        let bits = u64::BITS - limit.leading_zeros();
        let wanted = self.below(u64::from(bits) + 1);
        let ceiling = 1_u64.checked_shl(u32::try_from(wanted).unwrap_or(0)).unwrap_or(u64::MAX);
        self.below(ceiling).min(limit)
    }

    /// A duration below `limit`, in whole microseconds.
    pub fn duration(&mut self, limit: Duration) -> Duration {
        let micros = u64::try_from(limit.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.below(micros))
    }
}

/// Returns the seed of this run: the value of `DORMOUSE_SEED` (decimal, or hexadecimal after `0x`), or a new seed.
/// A test prints its seed, so that a failure can be reproduced.
///
/// # Errors
/// When the variable does not hold a number.
pub fn seed() -> Result<u64> {
    if let Some(text) = env::var_os("DORMOUSE_SEED") {
        let text = text.to_string_lossy().into_owned();
        let parsed = match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16),
            None => text.parse(),
        };
        return parsed.map_err(|_| Failure::Unexpected(format!("DORMOUSE_SEED={text} is not a number")));
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(Rng::new(u64::from(now.subsec_nanos()) ^ now.as_secs() ^ (u64::from(process::id()) << 32)).number())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        let (mut one, mut other) = (Rng::new(7), Rng::new(7));
        assert!((0..100).all(|_| one.number() == other.number()));
    }

    #[test]
    fn numbers_stay_in_their_bounds() {
        let mut rng = Rng::new(1);
        assert!((0..10_000).all(|_| rng.below(3) < 3 && rng.size(1000) <= 1000));
        assert_eq!((rng.below(0), rng.below(1), rng.size(0)), (0, 0, 0));
    }

    #[test]
    fn sizes_reach_both_ends() {
        let mut rng = Rng::new(2);
        let sizes: Vec<u64> = (0..10_000).map(|_| rng.size(1 << 20)).collect();
        assert!(sizes.contains(&0) && sizes.iter().any(|size| *size > 1 << 19));
    }
}
