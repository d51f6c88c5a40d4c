//! The folders that are watched, and those that appear and go.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::notifier::Notifier;
use super::places;

/// Folders that are watched at most. An ordinary host has some twenty of them.
pub(super) const FOLDERS_MAX: usize = 128;

/// Entries of a folder that are looked at in the search for others, or for what came with it.
const ENTRIES_MAX: usize = 1024;

/// How often one scan looks. What appears after the last look is seen at the next event of a folder.
const LOOKS_MAX: usize = 4;

/// What a scan found.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Folders that are watched from now on.
    pub(super) new: Vec<PathBuf>,
    /// Folders beyond the bound.
    pub(super) too_many: u64,
    /// Folders of which the kernel does not tell.
    pub(super) refused: Vec<(PathBuf, io::Error)>,
}

impl Scan {
    pub(super) fn unwatched(&self) -> u64 {
        self.too_many + self.refused.len() as u64
    }
}

/// The files of one folder.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// Relative to the root.
    pub(super) paths: Vec<PathBuf>,
    pub(super) has_more: bool,
}

/// A watched folder. The descriptor keeps its inode, so that no other gets its number.
struct Watched {
    identity: (u64, u64),
    opened: File,
}

/// The watched folders by their path relative to the root.
pub(super) struct Folders {
    root: PathBuf,
    watched: BTreeMap<PathBuf, Watched>,
}

impl Folders {
    pub(super) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            watched: BTreeMap::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.watched.len()
    }

    /// Looks for the folders as they are now, and lets `notifier` watch those. Looks again when there were new
    /// ones: what came before they were watched was not told.
    pub(super) fn scan(&mut self, notifier: &mut dyn Notifier) -> Scan {
        let mut new = Vec::new();
        let mut scan = self.look(notifier);
        for _ in 1..LOOKS_MAX {
            if scan.new.is_empty() {
                break;
            }
            new.append(&mut scan.new);
            scan = self.look(notifier);
        }
        scan.new.splice(0..0, new);
        scan
    }

    fn look(&mut self, notifier: &mut dyn Notifier) -> Scan {
        let mut scan = Scan::default();
        let found = self.find(&mut scan);
        self.watched.retain(|path, watched| {
            let is_same = found
                .get(path)
                .is_some_and(|found| found.identity == watched.identity);
            if !is_same {
                notifier.unwatch(path, &watched.opened);
            }
            is_same
        });
        for (path, folder) in found {
            if self.watched.contains_key(&path) {
                continue;
            }
            match notifier.watch(&path, &self.root.join(&path), &folder.opened) {
                Ok(()) => {
                    self.watched.insert(path.clone(), folder);
                    scan.new.push(path);
                }
                // It has gone meanwhile.
                Err(error) if is_gone(&error) => {}
                Err(error) => scan.refused.push((path, error)),
            }
        }
        scan
    }

    /// What stands in a folder and is none itself.
    pub(super) fn files_in(&self, folder: &Path) -> Files {
        let mut files = Files::default();
        let Ok(entries) = fs::read_dir(self.root.join(folder)) else {
            return files;
        };
        for (index, entry) in entries.flatten().enumerate() {
            if index >= ENTRIES_MAX {
                files.has_more = true;
                break;
            }
            if entry.file_type().is_ok_and(|kind| !kind.is_dir()) {
                files.paths.push(folder.join(entry.file_name()));
            }
        }
        files
    }

    /// The folders as they are. Those that every host may have come first, then those that are watched
    /// already: whoever makes folders by the hundred takes no watch away.
    fn find(&self, scan: &mut Scan) -> BTreeMap<PathBuf, Watched> {
        let mut found: BTreeMap<PathBuf, Watched> = BTreeMap::new();
        let mut next = VecDeque::from(places::roots());
        next.extend(self.watched.keys().cloned());
        while let Some(path) = next.pop_front() {
            if found.contains_key(&path) {
                continue;
            }
            if found.len() >= FOLDERS_MAX {
                scan.too_many += 1;
                continue;
            }
            let Some(folder) = open(&self.root.join(&path)) else {
                continue;
            };
            let mut known = found.values();
            if known.any(|known| known.identity == folder.identity) {
                continue;
            }
            if places::levels(&path) > 1 {
                next.extend(self.folders_in(&path));
            }
            found.insert(path, folder);
        }
        found
    }

    fn folders_in(&self, folder: &Path) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.root.join(folder)) else {
            return Vec::new();
        };
        let entries = entries.flatten().take(ENTRIES_MAX);
        entries
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .map(|entry| folder.join(entry.file_name()))
            .collect()
    }
}

/// `None` when there is no such folder.
fn open(folder: &Path) -> Option<Watched> {
    let flags = libc::O_PATH | libc::O_DIRECTORY;
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(folder)
        .ok()?;
    let metadata = opened.metadata().ok()?;
    Some(Watched {
        identity: (metadata.dev(), metadata.ino()),
        opened,
    })
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}
