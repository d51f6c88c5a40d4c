//! What is wrong with a file, so that all of it can be said at once.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use thiserror::Error;

use crate::pipeline::detect::RuleError;
use crate::pipeline::filter::FilterError;

use super::origin::Origin;

/// Everything that is wrong, in the order of files and lines; never empty.
#[derive(Debug, Error)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Beyond these only the number of the others is told: a file that is no TOML at all has a
    /// problem on each line.
    const SHOWN_MAX: usize = 100;

    pub(super) fn of(mut problems: Vec<Problem>) -> Self {
        problems.sort_by(|left, right| (&left.file, left.line).cmp(&(&right.file, right.line)));
        Self(problems)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }
}

impl fmt::Display for Problems {
    /// One problem a line.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().take(Self::SHOWN_MAX).enumerate() {
            if index > 0 {
                writeln!(out)?;
            }
            write!(out, "{problem}")?;
        }
        match self.0.len().saturating_sub(Self::SHOWN_MAX) {
            0 => Ok(()),
            more => write!(out, "\nand {more} more"),
        }
    }
}

/// One thing that is wrong, and where.
#[derive(Debug, Error)]
pub struct Problem {
    pub file: Arc<Path>,
    /// `None` when it is about the whole file.
    pub line: Option<usize>,
    pub key: Option<String>,
    pub fault: Fault,
}

impl Problem {
    pub(super) fn of_file(file: &Arc<Path>, fault: Fault) -> Self {
        Self {
            file: Arc::clone(file),
            line: None,
            key: None,
            fault,
        }
    }

    pub(super) fn of_key(origin: &Origin, fault: Fault) -> Self {
        Self {
            file: Arc::clone(&origin.file),
            line: Some(origin.line),
            key: Some(origin.key.clone()),
            fault,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            line,
            key,
            fault,
        } = self;
        write!(out, "{}:", file.display())?;
        if let Some(line) = line {
            write!(out, "{line}:")?;
        }
        if let Some(key) = key {
            write!(out, " key `{}`:", key.escape_debug())?;
        }
        write!(out, " {fault}")
    }
}

#[derive(Debug, Error)]
pub enum Fault {
    #[error("cannot be read: {0}")]
    Unreadable(io::Error),
    #[error("expected a regular file, found something else")]
    NotRegular,
    #[error("everyone may write it (mode {mode:04o}); take that away with `chmod o-w`")]
    WritableByAll { mode: u32 },
    #[error("expected at most {bytes_max} bytes, found more")]
    TooLong { bytes_max: u64 },
    #[error("expected at most {count_max} files, found more")]
    TooMany { count_max: usize },
    #[error("expected UTF-8, found other bytes after byte {valid_bytes}")]
    NotUtf8 { valid_bytes: usize },
    #[error("not TOML: {message}")]
    Syntax { message: String },
    #[error("unknown, {hint}")]
    UnknownKey { hint: String },
    #[error("expected {expected}, found {found}")]
    Unfit { expected: String, found: String },
    #[error(transparent)]
    Rule(RuleError),
    #[error(transparent)]
    Filter(FilterError),
}
