//! Why the reading of a text ends early.

use std::fmt;

/// Not a meaning that can be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// nft refuses it too; why.
    Refused(String),
    /// It goes beyond one of the bounds of this parser, and nft may well take it.
    Beyond(&'static str),
}

pub(super) type Result<T> = std::result::Result<T, Stop>;

impl Stop {
    pub(super) fn refused(reason: fmt::Arguments<'_>) -> Self {
        Self::Refused(reason.to_string())
    }
}
