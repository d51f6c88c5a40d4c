//! `fanotify(7)`: tells which process it was. Linux 5.9 and later, with `CAP_SYS_ADMIN`.
//!
//! ```text
//! struct fanotify_event_metadata     event_len u32 · vers u8 · reserved u8 · metadata_len u16 · mask u64 · fd i32 · pid i32
//! struct fanotify_event_info_fid     info_type u8 · pad u8 · len u16 · fsid 8 bytes
//! struct file_handle                   handle_bytes u32 · handle_type i32 · the handle · the name, and a zero
//! ```
//!
//! All in the host's byte order (`include/uapi/linux/fanotify.h`).

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::fanotify::{EventFFlags, Fanotify, InitFlags, MarkFlags, MaskFlags};
use nix::sys::statfs::fstatfs;

use super::notifier::{Change, Notice, Notifier};
use crate::pipeline::firewall::edit::EditKind;

/// The folder's handle and the name within it come with each event (`FAN_REPORT_DIR_FID | FAN_REPORT_NAME`).
const FAN_REPORT_DFID_NAME: u32 = 0x400 | 0x800;

/// `FAN_EVENT_INFO_TYPE_DFID_NAME`
const INFO_TYPE_DFID_NAME: u8 = 2;

/// `AT_HANDLE_FID`, Linux 6.5: a handle to compare with, even where none can be opened.
const AT_HANDLE_FID: i32 = 0x200;

/// `MAX_HANDLE_SZ`, `name_to_handle_at(2)`
const HANDLE_BYTES_MAX: usize = 128;

/// What one read takes: some hundred events. The longest has 24 bytes, a handle and a name of 255 bytes.
const READ_BYTES: usize = 16 << 10;

const METADATA_BYTES: usize = 24;
const FSID_BYTES: usize = 8;

/// A folder, as an event names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Handle {
    filesystem: [u8; FSID_BYTES],
    kind: i32,
    bytes: Box<[u8]>,
}

/// A fanotify group and the folders that it has marks on.
pub(super) struct Group {
    fanotify: Fanotify,
    folders: BTreeMap<Handle, PathBuf>,
    buffer: Vec<u8>,
}

impl Group {
    /// # Errors
    ///
    /// Without `CAP_SYS_ADMIN`: `FAN_UNLIMITED_MARKS` is refused then, and so it must be, for the kernel would
    /// not tell who it was (`fanotify_init(2)`). The marks have a bound all the same, the caller's.
    pub(super) fn open() -> io::Result<Self> {
        let flags = InitFlags::FAN_CLASS_NOTIF
            | InitFlags::FAN_CLOEXEC
            | InitFlags::FAN_NONBLOCK
            | InitFlags::FAN_UNLIMITED_MARKS
            | InitFlags::from_bits_retain(FAN_REPORT_DFID_NAME);
        Ok(Self {
            fanotify: Fanotify::init(flags, EventFFlags::O_RDONLY)?,
            folders: BTreeMap::new(),
            buffer: vec![0; READ_BYTES],
        })
    }

    fn notice(&self, event: Event) -> Option<Notice> {
        if event.mask.contains(MaskFlags::FAN_Q_OVERFLOW) {
            return Some(Notice::Overflow);
        }
        let (handle, name) = event.place?;
        Some(Notice::Change(Change {
            path: self.folders.get(&handle)?.join(name),
            kinds: kinds(event.mask),
            is_folder: event.mask.contains(MaskFlags::FAN_ONDIR),
            // 0 for a process that the agent's pid namespace does not have.
            tgid: u32::try_from(event.pid).ok().filter(|&tgid| tgid != 0),
        }))
    }
}

impl Notifier for Group {
    fn descriptor(&self) -> io::Result<OwnedFd> {
        self.fanotify.as_fd().try_clone_to_owned()
    }

    fn watch(&mut self, folder: &Path, _absolute: &Path, opened: &File) -> io::Result<()> {
        let handle = handle_of(opened)?;
        let flags = MarkFlags::FAN_MARK_ADD | MarkFlags::FAN_MARK_ONLYDIR;
        self.fanotify.mark(flags, mask(), opened, Some("."))?;
        self.folders.insert(handle, folder.to_owned());
        Ok(())
    }

    fn unwatch(&mut self, folder: &Path, opened: &File) {
        self.folders.retain(|_, known| known != folder);
        // A folder that was removed has lost its mark by itself.
        let flags = MarkFlags::FAN_MARK_REMOVE | MarkFlags::FAN_MARK_ONLYDIR;
        let removed = self.fanotify.mark(flags, mask(), opened, Some("."));
        removed.unwrap_or(());
    }

    fn read(&mut self) -> io::Result<Option<Vec<Notice>>> {
        let read = match nix::unistd::read(&self.fanotify, &mut self.buffer) {
            Ok(read) => read,
            Err(Errno::EAGAIN) => return Ok(None),
            Err(Errno::EINTR) => return Ok(Some(Vec::new())),
            Err(errno) => return Err(errno.into()),
        };
        let events = events(self.buffer.get(..read).unwrap_or_default());
        let notices = events.filter_map(|event| self.notice(event));
        Ok(Some(notices.collect()))
    }
}

