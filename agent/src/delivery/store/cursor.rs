//! How far a sink is: `cursor.SINK.json`, replaced as a whole after each delivery.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::disk::{Disk, replace};
use super::record::SEQ_MAX;

const SCHEMA: &str = "wallwatch.cursor/1";
const FILE_BYTES_MAX: u64 = 64 * 1024;
/// Ranges of dropped records that are named; of older ones the count is left.
const RANGES_MAX: usize = 16;

/// What became of the records of one sink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    schema: String,
    pub sink: String,
    /// Up to and with this one, every record is the receiver's, or dropped.
    pub seq: u64,
    pub delivered: u64,
    /// Records that the store's bounds took away before they were delivered.
    pub dropped: u64,
    /// The last of them, at most 16 ranges.
    pub dropped_ranges: Vec<Dropped>,
    /// Records that were damaged before they were delivered.
    pub damaged: u64,
    /// Records that the receiver will never take, put into the dead-letter file.
    pub dead_letters: u64,
    /// Why nothing is delivered at present.
    pub trouble: Option<String>,
}

/// A cursor as it is stored: a flipped digit must not pass for a delivery.
#[derive(Serialize, Deserialize)]
struct Sealed {
    /// CRC-32 (IEEE 802.3) of the cursor's text, in hexadecimal.
    crc32: String,
    cursor: Box<RawValue>,
}

fn checksum(cursor: &RawValue) -> String {
    format!("{:08x}", crc32fast::hash(cursor.get().as_bytes()))
}

/// Records that went before they were delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    pub first: u64,
    pub last: u64,
    pub records: u64,
}

impl Cursor {
    /// The cursor of a sink that was not there before: it gets all that is stored.
    pub(in crate::delivery) fn new(sink: &str) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            sink: sink.to_owned(),
            seq: 0,
            delivered: 0,
            dropped: 0,
            dropped_ranges: Vec::new(),
            damaged: 0,
            dead_letters: 0,
            trouble: None,
        }
    }

    /// `records` are gone, the last of which is `last`; the cursor goes behind them.
    pub(in crate::delivery) fn drop_records(&mut self, first: u64, last: u64, records: u64) {
        self.seq = self.seq.max(last);
        self.dropped += records;
        match self.dropped_ranges.last_mut() {
            _ if records == 0 => {}
            Some(range) if range.last + 1 == first => {
                range.last = last;
                range.records += records;
            }
            _ => self.dropped_ranges.push(Dropped {
                first,
                last,
                records,
            }),
        }
        let surplus = self.dropped_ranges.len().saturating_sub(RANGES_MAX);
        self.dropped_ranges.drain(..surplus);
    }

    pub(in crate::delivery) fn save(&self, disk: &dyn Disk, directory: &Path) -> io::Result<()> {
        let cursor = RawValue::from_string(serde_json::to_string(self)?)?;
        let crc32 = checksum(&cursor);
        let mut bytes = serde_json::to_vec(&Sealed { crc32, cursor })?;
        bytes.push(b'\n');
        replace(disk, &path(directory, &self.sink), &bytes)
    }

    /// `None` when there is none.
    ///
    /// # Errors
    ///
    /// `InvalidData` for a file that is not of this format.
    pub(in crate::delivery) fn load(
        disk: &dyn Disk,
        directory: &Path,
        sink: &str,
    ) -> io::Result<Option<Self>> {
        let bytes = match disk.read(&path(directory, sink), FILE_BYTES_MAX) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read?,
        };
        let sealed: Sealed = serde_json::from_slice(&bytes)?;
        if sealed.crc32 != checksum(&sealed.cursor) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let cursor: Self = serde_json::from_str(sealed.cursor.get())?;
        if cursor.schema != SCHEMA || cursor.sink != sink || cursor.seq > SEQ_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(Some(cursor))
    }
}

/// The sinks that have a cursor among the files of those names.
pub(super) fn sinks(names: &[String]) -> impl Iterator<Item = &str> {
    names
        .iter()
        .filter_map(|name| name.strip_prefix("cursor.")?.strip_suffix(".json"))
}

fn path(directory: &Path, sink: &str) -> PathBuf {
    directory.join(format!("cursor.{sink}.json"))
}

#[cfg(test)]
mod tests {
    use super::super::disk::simulated::SimulatedDisk;
    use super::*;

    #[test]
    fn a_cursor_is_kept_and_a_damaged_one_is_told_from_none() {
        let disk = SimulatedDisk::default();
        let directory = Path::new("/spool");
        assert_eq!(Cursor::load(&disk, directory, "file").unwrap(), None);
        let mut cursor = Cursor::new("file");
        cursor.drop_records(3, 5, 2);
        cursor.save(&disk, directory).unwrap();
        let loaded = Cursor::load(&disk, directory, "file").unwrap();
        assert_eq!(loaded.as_ref(), Some(&cursor));
        let whole = disk.read(&path(directory, "file"), 1000).unwrap().len();
        for at in 0..whole - 1 {
            disk.damage(&path(directory, "file"), |bytes| bytes[at] ^= 1);
            let error = Cursor::load(&disk, directory, "file").unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{at}");
            disk.damage(&path(directory, "file"), |bytes| bytes[at] ^= 1);
        }
        assert_eq!(
            sinks(&["cursor.file.json".to_owned(), "cursor.x".to_owned()]).collect::<Vec<_>>(),
            ["file"]
        );
    }

    #[test]
    fn what_was_dropped_is_named_in_ranges() {
        let mut cursor = Cursor::new("file");
        cursor.drop_records(1, 10, 10);
        cursor.drop_records(11, 20, 9);
        cursor.drop_records(20, 20, 0);
        cursor.drop_records(31, 40, 10);
        let range = |first, last, records| Dropped {
            first,
            last,
            records,
        };
        assert_eq!(cursor.dropped_ranges, [range(1, 20, 19), range(31, 40, 10)]);
        assert_eq!((cursor.seq, cursor.dropped), (40, 29));
        for at in 100..200 {
            cursor.drop_records(at * 2, at * 2, 1);
        }
        assert_eq!(cursor.dropped_ranges.len(), RANGES_MAX);
        assert_eq!(cursor.dropped, 129);
    }
}
