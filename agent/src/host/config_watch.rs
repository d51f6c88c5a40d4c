//! The files from which a firewall is loaded: who edits them, and how.
//!
//! Folders are watched, not files: a file that an editor moves into place is another file. Each folder above a
//! place is watched too, so that one that does not exist yet is seen when it appears. A folder that is a
//! symbolic link is followed; a file that is one is not: what is written to its target elsewhere stays unseen,
//! and so does what a program keeps open and has not closed, or wrote through a hard link elsewhere.

mod fanotify;
mod folders;
mod inotify;
mod notifier;
mod places;

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use self::folders::Folders;
use self::notifier::{Change, Notice, Notifier};
use crate::pipeline::exec::Time;
use crate::pipeline::firewall::edit::{ConfigEdit, EditKind};

/// Reads of one turn, of 4 or 16 KiB each; what is left is read after the loop has seen to its other duties.
const READS_MAX: usize = 16;

/// Why the files are not watched, or not with the name of who edits them.
#[derive(Debug, thiserror::Error)]
pub enum ConfigWatchError {
    #[error("open {means}: {error}")]
    Open {
        means: &'static str,
        #[source]
        error: io::Error,
    },
    #[error("watch {} by {means}: {error}", folder.display())]
    Folder {
        means: &'static str,
        folder: PathBuf,
        #[source]
        error: io::Error,
    },
    #[error("wait for {means}: {error}")]
    Wait {
        means: &'static str,
        #[source]
        error: io::Error,
    },
}

/// By what edits are heard of.
#[derive(Debug)]
pub enum Means {
    /// It tells the process.
    Fanotify,
    /// It does not; why fanotify was refused.
    Inotify(ConfigWatchError),
}

/// What was counted since the watch began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConfigWatchCounters {
    /// How often the kernel's queue was full; how many edits it dropped is not known.
    pub overflows: u64,
    /// Folders that cannot be watched now: there are too many of them, or the kernel refuses.
    pub unwatched: u64,
    /// Files that appeared with a folder and were not told, for there were too many.
    pub untold: u64,
}

/// Watches the configuration of nftables, iptables, ufw, firewalld and sysctl.
pub struct ConfigWatch {
    folders: Folders,
    notifier: Box<dyn Notifier>,
    readiness: AsyncFd<OwnedFd>,
    means: Means,
    counters: ConfigWatchCounters,
    /// There is more than the last turn took.
    more: bool,
}

/// What one turn has found so far.
#[derive(Default)]
struct Turn {
    edits: Vec<ConfigEdit>,
    /// Folders that appeared or went away, and by whose hand.
    moved: Vec<(PathBuf, Option<u32>)>,
    overflowed: bool,
}

impl ConfigWatch {
    /// Watches from now on what stands under `root` (`/` on a real host). With fanotify, which needs
    /// `CAP_SYS_ADMIN`; without it, or on a file system of which it knows nothing, with inotify. Must be called
    /// within a tokio runtime.
    ///
    /// # Errors
    ///
    /// When neither can be had.
    pub fn open(root: &Path) -> Result<Self, ConfigWatchError> {
        Self::by_fanotify(root).or_else(|refused| Self::by_inotify(root, refused))
    }

    fn by_fanotify(root: &Path) -> Result<Self, ConfigWatchError> {
        let means = "fanotify";
        let group = fanotify::Group::open();
        let group = group.map_err(|error| ConfigWatchError::Open { means, error })?;
        Self::begin(root, Box::new(group), means, Means::Fanotify)
    }

    fn by_inotify(root: &Path, refused: ConfigWatchError) -> Result<Self, ConfigWatchError> {
        let means = "inotify";
        let instance = inotify::Instance::open();
        let instance = instance.map_err(|error| ConfigWatchError::Open { means, error })?;
        Self::begin(root, Box::new(instance), means, Means::Inotify(refused))
    }

