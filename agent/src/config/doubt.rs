//! What is no error, and may not be what was meant.

use std::fmt;

use super::origin::Origin;

/// Of what, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// `None` for a filter of the rule's own file.
    pub origin: Option<Origin>,
    /// As `filter "panel"`.
    pub of: String,
    pub why: String,
}

impl fmt::Display for Doubt {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { origin, of, why } = self;
        if let Some(Origin { file, line, .. }) = origin {
            write!(out, "{}:{line}: ", file.display())?;
        }
        write!(out, "{of}: {why}")
    }
}
