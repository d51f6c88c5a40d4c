//! One owner at a time: who holds `flock(2)` on `lock` may write.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::own::is_own;

const FILE_NAME: &str = "lock";
const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
/// An owner that is about to end gets a second to do so; and whoever asks for the owner has the lock for a moment.
const ATTEMPTS: u32 = 20;
const TRY_AGAIN: Duration = Duration::from_millis(50);

/// Owns the store until it is dropped, or its process ends.
pub struct Owner {
    _locked: File,
}

impl Owner {
    /// The owner of the store in that directory, which is created; `None` when there is another one, also
    /// a second later. On a disk that
    /// cannot be written it is enough that the file is there.
    ///
    /// # Errors
    ///
    /// When there is no such file and it cannot be created, or locks are not known there, or the directory is a link,
    /// or another user owns it or may write it.
    pub fn acquire(directory: &Path) -> io::Result<Option<Self>> {
        check(directory)?;
        let mut options = OpenOptions::new();
        options
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY);
        let path = directory.join(FILE_NAME);
        let file = match options.open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut builder = DirBuilder::new();
                builder.recursive(true).mode(DIRECTORY_MODE);
                builder.create(directory)?;
                check(directory)?;
                options.write(true).create(true).mode(FILE_MODE).open(&path)
            }
            opened => opened,
        };
        let file = file?;
        for _ in 0..ATTEMPTS {
            match file.try_lock() {
                Ok(()) => return Ok(Some(Self { _locked: file })),
                Err(TryLockError::WouldBlock) => thread::sleep(TRY_AGAIN),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Whether somebody owns the store there.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire); a store that is not there is an error too.
    pub fn is_owned(directory: &Path) -> io::Result<bool> {
        let file = File::open(directory.join(FILE_NAME))?;
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// Who may write there could forge alerts, and have files of others taken away.
fn check(directory: &Path) -> io::Result<()> {
    match fs::symlink_metadata(directory) {
        Ok(metadata) if metadata.is_dir() && is_own(&metadata) => Ok(()),
        Ok(_) => Err(io::Error::other(
            "it is no directory, or another user owns it or may write it",
        )),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_others_may_write_is_no_place_for_a_store() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = tempfile::tempdir().unwrap();
        let open = folder.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o770)).unwrap();
        let own = folder.path().join("own");
        assert!(Owner::acquire(&own).unwrap().is_some());
        let link = folder.path().join("link");
        symlink(&own, &link).unwrap();
        for place in [&open, &link] {
            let error = Owner::acquire(place).map(|_| ()).unwrap_err();
            assert!(error.to_string().contains("another user"), "{error}");
        }
    }

    #[test]
    fn a_store_has_one_owner_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("a/spool");
        assert!(Owner::is_owned(&directory).is_err());
        let first = Owner::acquire(&directory).unwrap();
        assert!(first.is_some());
        assert!(Owner::acquire(&directory).unwrap().is_none());
        assert!(Owner::is_owned(&directory).unwrap());
        drop(first);
        assert!(!Owner::is_owned(&directory).unwrap());
        assert!(Owner::acquire(&directory).unwrap().is_some());
    }
}