    fn begin(
        root: &Path,
        mut notifier: Box<dyn Notifier>,
        name: &'static str,
        means: Means,
    ) -> Result<Self, ConfigWatchError> {
        let mut folders = Folders::new(root);
        let scan = folders.scan(notifier.as_mut());
        let unwatched = scan.unwatched();
        // What fanotify refuses, inotify may watch; what that refuses is counted, as long as there is more.
        let is_enough = matches!(means, Means::Inotify(_)) && folders.len() > 0;
        if let Some((folder, error)) = scan.refused.into_iter().next()
            && !is_enough
        {
            let means = name;
            return Err(ConfigWatchError::Folder {
                means,
                folder,
                error,
            });
        }
        let wait = |error| ConfigWatchError::Wait { means: name, error };
        let descriptor = notifier.descriptor().map_err(wait)?;
        // SAFETY: an `OwnedFd` is the same open descriptor for as long as it lives, and the `AsyncFd` owns it.
        let readiness = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) };
        Ok(Self {
            folders,
            notifier,
            readiness: readiness.map_err(|error| wait(error.into()))?,
            means,
            counters: ConfigWatchCounters {
                unwatched,
                ..ConfigWatchCounters::default()
            },
            more: false,
        })
    }

    pub fn means(&self) -> &Means {
        &self.means
    }

    pub fn counters(&self) -> ConfigWatchCounters {
        self.counters
    }

    /// How many folders are watched now.
    pub fn watched(&self) -> usize {
        self.folders.len()
    }

    /// Returns when there is something to read. It may be cancelled without a loss.
    ///
    /// # Errors
    ///
    /// When the runtime is shutting down.
    pub async fn readable(&self) -> io::Result<()> {
        if !self.more {
            // Whoever reads goes on until there is nothing: then the kernel tells anew.
            self.readiness.readable().await?.clear_ready();
        }
        Ok(())
    }

    /// Takes the edits that have come, up to a bound, and does not wait. `now` becomes their time.
    ///
    /// # Errors
    ///
    /// When the kernel refuses to be read.
    pub fn read(&mut self, now: Time) -> io::Result<Vec<ConfigEdit>> {
        let mut turn = Turn::default();
        self.more = true;
        for _ in 0..READS_MAX {
            let Some(notices) = self.notifier.read()? else {
                self.more = false;
                break;
            };
            for notice in notices {
                match notice {
                    Notice::Change(change) => turn.take(change, now),
                    Notice::Overflow => {
                        self.counters.overflows += 1;
                        turn.overflowed = true;
                    }
                }
            }
        }
        if turn.overflowed || !turn.moved.is_empty() {
            self.follow(&mut turn, now);
        }
        Ok(turn.edits)
    }

    /// Watches folders that are new. Files that stood in one before it was watched came with it.
    fn follow(&mut self, turn: &mut Turn, now: Time) {
        let scan = self.folders.scan(self.notifier.as_mut());
        self.counters.unwatched = scan.unwatched();
        for folder in &scan.new {
            let mut moved = turn.moved.iter().rev();
            let mover = moved.find(|(moved, _)| folder.starts_with(moved));
            let tgid = mover.and_then(|(_, tgid)| *tgid);
            let files = self.folders.files_in(folder);
            self.counters.untold += u64::from(files.has_more);
            let config = files.paths.into_iter();
            for path in config.filter(|path| places::is_config(path)) {
                turn.edits.push(edit(&path, tgid, EditKind::Created, now));
            }
        }
    }
}

impl Turn {
    fn take(&mut self, change: Change, now: Time) {
        let Change {
            path,
            kinds,
            is_folder,
            tgid,
        } = change;
        if places::is_config(&path) {
            let edits = kinds.iter().map(|kind| edit(&path, tgid, *kind, now));
            self.edits.extend(edits);
        }
        let is_place = is_folder || places::is_root(&path);
        if is_place && places::levels(&path) > 0 {
            self.moved.push((path, tgid));
        }
    }
}

fn edit(path: &Path, tgid: Option<u32>, what: EditKind, time: Time) -> ConfigEdit {
    ConfigEdit {
        time,
        path: [b"/", path.as_os_str().as_bytes()].concat(),
        tgid,
        what,
    }
}

#[cfg(test)]
mod tests;
