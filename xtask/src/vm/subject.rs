//! What `--kernel` can name: a series to boot, or the kernel that runs here already.

use clap::ValueEnum;
use clap::builder::PossibleValue;

use super::series::Series;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
    Guest(Series),
    Native,
}

pub(crate) const NATIVE: &str = "native";

impl Subject {
    /// In the order in which they run and are told.
    pub(crate) const ALL: [Self; 6] = [
        Self::Guest(Series::V5_10),
        Self::Guest(Series::V6_1),
        Self::Guest(Series::V6_12),
        Self::Guest(Series::Newest),
        Self::Guest(Series::Aarch64),
        Self::Native,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Guest(series) => series.name(),
            Self::Native => NATIVE,
        }
    }
}

impl ValueEnum for Subject {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        match self {
            Self::Guest(series) => series.to_possible_value(),
            Self::Native => {
                Some(PossibleValue::new(NATIVE).help("The kernel that runs here, as root"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Series, Subject};

    #[test]
    fn every_series_can_be_named() {
        for series in Series::ALL {
            assert!(Subject::ALL.contains(&Subject::Guest(series)));
        }
    }
}
