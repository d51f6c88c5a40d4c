//! Between the thread that owns the store and those of the sinks: what is there for whom.
//!
//! The newest records stand in memory, so that a sink which keeps up never reads the disk; one that fell behind
//! reads segments. While the disk takes nothing, records are held in memory, 1000 at most, and go out from there.

mod state;

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::notices::Notices;
use super::store::cursor::Cursor;
use super::store::disk::Disk;
use super::store::owner::Owner;
use super::store::record::{JSON_BYTES_MAX, Record};
use super::store::{Removed, Segment, read_segment};
use state::{Reader, Stage, State};

/// What is stored at once.
const COMMIT_RECORDS_MAX: usize = 64;
/// What a sink gets at once. Some wait a second for an acknowledgement, so it is not few.
const BATCH_RECORDS_MAX: usize = 1000;
const BATCH_BYTES_MAX: usize = 1 << 20;
/// Between two tries to save what is not stored, while the agent stops and little time is left.
const RETRY_AFTER_WHILE_CLOSING: Duration = Duration::from_millis(100);
/// A segment that cannot be read is passed over after so many tries, some five minutes: a disk or a table of open
/// files that fails for a while costs nothing.
const READ_ATTEMPTS: u32 = 10;
/// The pause after the first failure; it doubles up to a minute.
const READ_RETRY_AFTER: Duration = Duration::from_secs(1);
const READ_RETRY_MAX: Duration = Duration::from_secs(60);

/// How long a sink that can be left may still wait for its receiver when the agent stops.
const LEFT_AFTER: Duration = Duration::from_millis(500);

/// The directory of a store, and the right to write there.
pub(super) struct Place {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) directory: PathBuf,
    /// Held for as long as anybody may write.
    pub(super) owner: Mutex<Option<Owner>>,
}

pub(super) struct Feed {
    /// `None` when nothing is stored.
    pub(super) place: Option<Place>,
    state: Mutex<State>,
    changed: Condvar,
    notices: Mutex<Notices>,
    /// For each sink, who saves its cursor: two at once would use one temporary name.
    saving: Vec<Mutex<()>>,
}

/// What became of records that could not be stored at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct HeldCounts {
    /// Held in memory alone at present.
    pub(super) held: u64,
    /// Of those, the ones that some sink does not have.
    pub(super) undelivered: u64,
    /// Found no room, and are lost.
    pub(super) refused: u64,
    /// Were delivered to every sink and gave way before the disk took them.
    pub(super) unstored: u64,
    /// Of what is stored, in bytes.
    pub(super) bytes: u64,
}

/// What a sink read from the disk.
#[derive(Default)]
pub(super) struct ReadAhead {
    records: VecDeque<Record>,
    /// The segment, and the damaged lines in it that are counted.
    counted: Option<(Segment, u64)>,
    failures: u32,
}

