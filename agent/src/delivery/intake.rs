//! The thread that owns the store: gives each line its number, stores it, and lets the sinks have it.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use uuid::Uuid;

use crate::pipeline::exec::Time;

use super::encode::json::stamped;
use super::feed::Feed;
use super::queue::{AppendError, Log};
use super::store::record::Record;
use super::store::{Segment, Store, StoreCounts};

/// Whoever owns the clocks hands them over like this.
pub type Clock = fn() -> Time;

const SECOND_NS: u64 = 1_000_000_000;
/// Time that passes for the store from one look at it to the next, which are a second apart.
const STEP_S_MAX: u64 = 60;
/// So many records within a second are a storm: from then on a batch waits for company.
const STORM_RECORDS: usize = 64;
const COMPANY_MAX: Duration = Duration::from_millis(20);
/// Segments that are taken away at once; the others wait for a second.
const REMOVED_AT_ONCE_MAX: usize = 64;

/// What can be said of the store from outside its thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StoreState {
    pub(super) epoch: Uuid,
    /// The last number given.
    pub(super) seq: u64,
    pub(super) degraded: bool,
    pub(super) counts: StoreCounts,
}

pub(super) struct Intake {
    feed: Arc<Feed>,
    /// `None` when there is no place for one: everything is held in memory.
    store: Option<Store>,
    clock: Clock,
    epoch: Uuid,
    next_seq: u64,
    /// The disk takes nothing at present.
    degraded: bool,
    /// Up to when the store has been told that time goes on.
    told_ns: u64,
    storm: Storm,
    told_state: Arc<Mutex<StoreState>>,
    turns: Arc<AtomicU64>,
}

/// Records in the second that runs.
#[derive(Default)]
struct Storm {
    since_ns: u64,
    records: usize,
}

impl Intake {
    pub(super) fn new(feed: Arc<Feed>, store: Option<Store>, clock: Clock) -> Self {
        let epoch = store.as_ref().map_or_else(Uuid::new_v4, Store::epoch);
        let next_seq = store.as_ref().map_or(1, Store::next_seq);
        let state = StoreState {
            epoch,
            seq: next_seq - 1,
            degraded: false,
            counts: store.as_ref().map(Store::counts).unwrap_or_default(),
        };
        Self {
            feed,
            store,
            clock,
            epoch,
            next_seq,
            degraded: false,
            told_ns: clock().boot_ns,
            storm: Storm::default(),
            told_state: Arc::new(Mutex::new(state)),
            turns: Arc::default(),
        }
    }

