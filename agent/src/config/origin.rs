//! Where a value was written, kept beside the value.

use std::path::Path;
use std::sync::Arc;

/// The place of one key in one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    pub file: Arc<Path>,
    /// Counted from 1.
    pub line: usize,
    /// With the names of the sections around it: `sensor.kernel_log`.
    pub key: String,
}

/// Where the lines of a text begin.
#[derive(Debug)]
pub(super) struct Lines(Vec<usize>);

impl Lines {
    pub(super) fn of(text: &str) -> Self {
        Self(text.match_indices('\n').map(|(at, _)| at + 1).collect())
    }

    /// The line at an offset in bytes; the first is 1.
    pub(super) fn at(&self, offset: usize) -> usize {
        self.0.partition_point(|&start| start <= offset) + 1
    }
}

/// A value that an operator wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written<T> {
    pub value: T,
    pub origin: Origin,
}

impl<T> Written<T> {
    pub fn map<U>(self, convert: impl FnOnce(T) -> U) -> Written<U> {
        Written {
            value: convert(self.value),
            origin: self.origin,
        }
    }
}
