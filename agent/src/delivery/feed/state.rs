//! What stands in memory, and how far everybody is.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{BATCH_BYTES_MAX, BATCH_RECORDS_MAX, HeldCounts};
use crate::delivery::store::Segment;
use crate::delivery::store::cursor::Cursor;
use crate::delivery::store::record::Record;

/// What is held while the disk takes nothing.
const HELD_RECORDS_MAX: usize = 1000;
const HELD_BYTES_MAX: usize = 16 << 20;
/// Stored records that are kept in memory for sinks which are a little behind.
const RECENT_RECORDS_MAX: usize = 256;
const RECENT_BYTES_MAX: usize = 1 << 20;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    #[default]
    Open,
    /// No more records come.
    Closing,
    /// No more records are delivered.
    Ended,
}

#[derive(Default)]
pub(super) struct State {
    /// The newest records: up to `stored_seq` they are on the disk too.
    pub(super) recent: VecDeque<Arc<Record>>,
    pub(super) stored_bytes: usize,
    pub(super) held_bytes: usize,
    /// Of the records in `recent` those that are not stored.
    pub(super) held: usize,
    /// Up to this one all are on the disk, as far as they were taken.
    pub(super) stored_seq: u64,
    /// Up to this one all may be delivered.
    pub(super) visible_seq: u64,
    pub(super) segments: Vec<Segment>,
    pub(super) readers: Vec<Reader>,
    pub(super) counts: HeldCounts,
    pub(super) stage: Stage,
    /// How often sinks were told to read anew what they rest on.
    pub(super) generation: u64,
}

pub(super) struct Reader {
    pub(super) cursor: Cursor,
    pub(super) is_over: bool,
    /// The agent may stop while it delivers.
    pub(super) can_be_left: bool,
}

impl State {
    /// Whether the threads of those sinks have ended.
    pub(super) fn are_over(&self, which: impl Fn(&Reader) -> bool) -> bool {
        let mut readers = self.readers.iter().filter(|reader| which(reader));
        readers.all(|reader| reader.is_over)
    }

    pub(super) fn is_full(&self, bytes: usize) -> bool {
        self.held >= HELD_RECORDS_MAX || self.held_bytes + bytes > HELD_BYTES_MAX
    }

    /// Lets go of the oldest record that is held, if every sink has it.
    pub(super) fn let_go(&mut self) -> bool {
        self.drop_stored(0, 0);
        let delivered = self.delivered_seq();
        let Some(gone) = self.recent.pop_front_if(|oldest| oldest.seq <= delivered) else {
            return false;
        };
        self.held -= 1;
        self.held_bytes -= gone.json.len();
        self.counts.unstored += 1;
        true
    }

    pub(super) fn delivered_seq(&self) -> u64 {
        let seqs = self.readers.iter().map(|reader| reader.cursor.seq);
        seqs.min().unwrap_or(self.visible_seq)
    }

    /// Forgets what is on the disk, but for the newest.
    pub(super) fn trim(&mut self) {
        self.drop_stored(RECENT_RECORDS_MAX, RECENT_BYTES_MAX);
    }

    fn drop_stored(&mut self, records_max: usize, bytes_max: usize) {
        while self.recent.len() - self.held > records_max
            || (self.stored_bytes > bytes_max && self.recent.len() > self.held)
        {
            if let Some(oldest) = self.recent.pop_front() {
                self.stored_bytes -= oldest.json.len();
            }
        }
    }

    /// The segment in which the next record stands, where it is not in memory.
    pub(super) fn segment_after(&self, after: u64) -> Option<Segment> {
        let is_in_memory = |oldest: &Arc<Record>| oldest.seq <= after + 1;
        if self.recent.front().is_some_and(is_in_memory) {
            return None;
        }
        self.segments
            .iter()
            .find(|segment| segment.last_seq > after)
            .copied()
    }

    pub(super) fn recent_after(&self, after: u64) -> Vec<Record> {
        let mut bytes = 0;
        let newer = self
            .recent
            .iter()
            .filter(|record| record.seq > after && record.seq <= self.visible_seq);
        let batch = newer.take(BATCH_RECORDS_MAX).take_while(|record| {
            let fits = bytes < BATCH_BYTES_MAX;
            bytes += record.json.len();
            fits
        });
        batch.map(|record| (**record).clone()).collect()
    }
}
