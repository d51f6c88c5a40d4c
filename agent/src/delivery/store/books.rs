//! `store.json`: what the store must know beside its records.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::disk::{Disk, replace};
use super::segment::Segment;

const FILE_NAME: &str = "store.json";
const SCHEMA: &str = "wallwatch.store/1";
const FILE_BYTES_MAX: u64 = 1 << 20;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Books {
    schema: String,
    epoch: String,
    /// Seconds that agents have run with this store.
    pub(super) ran_s: u64,
    /// For each segment the number of its first record, and when it was begun in such seconds.
    pub(super) begun: Vec<(u64, u64)>,
}

impl Books {
    pub(super) fn new<'a>(
        epoch: Uuid,
        ran_s: u64,
        segments: impl Iterator<Item = &'a Segment>,
    ) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            epoch: epoch.to_string(),
            ran_s,
            begun: segments
                .map(|segment| (segment.first_seq, segment.begun_s))
                .collect(),
        }
    }

    pub(super) fn epoch(&self) -> Option<Uuid> {
        Uuid::parse_str(&self.epoch).ok()
    }

    /// A segment that is not in the books counts as begun now: nothing is taken away too early for it.
    pub(super) fn begun_s(&self, first_seq: u64) -> u64 {
        let entry = self.begun.iter().find(|(seq, _)| *seq == first_seq);
        entry.map_or(self.ran_s, |(_, begun_s)| (*begun_s).min(self.ran_s))
    }

    pub(super) fn save(&self, disk: &dyn Disk, directory: &Path) -> io::Result<()> {
        let mut bytes = serde_json::to_vec(self)?;
        bytes.push(b'\n');
        replace(disk, &directory.join(FILE_NAME), &bytes)
    }

    /// `None` when there are none.
    ///
    /// # Errors
    ///
    /// `InvalidData` for a file that is not of this format.
    pub(super) fn load(disk: &dyn Disk, directory: &Path) -> io::Result<Option<Self>> {
        let bytes = match disk.read(&directory.join(FILE_NAME), FILE_BYTES_MAX) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read?,
        };
        let books: Self = serde_json::from_slice(&bytes)?;
        if books.schema != SCHEMA {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(Some(books))
    }
}