fn mask() -> MaskFlags {
    MaskFlags::FAN_CLOSE_WRITE
        | MaskFlags::FAN_CREATE
        | MaskFlags::FAN_DELETE
        | MaskFlags::FAN_MOVE
        | MaskFlags::FAN_ONDIR
        | MaskFlags::FAN_EVENT_ON_CHILD
}

/// Several when the kernel merged events of one name by one process; which was first, it does not tell then.
fn kinds(mask: MaskFlags) -> Vec<EditKind> {
    [
        (MaskFlags::FAN_CREATE, EditKind::Created),
        (MaskFlags::FAN_CLOSE_WRITE, EditKind::Written),
        (MaskFlags::FAN_MOVE, EditKind::Renamed),
        (MaskFlags::FAN_DELETE, EditKind::Removed),
    ]
    .into_iter()
    .filter_map(|(bits, kind)| mask.intersects(bits).then_some(kind))
    .collect()
}

/// One event, as it stands in the buffer.
struct Event {
    mask: MaskFlags,
    pid: i32,
    /// The folder, and the name within it.
    place: Option<(Handle, OsString)>,
}

/// What a read gave, up to the first event that makes no sense.
fn events(mut bytes: &[u8]) -> impl Iterator<Item = Event> {
    std::iter::from_fn(move || {
        let length = u32::from_ne_bytes(array(bytes, 0)?) as usize;
        let metadata_length = usize::from(u16::from_ne_bytes(array(bytes, 6)?));
        let is_known = array(bytes, 4) == Some([libc::FANOTIFY_METADATA_VERSION]);
        if !is_known || metadata_length < METADATA_BYTES {
            return None;
        }
        let (event, rest) = bytes.split_at_checked(length)?;
        bytes = rest;
        Some(Event {
            mask: MaskFlags::from_bits_retain(u64::from_ne_bytes(array(event, 8)?)),
            pid: i32::from_ne_bytes(array(event, 20)?),
            place: event.get(metadata_length..).and_then(place),
        })
    })
}

/// The first record that tells folder and name.
fn place(mut records: &[u8]) -> Option<(Handle, OsString)> {
    loop {
        let [kind] = array(records, 0)?;
        let length = usize::from(u16::from_ne_bytes(array(records, 2)?));
        let (record, rest) = records.split_at_checked(length.max(4))?;
        if kind == INFO_TYPE_DFID_NAME {
            return named(record.get(4..)?);
        }
        records = rest;
    }
}

fn named(record: &[u8]) -> Option<(Handle, OsString)> {
    let length = u32::from_ne_bytes(array(record, FSID_BYTES)?) as usize;
    let (bytes, name) = record.get(FSID_BYTES + 8..)?.split_at_checked(length)?;
    let handle = Handle {
        filesystem: array(record, 0)?,
        kind: i32::from_ne_bytes(array(record, FSID_BYTES + 4)?),
        bytes: bytes.into(),
    };
    let end = name.iter().position(|byte| *byte == 0)?;
    Some((handle, OsString::from_vec(name.get(..end)?.to_vec())))
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// The handle by which events name that folder.
fn handle_of(folder: &File) -> io::Result<Handle> {
    let filesystem = fstatfs(folder)?.filesystem_id();
    // SAFETY: `fsid_t` (`statfs(2)`) is two integers of 32 bits without padding, any bytes of which are bytes.
    let filesystem = unsafe { std::mem::transmute::<libc::fsid_t, [u8; FSID_BYTES]>(filesystem) };
    let (kind, bytes) = match name_to_handle(folder, libc::AT_EMPTY_PATH | AT_HANDLE_FID) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            name_to_handle(folder, libc::AT_EMPTY_PATH)?
        }
        other => other?,
    };
    Ok(Handle {
        filesystem,
        kind,
        bytes,
    })
}

/// `struct file_handle` with room for any handle.
#[repr(C)]
struct RawHandle {
    length: u32,
    kind: i32,
    bytes: [u8; HANDLE_BYTES_MAX],
}

/// `name_to_handle_at(2)` of an opened file.
fn name_to_handle(file: &File, flags: i32) -> io::Result<(i32, Box<[u8]>)> {
    let mut handle = RawHandle {
        length: HANDLE_BYTES_MAX as u32,
        kind: 0,
        bytes: [0; HANDLE_BYTES_MAX],
    };
    let mut mount_id = 0;
    // SAFETY: the path is a C string, the other pointers lead to locals; the kernel writes at most `length`
    // bytes behind the head of the handle, and there are as many.
    let answer = unsafe {
        libc::name_to_handle_at(
            file.as_raw_fd(),
            c"".as_ptr(),
            (&raw mut handle).cast(),
            &raw mut mount_id,
            flags,
        )
    };
    if answer != 0 {
        return Err(io::Error::last_os_error());
    }
    let bytes = handle.bytes.get(..handle.length as usize);
    Ok((handle.kind, bytes.unwrap_or_default().into()))
}

#[cfg(test)]
mod tests;
