//! What the agent remembers from one run to the next, in a directory of its own.
//!
//! There are three files, one of [`processes`] and two of [`ruleset`]. Each is written on a thread, whole, every now and then
//! and when the agent stops; a directory that cannot be used costs the memory and not the watch.

mod file;
mod processes;
mod ruleset;
mod saving;
mod uuid_text;

use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use uuid::Uuid;

use crate::config::StateSettings;
use crate::pipeline::exec::Time;
use crate::pipeline::firewall::netlink::remembered::{Listed, Remembered as RememberedRuleset};
use crate::pipeline::firewall::xtables::{Listing, Tables};
use crate::pipeline::process_tree::ProcessTree;
use crate::pipeline::process_tree::memory::Remembered;

pub use file::StateError;
use processes::Content;
pub use ruleset::LISTED_BYTES_MAX;
use ruleset::{Format, Kept};
use saving::{Saving, Written};

/// What became of the state in this run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateCounts {
    /// Processes that an earlier run remembered.
    pub recalled: u64,
    /// Lines of its file that could not be read or were missing.
    pub lines_damaged: u64,
    /// Files written.
    pub saved: u64,
    /// Files that could not be written or read.
    pub failed: u64,
    /// Rulesets that were larger than what is kept.
    pub rulesets_refused: u64,
    /// Files with a ruleset that were of another format, or damaged.
    pub rulesets_damaged: u64,
}

/// Why there is no ruleset to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unlisted {
    /// It takes more than [`LISTED_BYTES_MAX`].
    TooLarge,
    /// In words.
    Failed(String),
}

/// Keeps the state directory: reads it once, and writes it without the event loop waiting for the disk.
pub struct Keeper {
    boot_id: Uuid,
    /// Its version is [`ProcessTree::events`].
    processes: Saving,
    /// Its version is the generation of nf_tables.
    ruleset: Saving,
    /// Its version counts the changes that were seen.
    tables: Saving,
    counts: StateCounts,
}

impl Keeper {
    /// `boot_id` is that of this boot; when it is nil, as it is where it cannot be read, nothing is
    /// remembered of the processes, for the next boot could not be told from this one.
    pub fn new(settings: &StateSettings, boot_id: Uuid) -> Self {
        let path = |name| settings.directory.join(name);
        Self {
            boot_id,
            processes: Saving::new(path(processes::FILE_NAME), Some(0)),
            ruleset: Saving::new(path(ruleset::NF_TABLES.file_name), None),
            tables: Saving::new(path(ruleset::X_TABLES.file_name), None),
            counts: StateCounts::default(),
        }
    }

    /// What an earlier run on this boot remembered, `processes_max` processes at most. What is wrong is said
    /// and counted, and what can be used is used.
    pub fn recall(&mut self, processes_max: usize) -> Vec<Remembered> {
        if self.boot_id.is_nil() {
            tracing::warn!("the boot id cannot be read: nothing is remembered");
            return Vec::new();
        }
        let path = self.processes.path.display();
        let loaded = match self.read(processes_max) {
            Ok(None) => return Vec::new(),
            Ok(Some(Content::OtherBoot)) => {
                tracing::debug!(%path, "of another boot, ignored");
                return Vec::new();
            }
            Ok(Some(Content::Unusable)) => {
                tracing::warn!("{path}:1: not the first line of this format, the file is ignored");
                self.counts.lines_damaged += 1;
                return Vec::new();
            }
            Ok(Some(Content::Processes(loaded))) => loaded,
            Err(error) => {
                tracing::error!("what was remembered is lost: {}", chain(&error));
                self.counts.failed += 1;
                return Vec::new();
            }
        };
        if let Some((line, what)) = &loaded.first_damage {
            let damaged = loaded.lines_damaged;
            tracing::warn!(damaged, "{path}:{line}: {what}; the other lines are used");
        }
        self.counts.lines_damaged += loaded.lines_damaged;
        self.counts.recalled = loaded.processes.len() as u64;
        loaded.processes
    }