impl Feed {
    /// Each sink's cursor, and whether the agent may stop while it delivers; `next_seq` is the number of the record that
    /// comes next.
    pub(super) fn new(
        place: Option<Place>,
        cursors: Vec<(Cursor, bool)>,
        segments: Vec<Segment>,
        next_seq: u64,
    ) -> Self {
        let saving = cursors.iter().map(|_| Mutex::default()).collect();
        let readers = cursors.into_iter().map(|(cursor, can_be_left)| Reader {
            cursor,
            is_over: false,
            can_be_left,
        });
        Self {
            place,
            state: Mutex::new(State {
                stored_seq: next_seq - 1,
                visible_seq: next_seq - 1,
                segments,
                readers: readers.collect(),
                ..State::default()
            }),
            changed: Condvar::new(),
            notices: Mutex::default(),
            saving,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that holds it can fail half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a record that is not stored yet. One that finds no room is counted; its number stays unused, so that
    /// whoever reads sees the gap.
    pub(super) fn hold(&self, record: Record) {
        let mut state = self.lock();
        let bytes = record.json.len();
        while state.is_full(bytes) && state.let_go() {}
        if state.is_full(bytes) || bytes > JSON_BYTES_MAX || record.json.contains(&b'\n') {
            state.counts.refused += 1;
            return;
        }
        state.held += 1;
        state.held_bytes += bytes;
        state.recent.push_back(Arc::new(record));
    }

    /// Takes back what is held and has not been shown to a sink; its numbers, in order.
    pub(super) fn take_back(&self) -> Vec<u64> {
        let mut state = self.lock();
        let visible = state.visible_seq;
        let mut seqs = Vec::new();
        while let Some(last) = state.recent.pop_back_if(|last| last.seq > visible) {
            state.held -= 1;
            state.held_bytes -= last.json.len();
            seqs.push(last.seq);
        }
        seqs.reverse();
        seqs
    }

    /// The next records to be stored, one batch of them.
    pub(super) fn held(&self) -> Vec<Arc<Record>> {
        let state = self.lock();
        let held = state.recent.iter().skip(state.recent.len() - state.held);
        let mut bytes = 0;
        let batch = held.take(COMMIT_RECORDS_MAX).take_while(|record| {
            let fits = bytes < BATCH_BYTES_MAX;
            bytes += record.json.len();
            fits
        });
        batch.cloned().collect()
    }

    /// The first `records` of those that were held are stored, up to that number.
    pub(super) fn stored(&self, records: usize, seq: u64, segments: Vec<Segment>) {
        let mut state = self.lock();
        let from = state.recent.len() - state.held;
        let bytes: usize = state
            .recent
            .range(from..from + records)
            .map(|record| record.json.len())
            .sum();
        state.held -= records;
        state.held_bytes -= bytes;
        state.stored_bytes += bytes;
        state.stored_seq = state.stored_seq.max(seq);
        state.visible_seq = state.visible_seq.max(seq);
        state.segments = segments;
        state.trim();
        self.changed.notify_all();
    }

    /// What is held may go out though it is not stored.
    pub(super) fn show_up_to(&self, seq: u64) {
        let mut state = self.lock();
        state.visible_seq = state.visible_seq.max(seq);
        self.changed.notify_all();
    }

    /// Up to this number every sink has every record.
    pub(super) fn delivered_seq(&self) -> u64 {
        self.lock().delivered_seq()
    }

    /// A segment is gone. What of it a sink did not have is dropped, and that is said.
    pub(super) fn removed(&self, removed: &Removed, segments: Vec<Segment>) {
        let mut state = self.lock();
        state.segments = segments;
        let mut touched = Vec::new();
        for (index, Reader { cursor, .. }) in state.readers.iter_mut().enumerate() {
            let lost = removed.seqs.iter().filter(|seq| **seq > cursor.seq);
            let lost: Vec<u64> = lost.copied().collect();
            let (Some(first), Some(last)) = (lost.first(), lost.last()) else {
                continue;
            };
            let records = lost.len() as u64;
            cursor.drop_records(*first, *last, records);
            let sink = &cursor.sink;
            self.notices().dropped(sink, *first, *last, records);
            tracing::error!(
                sink,
                records,
                first,
                last,
                "alerts dropped: the store's bounds"
            );
            touched.push(index);
        }
        drop(state);
        for index in touched {
            self.save_cursor(index);
        }
    }

    /// Writes a cursor down; where that fails, its sink may get some records twice after a restart.
    fn save_cursor(&self, index: usize) {
        let Some(place) = &self.place else { return };
        let _one_at_a_time = self.saving[index]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let cursor = self.lock().readers[index].cursor.clone();
        if let Err(error) = cursor.save(&*place.disk, &place.directory) {
            let sink = cursor.sink;
            tracing::debug!(sink, %error, "how far it is cannot be written");
        }
    }

    /// Waits for the records that come next for a sink. `None` when there will be none.
    pub(super) fn next(&self, index: usize, ahead: &mut ReadAhead) -> Option<Vec<Record>> {
        let mut state = self.lock();
        loop {
            let waits = |state: &mut State| {
                state.visible_seq <= state.readers[index].cursor.seq && state.stage == Stage::Open
            };
            state = self
                .changed
                .wait_while(state, waits)
                .unwrap_or_else(PoisonError::into_inner);
            let after = state.readers[index].cursor.seq;
            if state.stage == Stage::Ended || state.visible_seq <= after {
                return None;
            }
            let Some(segment) = state.segment_after(after) else {
                let batch = state.recent_after(after);
                if !batch.is_empty() {
                    return Some(batch);
                }
                // Numbers that found no room; the next run must not give them again.
                state.readers[index].cursor.seq = state.visible_seq;
                drop(state);
                self.save_cursor(index);
                state = self.lock();
                continue;
            };
            drop(state);
            let batch = self.read(index, &segment, after, ahead)?;
            if !batch.is_empty() {
                return Some(batch);
            }
            state = self.lock();
        }
    }

    /// A batch from the disk; empty when there is nothing in that segment, or it could not be read now. `None` when
    /// that is not to be tried again in this run. What was read stays ahead until the cursor is behind it.
    fn read(
        &self,
        index: usize,
        segment: &Segment,
        after: u64,
        ahead: &mut ReadAhead,
    ) -> Option<Vec<Record>> {
        while ahead
            .records
            .pop_front_if(|record| record.seq <= after)
            .is_some()
        {}
        if ahead.records.is_empty() {
            match self.read_ahead(segment, after, ahead) {
                Ok(damaged) => {
                    ahead.failures = 0;
                    let mut state = self.lock();
                    let cursor = &mut state.readers[index].cursor;
                    cursor.damaged += damaged;
                    if ahead.records.is_empty() {
                        cursor.seq = cursor.seq.max(segment.last_seq);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    // Taken away a moment ago, and not counted yet; or by somebody else.
                    let mut state = self.lock();
                    let cursor = &mut state.readers[index].cursor;
                    let first = segment.first_seq.max(cursor.seq + 1);
                    let lost = (segment.last_seq + 1).saturating_sub(first);
                    cursor.drop_records(first, segment.last_seq, lost);
                    let sink = cursor.sink.clone();
                    tracing::error!(
                        sink,
                        segment = segment.file_name(),
                        lost,
                        "it is not there any more"
                    );
                    self.notices().dropped(&sink, first, segment.last_seq, lost);
                }
                Err(error) if ahead.failures + 1 < READ_ATTEMPTS => {
                    let doubled = READ_RETRY_AFTER * (1 << ahead.failures);
                    ahead.failures += 1;
                    tracing::warn!(segment = segment.file_name(), %error, "cannot be read, trying again");
                    let generation = self.generation();
                    if !self.pause(doubled.min(READ_RETRY_MAX), generation) {
                        return None;
                    }
                }
                Err(error) => {
                    ahead.failures = 0;
                    let mut state = self.lock();
                    let cursor = &mut state.readers[index].cursor;
                    let lost = segment.last_seq.saturating_sub(cursor.seq);
                    tracing::error!(segment = segment.file_name(), %error, lost, "cannot be read: passed over");
                    cursor.damaged += lost;
                    let first = cursor.seq + 1;
                    cursor.seq = cursor.seq.max(segment.last_seq);
                    let sink = cursor.sink.clone();
                    self.notices().dropped(&sink, first, segment.last_seq, lost);
                }
            }
        }
        let mut bytes = 0;
        let batch = ahead.records.iter().take(BATCH_RECORDS_MAX);
        let batch = batch.take_while(|record| {
            let fits = bytes < BATCH_BYTES_MAX;
            bytes += record.json.len();
            fits
        });
        Some(batch.cloned().collect())
    }

    /// The number of damaged lines that were not counted before.
    fn read_ahead(&self, segment: &Segment, after: u64, ahead: &mut ReadAhead) -> io::Result<u64> {
        let Some(place) = &self.place else {
            return Ok(0);
        };
        let (records, damaged) = read_segment(&*place.disk, &place.directory, segment, after)?;
        let before = ahead
            .counted
            .filter(|(counted, _)| counted.file_name() == segment.file_name())
            .map_or(0, |(_, damaged)| damaged);
        ahead.records = records.into();
        ahead.counted = Some((*segment, damaged));
        Ok(damaged.saturating_sub(before))
    }

    /// `delivered` are a sink's for good, and are the first that it was to get. What it does not get any more goes the
    /// same way, as `dead_letters`.
    pub(super) fn settle(
        &self,
        index: usize,
        delivered: &[Record],
        dead_letters: &[Record],
        trouble: Option<String>,
    ) {
        let mut state = self.lock();
        let cursor = &mut state.readers[index].cursor;
        // What was dropped meanwhile is counted there.
        let new = |records: &[Record]| {
            let is_new = |record: &&Record| record.seq > cursor.seq;
            records.iter().filter(is_new).count() as u64
        };
        let (n_delivered, n_dead_letters) = (new(delivered), new(dead_letters));
        let last = delivered
            .iter()
            .chain(dead_letters)
            .map(|record| record.seq);
        let seq = last.max().unwrap_or(0).max(cursor.seq);
        let is_changed = seq > cursor.seq || cursor.trouble != trouble;
        cursor.seq = seq;
        cursor.delivered += n_delivered;
        cursor.dead_letters += n_dead_letters;
        cursor.trouble = trouble;
        state.trim();
        drop(state);
        if is_changed {
            self.save_cursor(index);
        }
    }

    pub(super) fn notices(&self) -> MutexGuard<'_, Notices> {
        self.notices.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What sinks rest on may have changed: each reads it anew, and tries at once.
    pub(super) fn reload(&self) {
        self.lock().generation += 1;
        self.changed.notify_all();
    }

    /// Rises with each [`reload`](Self::reload).
    pub(super) fn generation(&self) -> u64 {
        self.lock().generation
    }

    /// Waits before a next try, or until the generation is another one. Whether there is to be one.
    pub(super) fn pause(&self, pause: Duration, generation: u64) -> bool {
        let wait = |pause, until| {
            let (state, _) = self
                .changed
                .wait_timeout_while(self.lock(), pause, |state| {
                    state.stage < until && state.generation == generation
                })
                .unwrap_or_else(PoisonError::into_inner);
            (state.stage, state.held > 0)
        };
        match wait(pause, Stage::Closing) {
            (Stage::Open, _) => true,
            // It is on the disk: the next run delivers it.
            (Stage::Closing, false) => false,
            _ => wait(RETRY_AFTER_WHILE_CLOSING, Stage::Ended).0 < Stage::Ended,
        }
    }

    /// A sink's thread has ended.
    pub(super) fn end_of(&self, index: usize) {
        self.lock().readers[index].is_over = true;
        self.changed.notify_all();
    }

    /// Lets every sink have what it can, for `deadline` at most, and ends. Whether each is at its end. One that waits for
    /// its receiver is left after a moment when everything is stored: the next run goes on where it was.
    pub(super) fn close(&self, deadline: Duration) -> bool {
        let mut state = self.lock();
        state.stage = state.stage.max(Stage::Closing);
        self.changed.notify_all();
        let moment = deadline.min(LEFT_AFTER);
        let (state, _) = self
            .changed
            .wait_timeout_while(state, moment, |state| !state.are_over(|_| true))
            .unwrap_or_else(PoisonError::into_inner);
        let is_stored = self.place.is_some() && state.held == 0;
        let is_awaited = |reader: &Reader| !(is_stored && reader.can_be_left);
        let (mut state, _) = self
            .changed
            .wait_timeout_while(state, deadline - moment, |state| {
                !state.are_over(is_awaited)
            })
            .unwrap_or_else(PoisonError::into_inner);
        state.stage = Stage::Ended;
        self.changed.notify_all();
        state.are_over(|_| true)
    }

    /// Gives the store up for the next owner; nobody writes any more.
    pub(super) fn release(&self) {
        if let Some(place) = &self.place {
            drop(place.owner.lock().map(|mut owner| owner.take()));
        }
    }

    pub(super) fn counts(&self) -> HeldCounts {
        let state = self.lock();
        let delivered = state.delivered_seq();
        let held = state.recent.iter().skip(state.recent.len() - state.held);
        HeldCounts {
            held: state.held as u64,
            undelivered: held.filter(|record| record.seq > delivered).count() as u64,
            bytes: state.segments.iter().map(Segment::bytes).sum(),
            ..state.counts
        }
    }

    /// How far each sink is, and the newest number that it could have.
    pub(super) fn cursors(&self) -> (Vec<Cursor>, u64) {
        let state = self.lock();
        let cursors = state.readers.iter().map(|reader| reader.cursor.clone());
        (cursors.collect(), state.visible_seq)
    }
}
