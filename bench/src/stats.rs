//! Medians, ranges and percentiles.

use serde::Serialize;

/// The middle value and the range of several rounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// Median and range; zeros for no values.
pub(crate) fn spread(values: impl IntoIterator<Item = f64>) -> Spread {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    Spread {
        median: median_of_sorted(&values),
        low: values.first().copied().unwrap_or_default(),
        high: values.last().copied().unwrap_or_default(),
    }
}

fn median_of_sorted(values: &[f64]) -> f64 {
    let middle = values.len() / 2;
    let upper = values.get(middle).copied().unwrap_or_default();
    if values.len() % 2 == 1 {
        return upper;
    }
    let lower = values
        .get(middle.wrapping_sub(1))
        .copied()
        .unwrap_or_default();
    f64::midpoint(lower, upper)
}

/// The smallest sample that at least `percent` per cent of the samples do not exceed. Sorts in place; 0 without samples.
pub(crate) fn percentile(samples: &mut [u64], percent: f64) -> u64 {
    samples.sort_unstable();
    let rank = (samples.len() as f64 * percent / 100.0).ceil() as usize;
    samples.get(rank.max(1) - 1).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_and_range() {
        assert_eq!(
            spread([3.0, 1.0, 2.0]),
            Spread {
                median: 2.0,
                low: 1.0,
                high: 3.0
            }
        );
        assert_eq!(spread([4.0, 1.0]).median, 2.5);
        assert_eq!(spread([]), Spread::default());
    }

    #[test]
    fn percentiles_are_samples() {
        let mut samples: Vec<u64> = (1..=100).rev().collect();
        assert_eq!(percentile(&mut samples, 50.0), 50);
        assert_eq!(percentile(&mut samples, 99.0), 99);
        assert_eq!(percentile(&mut samples, 100.0), 100);
        assert_eq!(percentile(&mut [], 50.0), 0);
    }
}