    /// The ruleset that an earlier run kept, on this boot or another. What is wrong is said and counted.
    pub fn recall_ruleset(&mut self) -> Option<RememberedRuleset> {
        let path = self.ruleset.path.clone();
        let kept = self.recall_kept(&path, &ruleset::NF_TABLES)?;
        let Some(snapshot) = kept.listed.decode() else {
            self.refuse(&path, "its messages make no sense");
            return None;
        };
        Some(RememberedRuleset {
            snapshot,
            same_boot: self.is_of_this_boot(&kept),
        })
    }

    /// The tables of x_tables that an earlier run kept, and whether that was on this boot. What is wrong is said and
    /// counted.
    pub fn recall_tables(&mut self) -> Option<(Tables, bool)> {
        let path = self.tables.path.clone();
        let kept = self.recall_kept(&path, &ruleset::X_TABLES)?;
        let same_boot = self.is_of_this_boot(&kept);
        match Listing::of_bytes(kept.listed.messages).decode() {
            Ok(tables) => Some((tables, same_boot)),
            Err(error) => {
                self.refuse(&path, &error.to_string());
                None
            }
        }
    }

    fn is_of_this_boot(&self, kept: &Kept) -> bool {
        kept.boot_id == self.boot_id && !self.boot_id.is_nil()
    }

    fn recall_kept(&mut self, path: &Path, format: &Format) -> Option<Kept> {
        match read_file(path, |input| ruleset::read(input, format)) {
            Ok(None) => None,
            Ok(Some(ruleset::Content::Kept(kept))) => Some(kept),
            Ok(Some(ruleset::Content::Unusable(what))) => {
                self.refuse(path, what);
                None
            }
            Err(error) => {
                tracing::error!("the rules that were remembered are lost: {}", chain(&error));
                self.counts.failed += 1;
                None
            }
        }
    }

    fn refuse(&mut self, path: &Path, what: &str) {
        let path = path.display();
        tracing::warn!("{path}: {what}; what changed there since the last run is not known");
        self.counts.rulesets_damaged += 1;
    }

    /// Starts to write what the tree remembers, unless it is saved already or a file is being written.
    pub fn save(&mut self, tree: &ProcessTree) {
        let events = tree.events();
        if !self.processes.is_due(events) || self.boot_id.is_nil() {
            return;
        }
        let mut remembered = tree.remembered();
        let boot_id = self.boot_id;
        let started = self.processes.start(events, move |path| {
            remembered.sort_unstable_by_key(Remembered::age);
            file::replace(path, |out| processes::write(out, boot_id, &remembered))?;
            Ok(Written::Saved)
        });
        self.counts.count_start(started);
    }

    /// Starts to write the ruleset of nf_tables as it is after the transaction `generation`, unless it is saved
    /// already or a file is being written. `list` is called on the thread that writes.
    ///
    /// What is kept must not go beyond what was told: a ruleset of another generation is not written, and is
    /// tried again at the next call. One that is too large is not kept, and neither is an older one.
    pub fn save_ruleset(
        &mut self,
        generation: u32,
        now: Time,
        list: impl FnOnce() -> Result<Listed, Unlisted> + Send + 'static,
    ) {
        let version = u64::from(generation);
        if !self.ruleset.is_due(version) {
            return;
        }
        let (boot_id, saved_ns) = (self.boot_id, now.wall_ns);
        let started = self.ruleset.start(version, move |path| match list() {
            Ok(listed) if listed.generation != generation => Ok(Written::Outdated),
            Ok(listed) => {
                let kept = Kept {
                    boot_id,
                    saved_ns,
                    listed,
                };
                file::replace(path, |out| ruleset::write(out, &ruleset::NF_TABLES, &kept))?;
                Ok(Written::Saved)
            }
            Err(Unlisted::TooLarge) => {
                file::remove(path)?;
                Ok(Written::Refused)
            }
            Err(Unlisted::Failed(error)) => Err(StateError::Unlisted {
                path: path.to_owned(),
                error,
            }),
        });
        self.counts.count_start(started);
    }

