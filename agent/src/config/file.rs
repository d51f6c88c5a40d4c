//! Reads a file whose content decides what the agent does.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use super::problem::Fault;

/// Far above any configuration by hand; a bound on what a mistaken path can cost.
pub(super) const FILE_BYTES_MAX: u64 = 1024 * 1024;

const WRITABLE_BY_ALL: u32 = 0o002;
const PERMISSION_BITS: u32 = 0o7777;

/// The text of `path`, or why it must not be used. `Ok(None)` when there is no such file.
pub(super) fn read(path: &Path) -> Result<Option<String>, Fault> {
    // Without O_NONBLOCK a FIFO would hold the agent until someone writes to it.
    let file = match OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
    {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Fault::Unreadable(error)),
    };
    let metadata = file.metadata().map_err(Fault::Unreadable)?;
    if !metadata.is_file() {
        return Err(Fault::NotRegular);
    }
    check_mode(metadata.mode())?;
    read_bounded(file).map(Some)
}

/// Refuses what everyone may write.
pub(super) fn check_mode(mode: u32) -> Result<(), Fault> {
    if mode & WRITABLE_BY_ALL != 0 {
        return Err(Fault::WritableByAll {
            mode: mode & PERMISSION_BITS,
        });
    }
    Ok(())
}

/// That a file is not there, where it has to be.
pub(super) fn missing() -> Fault {
    Fault::Unreadable(io::Error::from_raw_os_error(libc::ENOENT))
}

fn read_bounded(file: File) -> Result<String, Fault> {
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(Fault::Unreadable)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(Fault::TooLong {
            bytes_max: FILE_BYTES_MAX,
        });
    }
    String::from_utf8(bytes).map_err(|error| Fault::NotUtf8 {
        valid_bytes: error.utf8_error().valid_up_to(),
    })
}
