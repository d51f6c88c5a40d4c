//! The store: every alert, finding, gap and heartbeat, on disk before anybody is told of it; and at once the spool
//! of all sinks.
//!
//! ```text
//! STATE/spool/lock                       one owner at a time, by flock(2)
//! STATE/spool/store.json                 epoch, and how long agents have run
//! STATE/spool/00000000000000000001.log   segments: records one behind the other, see `record`
//! STATE/spool/cursor.SINK.json           how far each sink is
//! STATE/spool/quarantine/                copies of damaged segments, 16 at most
//! STATE/spool/dead-letter/SINK.jsonl     records that the receiver will never take
//! ```
//!
//! A batch is appended and synced (`fdatasync(2)`) as a whole; only then its records exist. A new segment begins
//! each MiB, and its name is synced before anything in it counts. After a failure nothing more is written behind
//! what failed: it is cut off, and the next batch begins a segment of its own.
//!
//! Opening reads everything once: a torn tail is cut, damaged records are skipped and counted, records that were
//! written twice count once. Numbers go on behind the largest that any record or cursor knows. The epoch, which
//! every event bears beside its number, is another one when it cannot be known whether all numbers are known: the
//! store is new or lost, a segment is unreadable or damaged at its end, the books do not name the epoch of the last
//! record, or events went out while the disk took nothing.
//!
//! The bounds: bytes, and age. Age is counted in time during which an agent ran, by the boot clock; the wall clock is
//! not asked, so a jump of it can neither empty the store nor fill it up.

mod books;
pub(super) mod cursor;
pub(super) mod disk;
pub(super) mod owner;
pub(super) mod record;
mod recovery;
mod segment;
pub mod view;

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

use crate::config::StoreSettings;

use books::Books;
use disk::{Disk, DiskFile};
use record::Record;
use segment::{READ_BYTES_MAX, SEGMENT_BYTES};

pub use cursor::{Cursor, Dropped};
pub use owner::Owner;
pub(super) use segment::Segment;

/// Below the state directory.
pub const DIRECTORY_NAME: &str = "spool";

/// A disk that fails again and again leaves many short segments behind.
const SEGMENTS_MAX: usize = 4096;
/// A segment is closed after this part of the shorter age, so that ages can be told apart.
const PARTS_OF_AGE: u64 = 8;
/// And no sooner than after this part of the longer one.
const PARTS_OF_AGE_MAX: u64 = SEGMENTS_MAX as u64 / 4;
/// How often the books are written at least while the agent runs.
const BOOKS_INTERVAL_S: u64 = 600;

/// What went wrong with what is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreCounts {
    /// Lines that were no records any more when the store was opened.
    pub damaged: u64,
    /// Segments that ended in the middle of a record.
    pub torn: u64,
    pub segments_unreadable: u64,
    /// Segments taken away, because they were too old, or had been delivered long ago, or for want of room.
    pub segments_removed: u64,
    /// Batches that could not be written.
    pub faults: u64,
}

/// Segments on a disk. Its owner has the lock.
pub(super) struct Store {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    settings: StoreSettings,
    epoch: Uuid,
    next_seq: u64,
    /// The oldest first.
    segments: VecDeque<Segment>,
    /// The last segment, while more may be written behind it.
    active: Option<Box<dyn DiskFile>>,
    /// A segment takes no more once it has so many.
    segment_bytes: u64,
    ran_s: u64,
    /// When the books were written, if what they say still holds.
    books_s: Option<u64>,
    counts: StoreCounts,
}

/// Opens what is there as an owner does, damaged or not, and closes it again. The number that would come next, and what
/// was found wrong.
///
/// # Errors
///
/// When the directory cannot be read.
pub fn reopen(directory: &Path, settings: &StoreSettings) -> io::Result<(u64, StoreCounts)> {
    let store = Store::open(Arc::new(disk::HostDisk), directory, settings)?;
    Ok((store.next_seq(), store.counts()))
}

/// A segment that was taken away.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Removed {
    pub(super) last_seq: u64,
    /// Of the records in it that not every sink has.
    pub(super) seqs: Vec<u64>,
}

