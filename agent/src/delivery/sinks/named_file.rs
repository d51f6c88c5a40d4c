//! Files that the operator named: secrets and certificates.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

/// A bundle of all roots that a host trusts has some 250 KiB.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What is in a regular file: to open a pipe would wait for somebody who writes.
///
/// # Errors
///
/// When it is none, cannot be read, or is longer than 1 MiB.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut bytes = Vec::new();
    let mut file = File::open(path)?.take(FILE_BYTES_MAX + 1);
    file.read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other("longer than 1 MiB"));
    }
    Ok(bytes)
}
