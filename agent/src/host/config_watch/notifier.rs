//! What fanotify and inotify have in common.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use crate::pipeline::firewall::edit::EditKind;

/// What was heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    Change(Change),
    /// The kernel's queue was full, and events were dropped.
    Overflow,
}

/// Something in a watched folder changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// Relative to the root.
    pub(super) path: PathBuf,
    pub(super) kinds: Vec<EditKind>,
    pub(super) is_folder: bool,
    pub(super) tgid: Option<u32>,
}

/// A way to hear of changes in folders. Folders go by their path relative to the root.
pub(super) trait Notifier {
    /// A second descriptor, which becomes readable when there is something to hear.
    fn descriptor(&self) -> io::Result<OwnedFd>;

    fn watch(&mut self, folder: &Path, absolute: &Path, opened: &File) -> io::Result<()>;

    fn unwatch(&mut self, folder: &Path, opened: &File);

    /// Some notices; `None` when there are no more. Never waits.
    fn read(&mut self) -> io::Result<Option<Vec<Notice>>>;
}