impl Store {
    /// Opens what is there. A disk that cannot be written is found out later.
    pub(super) fn open(
        disk: Arc<dyn Disk>,
        directory: &Path,
        settings: &StoreSettings,
    ) -> io::Result<Self> {
        disk.create_directory(directory)?;
        // A new directory lasts when its name does. Where this fails, so will the first record.
        for above in directory.ancestors().skip(1).take(2) {
            drop(disk.sync_directory(above));
        }
        let mut counts = StoreCounts::default();
        let recovered = recovery::recover(&*disk, directory, &mut counts)?;
        let names = disk.list(directory)?;
        let cursors = cursor::sinks(&names)
            .filter_map(|sink| Cursor::load(&*disk, directory, sink).ok().flatten());
        let delivered = cursors.map(|cursor| cursor.seq).max().unwrap_or(0);
        let last = recovered.segments.back();
        let active = last
            .filter(|last| recovered.last_is_clean && last.bytes < SEGMENT_BYTES)
            .and_then(|last| disk.open(&directory.join(last.file_name())).ok());
        let mut store = Self {
            directory: directory.to_owned(),
            settings: *settings,
            epoch: recovered.epoch.unwrap_or_else(Uuid::new_v4),
            next_seq: recovered.next_seq.max(delivered + 1),
            segments: recovered.segments,
            active,
            segment_bytes: SEGMENT_BYTES,
            ran_s: recovered.ran_s,
            books_s: None,
            counts,
            disk,
        };
        // Where this fails, the next run begins another epoch.
        drop(store.save_books());
        Ok(store)
    }

    pub(super) fn epoch(&self) -> Uuid {
        self.epoch
    }

    /// The number of the record that comes next.
    pub(super) fn next_seq(&self) -> u64 {
        self.next_seq
    }

    pub(super) fn segments(&self) -> impl Iterator<Item = &Segment> {
        self.segments.iter()
    }

    pub(super) fn counts(&self) -> StoreCounts {
        self.counts
    }

    /// Time goes on: so many seconds since the last call.
    pub(super) fn advance(&mut self, seconds: u64) {
        self.ran_s += seconds;
        let is_old = |last: &Segment| self.ran_s - last.begun_s.min(self.ran_s) >= self.part_s();
        if self.segments.back().is_some_and(is_old) {
            self.active = None;
        }
    }

    fn part_s(&self) -> u64 {
        let StoreSettings {
            max_age_s,
            keep_delivered_s,
            max_bytes: _,
        } = self.settings;
        let part_s = max_age_s.min(keep_delivered_s) / PARTS_OF_AGE;
        // A segment for each heartbeat would reach the bound on segments long before that on age.
        part_s.max(max_age_s / PARTS_OF_AGE_MAX).max(1)
    }

    /// Makes the records last, all or none. Their numbers rise, and are larger than any before.
    pub(super) fn append(&mut self, records: &[Arc<Record>], epoch: Uuid) -> io::Result<()> {
        let (Some(first), Some(last)) = (records.first(), records.last()) else {
            return Ok(());
        };
        let mut bytes = Vec::new();
        for record in records {
            record.encode(&mut bytes);
        }
        let written = self.write(first.seq, &bytes);
        if written.is_err() {
            self.counts.faults += 1;
            self.give_up_active();
        }
        written?;
        if let Some(segment) = self.segments.back_mut() {
            segment.bytes += bytes.len() as u64;
            segment.records += records.len() as u64;
            segment.last_seq = last.seq;
        }
        self.next_seq = last.seq + 1;
        if self.epoch != epoch {
            self.epoch = epoch;
            self.books_s = None;
        }
        Ok(())
    }

    fn write(&mut self, first_seq: u64, bytes: &[u8]) -> io::Result<()> {
        if self
            .segments
            .back()
            .is_some_and(|last| last.bytes >= self.segment_bytes)
        {
            self.active = None;
        }
        let mut file = match self.active.take() {
            Some(file) => file,
            None => self.begin_segment(first_seq)?,
        };
        let written = file.append(bytes).and_then(|()| file.sync());
        self.active = Some(file);
        written
    }