    /// Rises at least once a second while the intake's thread goes on: when it waits for the disk or has ended, it
    /// stays.
    pub(super) fn turns(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.turns)
    }

    /// Stays up to date when the intake has gone to its thread.
    pub(super) fn state(&self) -> Arc<Mutex<StoreState>> {
        Arc::clone(&self.told_state)
    }

    fn hold(&self, seq: u64, line: &[u8]) {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let json = stamped(line, self.epoch, seq);
        self.feed.hold(Record { seq, json });
    }

    /// Stores what is held.
    fn commit(&mut self) -> io::Result<()> {
        let Some(store) = &mut self.store else {
            self.feed.show_up_to(self.next_seq - 1);
            return Ok(());
        };
        loop {
            let held = self.feed.held();
            let Some(last) = held.last() else {
                break;
            };
            let seq = last.seq;
            while let Err(error) = store.append(&held, self.epoch) {
                // One at a time: what has been delivered is kept for as long as there is room.
                if !is_full(&error) || !remove_overdue(store, &self.feed, true, 1) {
                    return Err(error);
                }
            }
            self.feed.stored(held.len(), seq, segments(store));
        }
        // Numbers that found no room are passed over.
        self.feed.show_up_to(self.next_seq - 1);
        Ok(())
    }

    /// From here on alerts go out before they are stored. If the agent dies now, the next one does not know their
    /// numbers: so they get another epoch.
    fn degrade(&mut self, error: &io::Error, lines: &[Vec<u8>]) {
        tracing::error!(%error, "the store takes nothing: alerts are held in memory, and delivered from there");
        self.degraded = true;
        self.epoch = Uuid::new_v4();
        // Those that were stored before the failure keep their epoch.
        let first_seq = self.next_seq - lines.len() as u64;
        for seq in self.feed.take_back() {
            if let Some(line) = lines.get((seq - first_seq) as usize) {
                self.hold(seq, line);
            }
        }
        self.feed.show_up_to(self.next_seq - 1);
    }

    fn retry(&mut self) {
        match self.commit() {
            Ok(()) => {
                self.degraded = false;
                tracing::info!("the store takes alerts again, and has those that were held");
            }
            Err(error) => tracing::debug!(%error, "the store still takes nothing"),
        }
    }

    /// What is done about once a second.
    fn keep_house(&mut self, seconds: u64) {
        if self.degraded {
            self.retry();
        }
        let Some(store) = &mut self.store else {
            return;
        };
        // A host that slept is not an agent that ran.
        store.advance(seconds.min(STEP_S_MAX));
        remove_overdue(store, &self.feed, false, REMOVED_AT_ONCE_MAX);
        if self.degraded {
            // The books would bind the next run to an epoch of which it does not know all numbers.
            return;
        }
        if let Err(error) = store.save_books() {
            tracing::debug!(%error, "the store's books cannot be written");
        }
    }

    fn tell_state(&self) {
        let state = StoreState {
            epoch: self.epoch,
            seq: self.next_seq - 1,
            degraded: self.degraded,
            counts: self.store.as_ref().map(Store::counts).unwrap_or_default(),
        };
        *self
            .told_state
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = state;
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// Takes away what the bounds do not allow, `segments_max` segments at most; whether that was anything.
fn remove_overdue(store: &mut Store, feed: &Feed, needs_room: bool, segments_max: usize) -> bool {
    let mut removed_any = false;
    for _ in 0..segments_max {
        let delivered = feed.delivered_seq();
        if !store.is_overdue(delivered, needs_room) {
            break;
        }
        match store.remove_oldest(delivered) {
            Ok(Some(removed)) => {
                feed.removed(&removed, segments(store));
                removed_any = true;
            }
            Ok(None) => break,
            Err(error) => {
                tracing::warn!(%error, "an old segment of the store cannot be removed");
                break;
            }
        }
    }
    removed_any
}

fn segments(store: &Store) -> Vec<Segment> {
    store.segments().copied().collect()
}

impl Log for Intake {
    type Error = io::Error;

    fn append(&mut self, lines: &[Vec<u8>]) -> Result<(), AppendError<io::Error>> {
        for line in lines {
            self.hold(self.next_seq, line);
            self.next_seq += 1;
        }
        if self.degraded {
            self.feed.show_up_to(self.next_seq - 1);
        } else if let Err(error) = self.commit() {
            self.degrade(&error, lines);
        }
        self.storm.count(lines.len(), (self.clock)().boot_ns);
        self.tell_state();
        Ok(())
    }

    fn tick(&mut self) {
        self.turns.fetch_add(1, Ordering::Relaxed);
        let passed_ns = (self.clock)().boot_ns.saturating_sub(self.told_ns);
        if passed_ns >= SECOND_NS {
            self.told_ns += passed_ns / SECOND_NS * SECOND_NS;
            self.keep_house(passed_ns / SECOND_NS);
            self.tell_state();
        }
    }

    fn company(&self) -> Duration {
        if self.storm.is_at((self.clock)().boot_ns) {
            COMPANY_MAX
        } else {
            Duration::ZERO
        }
    }

    fn finish(&mut self) {
        if self.degraded {
            self.retry();
        }
        self.keep_house(0);
        self.tell_state();
    }
}

impl Storm {
    fn is_at(&self, now_ns: u64) -> bool {
        self.records >= STORM_RECORDS && now_ns.saturating_sub(self.since_ns) < SECOND_NS
    }

    fn count(&mut self, records: usize, now_ns: u64) {
        if now_ns.saturating_sub(self.since_ns) >= SECOND_NS {
            *self = Self {
                since_ns: now_ns,
                records: 0,
            };
        }
        self.records += records;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_is_many_records_in_a_second_and_passes() {
        let mut storm = Storm::default();
        storm.count(STORM_RECORDS - 1, SECOND_NS);
        assert!(!storm.is_at(SECOND_NS));
        storm.count(1, SECOND_NS + 1);
        assert!(storm.is_at(SECOND_NS + 1));
        assert!(!storm.is_at(2 * SECOND_NS));
        storm.count(1, 2 * SECOND_NS);
        assert!(!storm.is_at(2 * SECOND_NS));
    }
}