    /// Starts to write the tables of x_tables as they were told, unless that version is saved already or a file is being
    /// written.
    pub fn save_tables(&mut self, version: u64, now: Time, listing: &Arc<Listing>) {
        if !self.tables.is_due(version) {
            return;
        }
        let (boot_id, saved_ns) = (self.boot_id, now.wall_ns);
        let listing = Arc::clone(listing);
        let started = self.tables.start(version, move |path| {
            let kept = Kept {
                boot_id,
                saved_ns,
                listed: Listed {
                    generation: 0,
                    messages: listing.bytes().to_vec(),
                },
            };
            file::replace(path, |out| ruleset::write(out, &ruleset::X_TABLES, &kept))?;
            Ok(Written::Saved)
        });
        self.counts.count_start(started);
    }

    /// Returns when a file that is being written is written, or has failed, and that is counted; never
    /// when there is none. May be given up and called again at any point.
    pub async fn finished(&mut self) {
        let Self {
            boot_id: _,
            processes,
            ruleset,
            tables,
            counts,
        } = self;
        let result = tokio::select! {
            result = processes.finished() => result,
            result = ruleset.finished() => result,
            result = tables.finished() => result,
        };
        counts.count(result);
    }

    fn is_under_way(&self) -> bool {
        let Self {
            boot_id: _,
            processes,
            ruleset,
            tables,
            counts: _,
        } = self;
        [processes, ruleset, tables]
            .into_iter()
            .any(Saving::is_under_way)
    }

    /// Returns when no file is being written any more.
    async fn idle(&mut self) {
        while self.is_under_way() {
            self.finished().await;
        }
    }

    /// Saves in the end, for `deadline` at most: `save` is called when nothing is being written any more.
    pub async fn close(mut self, save: impl FnOnce(&mut Self), deadline: Duration) -> StateCounts {
        let last = async {
            self.idle().await;
            save(&mut self);
            self.idle().await;
        };
        if timeout(deadline, last).await.is_err() {
            tracing::error!("the state is not written in time: what came last is forgotten");
            self.counts.failed += 1;
        }
        self.counts
    }

    pub fn counts(&self) -> StateCounts {
        self.counts
    }

    fn read(&self, processes_max: usize) -> Result<Option<Content>, StateError> {
        read_file(&self.processes.path, |input| {
            processes::read(input, self.boot_id, processes_max)
        })
    }
}

impl StateCounts {
    fn count(&mut self, result: Result<Written, StateError>) {
        match result {
            Ok(Written::Saved) => self.saved += 1,
            Ok(Written::Outdated) => {}
            Ok(Written::Refused) => {
                self.rulesets_refused += 1;
                tracing::warn!(
                    bytes_max = LISTED_BYTES_MAX,
                    "the ruleset of nf_tables is too large to be kept: what changes while the agent is down will not be known"
                );
            }
            Err(error) => self.count_failure(&error),
        }
    }

    fn count_start(&mut self, started: Result<(), StateError>) {
        if let Err(error) = started {
            self.count_failure(&error);
        }
    }

    fn count_failure(&mut self, error: &StateError) {
        self.failed += 1;
        tracing::error!("the state is not saved: {}", chain(error));
    }
}

/// What stands in the file; `None` when there is none.
fn read_file<T>(
    path: &Path,
    read: impl FnOnce(BufReader<std::fs::File>) -> std::io::Result<T>,
) -> Result<Option<T>, StateError> {
    let Some(file) = file::open(path)? else {
        return Ok(None);
    };
    let content = read(BufReader::new(file)).map_err(|source| StateError::Read {
        path: path.to_owned(),
        source,
    });
    content.map(Some)
}

/// An error with its cause.
fn chain(error: &StateError) -> String {
    let cause = std::error::Error::source(error);
    cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}

#[cfg(test)]
mod tests;
