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
    fn nothing_has_no_spread() {
        assert_eq!(Spread::of([]), None);
    }
}
