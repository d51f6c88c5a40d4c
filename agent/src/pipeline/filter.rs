//! The allow-list: what is found and need not be told, by the operator's word.
//!
//! A filter is tried on each deed of a finding as it comes (one exec, one change, one edit), and withholds
//! the finding while it fits them all: nothing can be pushed off a list to make the rest fit, and one harmless
//! deed hides no other. A value that is not known fits nothing.
//!
//! Over the rule of Splunk it is what its macro `…_filter` is, applied to the finished row. SPL would be content
//! with any of several values; then one harmless command would hide all others of its group.

pub mod deed;
mod field;

use std::sync::Arc;

use regex::bytes::RegexSet;
use thiserror::Error;

use self::deed::{Deed, Row};
pub use self::field::Field;
use super::detect::glob::Glob;
use super::exec::Time;

/// One filter as it is written, already checked for types and bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterSpec {
    /// What the operator calls it; counted and shown under this name.
    pub name: String,
    /// Who answers for it.
    pub owner: Option<String>,
    /// Why what it withholds is harmless.
    pub reason: Option<String>,
    /// From this moment on it withholds nothing, nanoseconds since 1970-01-01 UTC; `None`: never.
    pub expires_ns: Option<u64>,
    /// Fields, each with the patterns of which one must hold.
    pub fields: Vec<(Field, Vec<String>)>,
}

impl FilterSpec {
    /// Whether it withholds nothing any more at `wall_ns`.
    pub fn has_expired(&self, wall_ns: u64) -> bool {
        self.expires_ns.is_some_and(|expires| wall_ns >= expires)
    }
}

/// Why a filter cannot work.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum FilterError {
    /// It would withhold everything.
    #[error("filter {filter:?} names no column")]
    WithoutField { filter: String },
    /// It would withhold nothing.
    #[error("filter {filter:?} has no pattern for {}", field.as_str())]
    WithoutPattern { filter: String, field: Field },
    #[error("filter {filter:?}: a pattern for {} is refused: {reason}", field.as_str())]
    Pattern {
        filter: String,
        field: Field,
        reason: regex::Error,
    },
}

/// The filters that apply to one kind of finding.
#[derive(Clone, Debug, Default)]
pub struct Filters(Vec<Filter>);

#[derive(Clone, Debug)]
struct Filter {
    name: String,
    expires_ns: Option<u64>,
    fields: Vec<(Field, Patterns)>,
}

#[derive(Clone, Debug)]
enum Patterns {
    Globs(Vec<Glob>),
    Regexes(RegexSet),
}

/// For each filter, whether it fits every deed seen so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fits(Arc<[bool]>);

impl Filters {
    pub fn compile(specs: &[FilterSpec]) -> Result<Self, FilterError> {
        let filters = specs.iter().map(Filter::compile);
        Ok(Self(filters.collect::<Result<_, _>>()?))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|filter| filter.name.as_str())
    }

    /// Whether one looks at who is behind a deed, which is to be told then.
    pub fn ask_for_lineage(&self) -> bool {
        let mut fields = self.0.iter().flat_map(|filter| &filter.fields);
        fields.any(|(field, _)| field.is_of_lineage())
    }

    /// Which filters fit one deed.
    pub fn fits(&self, deed: &Deed<'_>) -> Fits {
        Fits(self.0.iter().map(|filter| filter.fits(deed)).collect())
    }

    /// The first filter in force at that time that fits the whole.
    pub fn suppressing(&self, row: &Row<'_>, fits: &Fits, time: Time) -> Option<&str> {
        let mut filters = self.0.iter().zip(fits.0.iter());
        let (filter, _) = filters.find(|(filter, fits)| {
            **fits
                && filter
                    .expires_ns
                    .is_none_or(|expires| time.wall_ns < expires)
                && filter.fits_row(row)
        })?;
        Some(&filter.name)
    }
}

impl Fits {
    /// Keeps only what fits `other` as well.
    pub fn and(&mut self, other: &Self) {
        if self != other {
            let both = self.0.iter().zip(other.0.iter());
            self.0 = both.map(|(mine, other)| *mine && *other).collect();
        }
    }
}

impl Filter {
    fn compile(spec: &FilterSpec) -> Result<Self, FilterError> {
        let FilterSpec {
            name,
            expires_ns,
            fields,
            ..
        } = spec;
        if fields.is_empty() {
            let filter = name.clone();
            return Err(FilterError::WithoutField { filter });
        }
        let fields = fields.iter().map(|(field, patterns)| {
            if patterns.is_empty() {
                return Err(FilterError::WithoutPattern {
                    filter: name.clone(),
                    field: *field,
                });
            }
            let patterns =
                Patterns::compile(*field, patterns).map_err(|reason| FilterError::Pattern {
                    filter: name.clone(),
                    field: *field,
                    reason,
                })?;
            Ok((*field, patterns))
        });
        Ok(Self {
            name: name.clone(),
            expires_ns: *expires_ns,
            fields: fields.collect::<Result<_, _>>()?,
        })
    }

    fn fits(&self, deed: &Deed<'_>) -> bool {
        let mut fields = self.fields.iter().filter(|(field, _)| !field.is_of_row());
        fields.all(|(field, patterns)| deed.any(*field, &mut |value| patterns.hold(value)))
    }

    fn fits_row(&self, row: &Row<'_>) -> bool {
        let mut fields = self.fields.iter().filter(|(field, _)| field.is_of_row());
        fields.all(|(field, patterns)| row.fits(*field, &mut |value| patterns.hold(value)))
    }
}

impl Patterns {
    fn compile(field: Field, patterns: &[String]) -> Result<Self, regex::Error> {
        if field == Field::CommandRegex {
            return Ok(Self::Regexes(RegexSet::new(patterns)?));
        }
        let globs = patterns.iter().map(|pattern| Glob::compile(pattern));
        Ok(Self::Globs(globs.collect::<Result<_, _>>()?))
    }

    fn hold(&self, value: &[u8]) -> bool {
        match self {
            Self::Globs(globs) => globs.iter().any(|glob| glob.is_match(value)),
            Self::Regexes(regexes) => regexes.is_match(value),
        }
    }
}
