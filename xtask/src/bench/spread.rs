//! Some measurements of one thing.

use std::fmt;

use serde::Serialize;

/// The least, the middle and the greatest of some measurements.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) min: f64,
    pub(crate) median: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// `None` when nothing was measured.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (first, last) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[middle]
        } else {
            f64::midpoint(values[middle - 1], values[middle])
        };
        Some(Self {
            min: first,
            median,
            max: last,
        })
    }
}

/// With a precision (`{:.3}`), as `min / median / max`.
impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = f.precision().unwrap_or(0);
        let Self { min, median, max } = self;
        write!(
            f,
            "{min:.decimals$} / {median:.decimals$} / {max:.decimals$}"
        )
    }
}

/// How one of many measurements compares with the others.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Percentiles {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p99_9: f64,
    pub(crate) max: f64,
    pub(crate) samples: usize,
}

impl Percentiles {
    /// Each is the least of the measurements that as many are not greater than. `None` when nothing was
    /// measured.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let max = *values.last()?;
        let per_thousand = |rank: usize| values[(values.len() * rank).div_ceil(1000) - 1];
        Some(Self {
            p50: per_thousand(500),
            p99: per_thousand(990),
            p99_9: per_thousand(999),
            max,
            samples: values.len(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(values: &[f64], expected: &str) {
        let spread = Spread::of(values.iter().copied()).unwrap();
        assert_eq!(format!("{spread:.1}"), expected);
    }

    #[test]
    fn the_median_is_the_middle_or_between_the_two_in_the_middle() {
        check(&[3.0], "3.0 / 3.0 / 3.0");
        check(&[3.0, 1.0, 2.0], "1.0 / 2.0 / 3.0");
        check(&[4.0, 1.0, 2.0, 30.0], "1.0 / 3.0 / 30.0");
        check(&[-1.0, -5.0], "-5.0 / -3.0 / -1.0");
    }

    #[test]
    fn percentiles_are_measurements() {
        let percentiles = Percentiles::of((1..=1000).rev().map(f64::from)).unwrap();
        assert_eq!((percentiles.p50, percentiles.p99), (500.0, 990.0));
        assert_eq!((percentiles.p99_9, percentiles.max), (999.0, 1000.0));
        let few = Percentiles::of([1.0, 2.0, 3.0]).unwrap();
        assert_eq!((few.p50, few.p99, few.p99_9), (2.0, 3.0, 3.0));
    }

    #[test]
    fn nothing_has_no_spread() {
        assert_eq!(Spread::of([]), None);
        assert_eq!(Percentiles::of([]), None);
    }
}
