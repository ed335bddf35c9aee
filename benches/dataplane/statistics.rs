//! Medians, percentiles and the bootstrap's interval; pure, must not know what the figures are.

use serde::Serialize;

/// Resamplings. More do not move the second digit.
const RESAMPLES: usize = 10_000;

/// A middle and where it lies with 95 %.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    pub median: f64,
    pub low: f64,
    pub high: f64,
}

/// The middle one, or the mean of the two; NaN of none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    median_in(&mut sorted)
}

fn median_in(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

/// The value that so many hundredths of them do not exceed; NaN of none.
pub fn percentile(values: &[f64], hundredths: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (sorted.len() * hundredths).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(f64::NAN)
}

/// The median with the 95 % interval of the percentile bootstrap (Efron 1979). Equal values give an equal interval.
pub fn bootstrap(values: &[f64]) -> Interval {
    let mut dice = 0x9e37_79b9_7f4a_7c15;
    let mut resample = vec![0.0; values.len()];
    let mut medians: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            for value in &mut resample {
                *value = values[roll(&mut dice) % values.len()];
            }
            median_in(&mut resample)
        })
        .collect();
    medians.sort_by(f64::total_cmp);
    Interval {
        median: median(values),
        low: medians[RESAMPLES * 25 / 1000],
        high: medians[RESAMPLES * 975 / 1000 - 1],
    }
}

/// xorshift: small and repeatable.
fn roll(state: &mut u64) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    usize::try_from(*state >> 32).unwrap_or(usize::MAX)
}
