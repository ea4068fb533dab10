//! Numbers of measurements.

use std::time::Duration;

/// A count for division; counts here are below four thousand million.
pub(crate) fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

/// Nanoseconds for each of `visits`.
pub(crate) fn nanos_each(took: Duration, visits: usize) -> f64 {
    took.as_secs_f64() * 1e9 / count(visits)
}

/// The middle one, or the mean of the middle two; not a number if there are none.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let upper = values.get(values.len() / 2).copied();
    let lower = values.get(values.len().saturating_sub(1) / 2).copied();
    lower.zip(upper).map_or(f64::NAN, |(lower, upper)| f64::midpoint(lower, upper))
}

/// The median of `ours[i] / theirs[i]`: what a slow moment of the machine does to one round, it does to both.
pub(crate) fn median_ratio(ours: &[f64], theirs: &[f64]) -> f64 {
    median(ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect())
}

/// The wait in microseconds that so many of a hundred do not exceed; not a number if there are none.
pub(crate) fn percentile(waits: &[Duration], part: usize) -> f64 {
    let mut waits = waits.to_vec();
    waits.sort_unstable();
    let place = (waits.len().saturating_sub(1)).saturating_mul(part) / 100;
    waits.get(place).map_or(f64::NAN, |wait| wait.as_secs_f64() * 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_does_not_mind_outliers() {
        assert_eq!(median(vec![3.0, 1.0, 1_000.0]).to_string(), "3");
        assert_eq!(median(vec![4.0, 1.0, 2.0, 1_000.0]).to_string(), "3");
        assert!(median(Vec::new()).is_nan());
        assert_eq!(median_ratio(&[1.0, 50.0, 3.0], &[2.0, 100.0, 1.0]).to_string(), "0.5");
    }
}
