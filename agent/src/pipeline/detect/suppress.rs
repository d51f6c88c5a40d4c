//! The allow-list that Splunk calls `…_filter`, applied to the finished row.
//!
//! All columns of a filter must fit, and of a column with several values every one. SPL would be
//! content with any of several; then one harmless command would hide all others of its group.
//!
//! A row lists a bounded number of command lines, and shortens the long ones. Filters over
//! `processes_exec` are therefore tried on each command line as it comes, whole ([`Fits`]); nothing
//! can be pushed off the list to make a row fit.

use std::sync::Arc;

use super::glob::Glob;
use super::rule::{FilterColumn, FilterSpec};
use crate::pipeline::alert::Alert;

/// The filters of one rule.
#[derive(Clone, Debug)]
pub struct Filters(Vec<Filter>);

#[derive(Clone, Debug)]
struct Filter {
    name: String,
    columns: Vec<(FilterColumn, Vec<Glob>)>,
}

/// For each filter, whether it fits every command line seen so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fits(Arc<[bool]>);

impl Filters {
    /// Fails only where a pattern is too long; see [`Glob::compile`].
    pub fn compile(specs: Vec<FilterSpec>) -> Result<Self, regex::Error> {
        let filters = specs.into_iter().map(|spec| {
            let columns = spec.columns.into_iter().map(|(column, patterns)| {
                let globs = patterns.iter().map(|pattern| Glob::compile(pattern));
                Ok((column, globs.collect::<Result<_, _>>()?))
            });
            Ok(Filter {
                columns: columns.collect::<Result<_, regex::Error>>()?,
                name: spec.name,
            })
        });
        Ok(Self(filters.collect::<Result<_, _>>()?))
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|filter| filter.name.as_str())
    }

    /// Which filters fit one command line.
    pub fn fits(&self, process: &[u8]) -> Fits {
        let fits = self.0.iter().map(|filter| filter.fits_process(process));
        Fits(fits.collect())
    }

    /// The first filter that fits the whole row.
    pub fn suppressing(&self, row: &Alert, fits: &Fits) -> Option<&str> {
        self.0
            .iter()
            .zip(fits.0.iter())
            .find(|(filter, fits)| **fits && filter.fits_row(row))
            .map(|(filter, _)| filter.name.as_str())
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
    fn fits_process(&self, process: &[u8]) -> bool {
        self.columns
            .iter()
            .filter(|(column, _)| *column == FilterColumn::ProcessesExec)
            .all(|(_, globs)| any(globs, process))
    }

    /// All columns but `processes_exec`.
    fn fits_row(&self, row: &Alert) -> bool {
        self.columns
            .iter()
            .all(|(column, globs)| fits_column(*column, globs, row))
    }
}

fn fits_column(column: FilterColumn, globs: &[Glob], row: &Alert) -> bool {
    let key = &row.key;
    match column {
        FilterColumn::ProcessName => any(globs, &key.process_name),
        FilterColumn::ParentProcessName => any(globs, &key.parent_process_name),
        FilterColumn::ParentProcessId => any(globs, key.parent_process_id.to_string().as_bytes()),
        FilterColumn::Dest => any(globs, key.dest.as_bytes()),
        FilterColumn::User => any(globs, key.user.as_bytes()),
        FilterColumn::ParentProcessPath => any(globs, &key.parent_process_path),
        FilterColumn::ProcessPath => any(globs, &key.process_path),
        FilterColumn::ProcessesExec => true,
        FilterColumn::Ports => row.ports.iter().all(|port| any(globs, port.as_bytes())),
    }
}

fn any(globs: &[Glob], value: &[u8]) -> bool {
    globs.iter().any(|glob| glob.is_match(value))
}
