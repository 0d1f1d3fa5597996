//! Medians and their spread.

/// Returns the median.
pub(super) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    Some(f64::midpoint(*sorted.get(sorted.len() / 2 - 1)?, upper))
}

/// The ratio of two subjects over the rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ratio {
    /// The ratio of the medians.
    pub(super) of_medians: f64,
    /// The smallest and the largest ratio within one round.
    pub(super) spread: (f64, f64),
}

/// Returns `None` unless both subjects have values and the divisor is not zero.
pub(super) fn ratio(values: &[f64], base: &[f64]) -> Option<Ratio> {
    let of_medians = median(values)? / median(base)?;
    let rounds = || values.iter().zip(base).map(|(values, base)| values / base);
    let spread = (rounds().fold(f64::INFINITY, f64::min), rounds().fold(f64::NEG_INFINITY, f64::max));
    of_medians.is_finite().then_some(Ratio { of_medians, spread })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0]), Some(2.5));
    }

    #[test]
    fn a_ratio_pairs_the_rounds() {
        let ratio = ratio(&[2.0, 4.0, 6.0], &[1.0, 4.0, 2.0]).unwrap();
        assert_eq!(ratio, Ratio { of_medians: 2.0, spread: (1.0, 3.0) });
        assert_eq!(super::ratio(&[1.0], &[]), None);
        assert_eq!(super::ratio(&[1.0], &[0.0]), None);
    }
}