    fn begin_segment(&mut self, first_seq: u64) -> io::Result<Box<dyn DiskFile>> {
        // Somebody may have taken it away.
        self.disk.create_directory(&self.directory)?;
        if let Some(last) = self.segments.back().filter(|last| last.records == 0) {
            disk::remove(&*self.disk, &self.directory.join(last.file_name()))?;
            self.segments.pop_back();
        }
        let segment = Segment::new(first_seq, self.ran_s);
        let path = self.directory.join(segment.file_name());
        // Left by a try that came no further: nothing in it was ever acknowledged.
        disk::remove(&*self.disk, &path)?;
        let file = self.disk.create_new(&path)?;
        self.disk.sync_directory(&self.directory)?;
        self.segments.push_back(segment);
        self.books_s = None;
        Ok(file)
    }

    /// What was written last may stand there or not. The next records go elsewhere, so that nothing is written behind
    /// a torn one.
    fn give_up_active(&mut self) {
        let (Some(mut file), Some(last)) = (self.active.take(), self.segments.back()) else {
            return;
        };
        // Where this fails too, a record stands in two segments, under one number: it counts once.
        drop(file.cut(last.bytes).and_then(|()| file.sync()));
    }

    /// Whether the oldest segment has to go, when every sink has all records up to `delivered`. `needs_room`: the
    /// disk is full, and what has been delivered is kept for convenience only.
    pub(super) fn is_overdue(&self, delivered: u64, needs_room: bool) -> bool {
        let (Some(oldest), Some(next)) = (self.segments.front(), self.segments.get(1)) else {
            return false;
        };
        let age_s = self.ran_s.saturating_sub(next.begun_s);
        let bytes: u64 = self.segments.iter().map(|segment| segment.bytes).sum();
        let is_kept = age_s < self.settings.keep_delivered_s && !needs_room;
        bytes > self.settings.max_bytes
            || self.segments.len() > SEGMENTS_MAX
            || age_s >= self.settings.max_age_s
            || (oldest.last_seq <= delivered && !is_kept)
    }

    /// Takes the oldest segment away.
    pub(super) fn remove_oldest(&mut self, delivered: u64) -> io::Result<Option<Removed>> {
        let Some(oldest) = self.segments.front() else {
            return Ok(None);
        };
        let path = self.directory.join(oldest.file_name());
        let seqs = if oldest.last_seq > delivered {
            match self.disk.read(&path, READ_BYTES_MAX) {
                Ok(bytes) => {
                    let contents = record::read(&bytes, delivered);
                    contents.records.iter().map(|record| record.seq).collect()
                }
                // What cannot be read is lost all the same: each number that may have been in it.
                Err(_) => (oldest.first_seq.max(delivered + 1)..=oldest.last_seq).collect(),
            }
        } else {
            Vec::new()
        };
        let removed = Removed {
            last_seq: oldest.last_seq,
            seqs,
        };
        disk::remove(&*self.disk, &path)?;
        self.segments.pop_front();
        self.counts.segments_removed += 1;
        self.books_s = None;
        Ok(Some(removed))
    }

    /// Writes the books if they have changed, or are old.
    pub(super) fn save_books(&mut self) -> io::Result<()> {
        let is_fresh = |books_s: u64| self.ran_s - books_s < BOOKS_INTERVAL_S;
        if self.books_s.is_some_and(is_fresh) {
            return Ok(());
        }
        Books::new(self.epoch, self.ran_s, self.segments.iter())
            .save(&*self.disk, &self.directory)?;
        self.books_s = Some(self.ran_s);
        Ok(())
    }
}

/// The records of a segment that are newer than `after`, and how many lines are none.
pub(super) fn read_segment(
    disk: &dyn Disk,
    directory: &Path,
    segment: &Segment,
    after: u64,
) -> io::Result<(Vec<Record>, u64)> {
    let bytes = disk.read(&directory.join(segment.file_name()), READ_BYTES_MAX)?;
    let whole = bytes.len().min(segment.bytes as usize);
    let mut contents = record::read(&bytes[..whole], after);
    let known = |record: &Record| record.seq <= segment.last_seq;
    contents.records.retain(known);
    Ok((contents.records, contents.damaged))
}

#[cfg(test)]
mod tests;
