//! Execs by their number, where not each can be told apart.

use std::collections::{BTreeMap, VecDeque};
use std::mem;

use uuid::Uuid;

use super::hit::Hit;
use crate::pipeline::exec::Time;
use crate::pipeline::filter::Fits;

/// Guids of unlisted execs that are remembered, so that one delivered twice counts once. Both
/// deliveries come within [`LATENESS_NS`](super::window::LATENESS_NS).
const GUIDS_REMEMBERED: usize = 256;

/// Slices kept. A group that waits has those of one span, and of
/// [`LATENESS_NS`](super::window::LATENESS_NS), which is 64 more when the span is a second. Beyond
/// these the oldest are joined.
const SLICES_MAX: usize = 256;

/// What is known of some execs taken together, at least one.
#[derive(Clone, Debug)]
pub struct Tally {
    pub count: u64,
    pub truncated: u64,
    pub faults: u64,
    /// Those whose command line was not listed, or is no longer.
    pub texts_omitted: u64,
    pub first: First,
    /// The latest moment of them.
    pub last_at: u64,
    /// The filters that fit all of their command lines.
    pub fits: Fits,
}

/// The earliest of some execs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct First {
    pub at: u64,
    pub guid: Uuid,
    pub time: Time,
}

impl Tally {
    /// One exec, its command line listed.
    pub fn of(hit: &Hit) -> Self {
        Self {
            count: 1,
            truncated: hit.truncated.into(),
            faults: hit.fault.into(),
            texts_omitted: 0,
            first: First {
                at: hit.at,
                guid: hit.evidence.guid,
                time: hit.evidence.time,
            },
            last_at: hit.at,
            fits: hit.fits.clone(),
        }
    }

    pub fn add(&mut self, other: &Self) {
        self.count += other.count;
        self.truncated += other.truncated;
        self.faults += other.faults;
        self.texts_omitted += other.texts_omitted;
        self.first = self.first.min(other.first);
        self.last_at = self.last_at.max(other.last_at);
        self.fits.and(&other.fits);
    }
}

/// The execs of a group that are beyond its list: tallied by slices of time, so that those which
/// leave the window can be taken off. A slice leaves as a whole, when its latest exec does.
#[derive(Clone, Debug)]
pub struct Unlisted {
    slice_ns: u64,
    /// By the number of the slice.
    slices: BTreeMap<u64, Tally>,
    guids: VecDeque<Uuid>,
}

impl Unlisted {
    pub fn new(slice_ns: u64) -> Self {
        Self {
            slice_ns,
            slices: BTreeMap::new(),
            guids: VecDeque::new(),
        }
    }

    /// Counts one exec.
    pub fn add(&mut self, exec: &Tally) {
        self.guids.push_back(exec.first.guid);
        if self.guids.len() > GUIDS_REMEMBERED {
            self.guids.pop_front();
        }
        self.add_to_slice(exec);
    }

    pub fn remembers(&self, guid: &Uuid) -> bool {
        self.guids.contains(guid)
    }

    pub fn tallies(&self) -> impl Iterator<Item = &Tally> {
        self.slices.values()
    }

    pub fn forget(&mut self, gone: impl Fn(u64) -> bool) {
        self.slices.retain(|_, tally| !gone(tally.last_at));
    }

    /// None of these will leave any more: only their sum is kept.
    pub fn settle(&mut self) {
        self.slice_ns = u64::MAX;
        for tally in mem::take(&mut self.slices).into_values() {
            self.add_to_slice(&tally);
        }
    }

    /// Memory it takes, itself not included.
    pub fn bytes(&self) -> usize {
        // Slices come in order, which leaves the nodes of a tree half full.
        2 * self.slices.len() * size_of::<(u64, Tally)>()
            + self.guids.capacity() * size_of::<Uuid>()
    }

    pub fn is_settled(&self) -> bool {
        self.slice_ns == u64::MAX
    }

    /// The list of command lines was given up.
    pub fn omit_texts(&mut self) {
        for tally in self.slices.values_mut() {
            tally.texts_omitted = tally.count;
        }
    }

    pub fn absorb(&mut self, other: Self) {
        for tally in other.slices.into_values() {
            self.add_to_slice(&tally);
        }
        self.guids.extend(other.guids);
        let n_surplus = self.guids.len().saturating_sub(GUIDS_REMEMBERED);
        self.guids.drain(..n_surplus);
    }

    fn add_to_slice(&mut self, tally: &Tally) {
        self.slices
            .entry(tally.last_at / self.slice_ns)
            .and_modify(|sum| sum.add(tally))
            .or_insert_with(|| tally.clone());
        if self.slices.len() > SLICES_MAX {
            self.join_oldest();
        }
    }

    fn join_oldest(&mut self) {
        if let Some((_, oldest)) = self.slices.pop_first()
            && let Some(mut second) = self.slices.first_entry()
        {
            second.get_mut().add(&oldest);
        }
    }
}
