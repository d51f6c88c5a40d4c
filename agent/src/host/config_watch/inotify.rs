//! `inotify(7)`: needs no capability, and does not tell who it was.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};

use super::notifier::{Change, Notice, Notifier};
use crate::pipeline::firewall::edit::EditKind;

/// An inotify instance and the folders that it watches.
pub(super) struct Instance {
    inotify: Inotify,
    folders: BTreeMap<WatchDescriptor, PathBuf>,
}

impl Instance {
    /// # Errors
    ///
    /// When the user has `fs.inotify.max_user_instances` of them already.
    pub(super) fn open() -> io::Result<Self> {
        Ok(Self {
            inotify: Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?,
            folders: BTreeMap::new(),
        })
    }

    fn notice(&mut self, event: InotifyEvent) -> Option<Notice> {
        if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
            return Some(Notice::Overflow);
        }
        if event.mask.contains(AddWatchFlags::IN_IGNORED) {
            self.folders.remove(&event.wd);
            return None;
        }
        Some(Notice::Change(Change {
            path: self.folders.get(&event.wd)?.join(event.name?),
            kinds: kinds(event.mask),
            is_folder: event.mask.contains(AddWatchFlags::IN_ISDIR),
            tgid: None,
        }))
    }
}

impl Notifier for Instance {
    fn descriptor(&self) -> io::Result<OwnedFd> {
        self.inotify.as_fd().try_clone_to_owned()
    }

    fn watch(&mut self, folder: &Path, absolute: &Path, _opened: &File) -> io::Result<()> {
        let mask = AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVE
            | AddWatchFlags::IN_ONLYDIR;
        let watch = self.inotify.add_watch(absolute, mask)?;
        self.folders.insert(watch, folder.to_owned());
        Ok(())
    }

    fn unwatch(&mut self, folder: &Path, _opened: &File) {
        let watches = self.folders.iter();
        let mut watches = watches.filter(|(_, known)| *known == folder);
        let Some((&watch, _)) = watches.next() else {
            return;
        };
        self.folders.remove(&watch);
        // A folder that was removed has lost its watch by itself.
        self.inotify.rm_watch(watch).unwrap_or(());
    }

    fn read(&mut self) -> io::Result<Option<Vec<Notice>>> {
        let events = match self.inotify.read_events() {
            Ok(events) => events,
            Err(Errno::EAGAIN) => return Ok(None),
            Err(Errno::EINTR) => return Ok(Some(Vec::new())),
            Err(errno) => return Err(errno.into()),
        };
        let notices = events.into_iter().filter_map(|event| self.notice(event));
        Ok(Some(notices.collect()))
    }
}

fn kinds(mask: AddWatchFlags) -> Vec<EditKind> {
    [
        (AddWatchFlags::IN_CREATE, EditKind::Created),
        (AddWatchFlags::IN_CLOSE_WRITE, EditKind::Written),
        (AddWatchFlags::IN_MOVE, EditKind::Renamed),
        (AddWatchFlags::IN_DELETE, EditKind::Removed),
    ]
    .into_iter()
    .filter_map(|(bits, kind)| mask.intersects(bits).then_some(kind))
    .collect()
}
