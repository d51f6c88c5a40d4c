//! A file of the state directory: read if it is the agent's own, replaced as a whole.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::own::is_own;

/// Command lines hold secrets.
const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

#[derive(Debug, Error)]
pub enum StateError {
    #[error("create the directory {path}")]
    CreateDirectory { path: PathBuf, source: io::Error },
    #[error("read {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} is no regular file, or another user owns it or may write it")]
    NotOwn { path: PathBuf },
    #[error("write {path}")]
    Write { path: PathBuf, source: io::Error },
    #[error("remove {path}")]
    Remove { path: PathBuf, source: io::Error },
    #[error("start a thread for {path}")]
    Thread { path: PathBuf, source: io::Error },
    /// Nothing was written: what is to be kept was not to be had.
    #[error("the ruleset for {path} cannot be listed: {error}")]
    Unlisted { path: PathBuf, error: String },
    /// The thread ended without a word.
    #[error("the thread for {path} was lost")]
    ThreadLost { path: PathBuf },
}

/// Opens a file for reading; `None` when there is none. What another user could have written is refused:
/// it would be shown as evidence.
pub(super) fn open(path: &Path) -> Result<Option<File>, StateError> {
    let failed = |source| StateError::Read {
        path: path.to_owned(),
        source,
    };
    let mut options = OpenOptions::new();
    // A FIFO in its place must not hold the agent.
    options
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY);
    let file = match options.open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let metadata = file.metadata().map_err(failed)?;
    if metadata.is_file() && is_own(&metadata) {
        Ok(Some(file))
    } else {
        Err(StateError::NotOwn {
            path: path.to_owned(),
        })
    }
}

/// Puts a new file in the place of the one at `path`, whole or not at all, and makes that last. The
/// directory is created if it is missing. Must not be called twice at once for one path.
pub(super) fn replace(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>,
) -> Result<(), StateError> {
    let directory = path.parent().unwrap_or(Path::new("."));
    DirBuilder::new()
        .recursive(true)
        .mode(DIRECTORY_MODE)
        .create(directory)
        .map_err(|source| StateError::CreateDirectory {
            path: directory.to_owned(),
            source,
        })?;
    let new = path.with_extension("new");
    let replaced = write_synced(&new, write).and_then(|()| {
        fs::rename(&new, path)?;
        File::open(directory)?.sync_all()
    });
    replaced.map_err(|source| {
        // Half a file is of no use, and may be what fills the disk.
        drop(fs::remove_file(&new));
        StateError::Write {
            path: path.to_owned(),
            source,
        }
    })
}

/// Takes the file away, if there is one.
pub(super) fn remove(path: &Path) -> Result<(), StateError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(StateError::Remove {
            path: path.to_owned(),
            source,
        }),
        _ => Ok(()),
    }
}

fn write_synced(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>,
) -> io::Result<()> {
    // One that a crash left behind: made anew, it has the right owner and mode.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(FILE_MODE)
        .open(path)?;
    let mut buffer = BufWriter::with_capacity(1 << 16, &file);
    write(&mut buffer)?;
    buffer.flush()?;
    drop(buffer);
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn put(path: &Path, text: &str) -> Result<(), StateError> {
        replace(path, |file| file.write_all(text.as_bytes()))
    }

    fn text(path: &Path) -> Option<String> {
        let mut text = String::new();
        open(path).unwrap()?.read_to_string(&mut text).unwrap();
        Some(text)
    }

    #[test]
    fn a_file_is_replaced_whole_in_a_directory_for_the_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("lib/wallwatch");
        let path = directory.join("x.jsonl");
        assert_eq!(text(&path), None);
        put(&path, "one").unwrap();
        fs::write(directory.join("x.new"), "left behind").unwrap();
        put(&path, "two").unwrap();
        assert_eq!(text(&path).as_deref(), Some("two"));
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
        assert_eq!((mode(&directory), mode(&path)), (0o700, 0o600));
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
    }

    #[test]
    fn a_write_that_fails_leaves_what_was_there_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.jsonl");
        put(&path, "one").unwrap();
        let full = replace(&path, |file| {
            file.write_all(b"tw")?;
            Err(io::ErrorKind::StorageFull.into())
        });
        assert!(matches!(full, Err(StateError::Write { .. })));
        assert_eq!(text(&path).as_deref(), Some("one"));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let in_a_file = put(&path.join("y"), "x").unwrap_err();
        assert!(matches!(in_a_file, StateError::CreateDirectory { .. }));
    }

    #[test]
    fn what_another_could_have_written_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.jsonl");
        put(&path, "one").unwrap();
        let link = folder.path().join("link");
        symlink(&path, &link).unwrap();
        assert!(matches!(open(&link), Err(StateError::Read { .. })));
        assert!(matches!(
            open(folder.path()),
            Err(StateError::NotOwn { .. })
        ));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o620)).unwrap();
        assert!(matches!(open(&path), Err(StateError::NotOwn { .. })));
    }
}
