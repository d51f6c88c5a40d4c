//! Files that the operator named: secrets and certificates.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use crate::delivery::sink::Trouble;

/// A bundle of all roots that a host trusts has some 250 KiB.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What is in the file. What stops that is named, with the file, and never with what is in it.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Trouble> {
    // To open a pipe would wait for somebody who writes.
    let metadata = fs::metadata(path).map_err(|error| unfit(path, &error.to_string()))?;
    if !metadata.is_file() {
        return Err(unfit(path, "not a regular file"));
    }
    let mut bytes = Vec::new();
    let read =
        File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
    read.map_err(|error| unfit(path, &error.to_string()))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(unfit(path, "longer than 1 MiB"));
    }
    Ok(bytes)
}

/// Somebody has to change the file first.
pub(super) fn unfit(path: &Path, why: &str) -> Trouble {
    Trouble::Hold {
        why: format!("{}: {why}", path.display()),
    }
}
