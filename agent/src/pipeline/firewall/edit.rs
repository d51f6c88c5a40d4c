//! An edit of a file from which a firewall is loaded: what was done to which file, and by whom.

use std::sync::Arc;

use crate::pipeline::exec::{ProcessKey, Time};

/// What happened to the file or folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EditKind {
    /// Whoever had it open for writing closed it. Whether its content is another one is not known.
    Written,
    Created,
    Removed,
    /// It was moved away, or another was moved into its place, as editors do.
    Renamed,
}

impl EditKind {
    /// Its stable identifier.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Created => "created",
            Self::Removed => "removed",
            Self::Renamed => "renamed",
        }
    }
}

/// One edit, as the host hears of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEdit {
    /// When it was heard of; the kernel does not tell when it was.
    pub time: Time,
    /// As the host sees it, at most `PATH_MAX` (4096) bytes.
    pub path: Vec<u8>,
    /// Thread group of who did it; `None` where the kernel does not say.
    pub tgid: Option<u32>,
    pub what: EditKind,
}

/// One edit that counts in a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EditEvidence {
    pub time: Time,
    /// `None` when it is not known who did it.
    pub process: Option<ProcessKey>,
    /// The executable of that process, where it is known.
    pub exe: Option<Arc<[u8]>>,
    pub path: Vec<u8>,
    pub what: EditKind,
}
