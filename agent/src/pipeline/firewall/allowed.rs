//! What of the findings the operator wants not to be told.

use std::collections::BTreeMap;

use super::change::FirewallChange;
use super::finding::Finding;
use crate::pipeline::filter::deed::Row;
use crate::pipeline::filter::{Filters, Fits};

/// The filters and what they withheld.
#[derive(Clone, Debug)]
pub struct Allowed {
    filters: Filters,
    /// A change in the words in which findings tell it.
    describe: fn(&FirewallChange) -> String,
    /// Lines that each filter withheld, by its name.
    suppressed: BTreeMap<String, u64>,
}

impl Allowed {
    pub fn new(filters: Filters, describe: fn(&FirewallChange) -> String) -> Self {
        let names = filters.names().map(|name| (name.to_owned(), 0));
        Self {
            suppressed: names.collect(),
            filters,
            describe,
        }
    }

    pub(super) fn filters(&self) -> &Filters {
        &self.filters
    }

    pub(super) fn describe(&self, change: &FirewallChange) -> String {
        (self.describe)(change)
    }

    /// The filter that withholds the finding as it is now, if one does.
    pub(super) fn withholding(&self, finding: &Finding, fits: &Fits) -> Option<&str> {
        let row = Row {
            rule: &[finding.kind.as_str()],
            severity: finding.severity.as_str(),
            dest: finding.dest.as_deref(),
            ports: None,
        };
        self.filters.suppressing(&row, fits, finding.last_seen)
    }

    /// Whether a line of the finding is withheld, which is counted.
    pub(super) fn withholds(&mut self, finding: &Finding, fits: &Fits) -> bool {
        let Some(name) = self.withholding(finding, fits).map(str::to_owned) else {
            return false;
        };
        *self.suppressed.entry(name).or_default() += 1;
        true
    }

    pub(super) fn suppressed(&self) -> &BTreeMap<String, u64> {
        &self.suppressed
    }
}

impl Default for Allowed {
    /// Nothing is withheld.
    fn default() -> Self {
        Self::new(Filters::default(), |_| String::new())
    }
}
