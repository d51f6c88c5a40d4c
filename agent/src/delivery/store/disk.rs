//! The few things that the store does with a disk, so that a test can let each of them fail.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// What is stored holds command lines, and those hold secrets.
const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

pub(in crate::delivery) trait Disk: Send + Sync {
    /// Creates a directory, unless it is there. Those above it too.
    fn create_directory(&self, path: &Path) -> io::Result<()>;
    /// The names in a directory, sorted. A name that is not UTF-8 is left out.
    fn list(&self, directory: &Path) -> io::Result<Vec<String>>;
    /// The whole file; fails with `FileTooLarge` where it has more than `bytes_max`.
    fn read(&self, path: &Path, bytes_max: u64) -> io::Result<Vec<u8>>;
    /// A new file. Fails where the name is taken.
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// A file that is there, to write behind its end.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn unlink(&self, path: &Path) -> io::Result<()>;
    /// Makes names that came and went last (`fsync(2)` of the directory).
    fn sync_directory(&self, path: &Path) -> io::Result<()>;
}

/// A file to be written.
pub(in crate::delivery) trait DiskFile: Send {
    /// Writes all of it at the end; after a failure any part of it may stand there.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    fn cut(&mut self, bytes: u64) -> io::Result<()>;
    /// Makes the content last (`fdatasync(2)`).
    fn sync(&mut self) -> io::Result<()>;
}

/// Puts a new file in the place of the one at `path`, whole or not at all, and makes that last. The name `path.new`
/// is used meanwhile.
pub(in crate::delivery) fn replace(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = Path::new(&name);
    let written = remove(disk, new)
        .and_then(|()| write_new(disk, new, bytes))
        .and_then(|()| disk.rename(new, path));
    if written.is_err() {
        // Half a file is of no use, and may be what fills the disk.
        drop(disk.unlink(new));
    }
    written?;
    disk.sync_directory(path.parent().unwrap_or(Path::new(".")))
}

/// A new file with that content, which lasts; its name does not yet.
pub(super) fn write_new(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = disk.create_new(path)?;
    file.append(bytes)?;
    file.sync()
}

/// Takes a file away, if there is one.
pub(super) fn remove(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    match disk.unlink(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The host's own disk.
pub(in crate::delivery) struct HostDisk;

impl Disk for HostDisk {
    fn create_directory(&self, path: &Path) -> io::Result<()> {
        DirBuilder::new()
            .recursive(true)
            .mode(DIRECTORY_MODE)
            .create(path)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(directory)? {
            names.extend(entry?.file_name().into_string().ok());
        }
        names.sort();
        Ok(names)
    }

    fn read(&self, path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
        let file = options().read(true).open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("not a regular file"));
        }
        let mut bytes = Vec::new();
        file.take(bytes_max + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > bytes_max {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(bytes)
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = options()
            .append(true)
            .create_new(true)
            .mode(FILE_MODE)
            .open(path)?;
        Ok(Box::new(file))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = options().append(true).open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("not a regular file"));
        }
        Ok(Box::new(file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }
}

impl DiskFile for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn cut(&mut self, bytes: u64) -> io::Result<()> {
        self.set_len(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

/// A link could lead anywhere, and a FIFO in the place of a file must not hold the agent.
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY);
    options
}

#[cfg(test)]
pub(in crate::delivery) mod simulated;
