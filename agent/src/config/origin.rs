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
