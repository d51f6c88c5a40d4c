//! What the agent remembers from one run to the next, in a directory of its own.
//!
//! There is one file, [`processes`]. It is written on a thread, whole, every now and then and when the agent
//! stops; a directory that cannot be used costs the memory and not the watch.

mod file;
mod processes;

use std::future::pending;
use std::io::BufReader;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;
use uuid::Uuid;

use crate::config::StateSettings;
use crate::pipeline::process_tree::ProcessTree;
use crate::pipeline::process_tree::memory::Remembered;

pub use file::StateError;
use processes::Content;

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
}

/// Keeps the state directory: reads it once, and writes it without the event loop waiting for the disk.
pub struct Keeper {
    path: PathBuf,
    boot_id: Uuid,
    /// [`ProcessTree::events`] of the last tree that was saved.
    events_saved: u64,
    under_way: Option<UnderWay>,
    counts: StateCounts,
}

/// A file that is being written.
struct UnderWay {
    events: u64,
    result: oneshot::Receiver<Result<(), StateError>>,
}

impl Keeper {
    /// `boot_id` is that of this boot; when it is nil, as it is where it cannot be read, nothing is
    /// remembered, for the next boot could not be told from this one.
    pub fn new(settings: &StateSettings, boot_id: Uuid) -> Self {
        Self {
            path: settings.directory.join(processes::FILE_NAME),
            boot_id,
            events_saved: 0,
            under_way: None,
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
        let path = self.path.display();
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

    /// Starts to write what the tree remembers, unless it is saved already or a file is being written.
    pub fn save(&mut self, tree: &ProcessTree) {
        let events = tree.events();
        let is_due = events != self.events_saved && self.under_way.is_none();
        if !is_due || self.boot_id.is_nil() {
            return;
        }
        let mut remembered = tree.remembered();
        let (done, result) = oneshot::channel();
        let (path, boot_id) = (self.path.clone(), self.boot_id);
        let write = move || {
            remembered.sort_unstable_by_key(Remembered::age);
            let written = file::replace(&path, |out| processes::write(out, boot_id, &remembered));
            // Nobody waits any more when the agent has had to stop.
            drop(done.send(written));
        };
        match thread::Builder::new().name("state".to_owned()).spawn(write) {
            Ok(_) => self.under_way = Some(UnderWay { events, result }),
            Err(source) => self.count(
                events,
                Err(StateError::Thread {
                    path: self.path.clone(),
                    source,
                }),
            ),
        }
    }

    /// Returns when the file that is being written is written, or has failed, and that is counted; never
    /// when there is none. May be given up and called again at any point.
    pub async fn finished(&mut self) {
        let Some(UnderWay { events, result }) = &mut self.under_way else {
            return pending().await;
        };
        let (events, result) = (*events, result.await);
        self.under_way = None;
        let path = self.path.clone();
        self.count(
            events,
            result.unwrap_or(Err(StateError::ThreadLost { path })),
        );
    }

    /// Writes what the tree remembers in the end, for `deadline` at most.
    pub async fn close(mut self, tree: &ProcessTree, deadline: Duration) -> StateCounts {
        let last = async {
            if self.under_way.is_some() {
                self.finished().await;
            }
            self.save(tree);
            if self.under_way.is_some() {
                self.finished().await;
            }
        };
        if timeout(deadline, last).await.is_err() {
            let path = self.path.display();
            tracing::error!(%path, "not written in time: processes of the last while are forgotten");
            self.counts.failed += 1;
        }
        self.counts
    }

    pub fn counts(&self) -> StateCounts {
        self.counts
    }

    fn read(&self, processes_max: usize) -> Result<Option<Content>, StateError> {
        let Some(file) = file::open(&self.path)? else {
            return Ok(None);
        };
        let content = processes::read(BufReader::new(file), self.boot_id, processes_max);
        let content = content.map_err(|source| StateError::Read {
            path: self.path.clone(),
            source,
        });
        content.map(Some)
    }

    fn count(&mut self, events: u64, result: Result<(), StateError>) {
        match result {
            Ok(()) => {
                self.counts.saved += 1;
                self.events_saved = events;
            }
            Err(error) => {
                self.counts.failed += 1;
                tracing::error!("the state is not saved: {}", chain(&error));
            }
        }
    }
}

/// An error with its cause.
fn chain(error: &StateError) -> String {
    let cause = std::error::Error::source(error);
    cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}

#[cfg(test)]
mod tests;
