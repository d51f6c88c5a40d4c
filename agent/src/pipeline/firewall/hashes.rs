//! The SHA-256 of executables in findings: which are wanted, and what is known.
//!
//! To read a file may take long, and may never end (FUSE). So a finding does not wait: the first line may lack
//! the hash, and one that has it follows.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::pipeline::alert::Evidence;
use crate::pipeline::exec::{ExePath, Exec, FileId, ProcessKey};

/// Which content of which file: another inode, or another change time, is another content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Content {
    pub file: FileId,
    /// Last change of the file, nanoseconds since 1970-01-01 UTC.
    pub change_ns: u64,
}

impl Content {
    /// Enters the hash where `exec` ran this and lacks it; whether it did.
    pub(super) fn enter(self, sha256: [u8; 32], exec: &mut Evidence) -> bool {
        let change_ns = exec.exe_stat.map(|stat| stat.change_ns);
        let lacks = exec.exe_sha256.is_none()
            && exec.exe_file == Some(self.file)
            && change_ns == Some(self.change_ns);
        if lacks {
            exec.exe_sha256 = Some(sha256);
        }
        lacks
    }
}

/// A hash to be found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub content: Content,
    /// Who runs it, if it still does.
    pub process: ProcessKey,
    pub path: Option<Arc<[u8]>>,
}

/// Hashes that are known; the oldest give way.
const KNOWN_MAX: usize = 1024;
/// Hashes that are wanted and not asked for yet; more are refused.
const WANTED_MAX: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Hashes {
    known: BTreeMap<Content, [u8; 32]>,
    /// The keys of `known`, oldest first.
    ages: VecDeque<Content>,
    /// Asked for, and without an answer.
    pending: BTreeSet<Content>,
    wanted: VecDeque<Wanted>,
    refused: u64,
}

impl Hashes {
    /// The hash of what `exec` runs; where it is not known it is asked for. `None` too where the kernel does not
    /// tell which file it is.
    pub(super) fn of(&mut self, exec: &Exec) -> Option<[u8; 32]> {
        let content = Content {
            file: exec.exe_file?,
            change_ns: exec.exe_stat?.change_ns,
        };
        if let Some(sha256) = self.known.get(&content) {
            return Some(*sha256);
        }
        if self.pending.contains(&content) {
            return None;
        }
        if self.wanted.len() >= WANTED_MAX || self.pending.len() >= KNOWN_MAX {
            self.refused += 1;
            return None;
        }
        self.pending.insert(content);
        self.wanted.push_back(Wanted {
            content,
            process: exec.process,
            path: match &exec.exe {
                ExePath::Known(path) => Some(Arc::clone(path)),
                ExePath::Unknown(_) => None,
            },
        });
        None
    }

    pub(super) fn next_wanted(&mut self) -> Option<Wanted> {
        self.wanted.pop_front()
    }

    /// The answer; `None` when it could not be found out.
    pub(super) fn answer(&mut self, content: Content, sha256: Option<[u8; 32]>) {
        self.pending.remove(&content);
        let Some(sha256) = sha256 else { return };
        if self.known.insert(content, sha256).is_none() {
            self.ages.push_back(content);
        }
        if self.ages.len() > KNOWN_MAX
            && let Some(oldest) = self.ages.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    /// How often one was wanted and there was no room to ask for it.
    pub(super) fn refused(&self) -> u64 {
        self.refused
    }
}
