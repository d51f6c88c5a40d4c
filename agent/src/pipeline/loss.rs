//! Execs of which there is no record: noticed by the holes in the sequence of those that came, explained by
//! what the kernel programs counted.
//!
//! Each exec program numbers what it sees on each processor. A number that does not come is a hole, whose
//! neighbours say when it was. Two rings deliver out of order, so that a hole may close again; what the
//! programs counted as given up is lost for certain. A hole that stays and that nobody counted would be a
//! fault of wallwatch itself, and is reported as such.

use std::collections::{BTreeMap, VecDeque};

use super::decode::ExecMark;

/// Holes that are remembered for each program and processor. Beyond it the two oldest become one.
const HOLES_MAX: usize = 64;

/// How long after one loss was told the next is told: a storm that goes on is one event each time, not a
/// flood of them.
const PAUSE_NS: u64 = 10_000_000_000;

/// How long a hole that nobody counted may stay open: longer than a record can be under way.
const SETTLE_NS: u64 = 2_000_000_000;

/// Why an exec has no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LossCause {
    /// The rings were full.
    RingFull,
    /// The bulk ring was nearly full, and the exec was none that may be firewall work.
    Pressure,
    /// The execs of its cgroup and session held half of the ring.
    Share,
    /// The processor has no buffer in which to make a record.
    NoScratch,
    /// The kernel did not run the program, which was already running on that processor.
    Skipped,
    /// The record could not be decoded.
    Undecoded,
    /// It was seen, nobody counted it as lost, and it did not come.
    Unexplained,
}

impl LossCause {
    pub const COUNT: usize = 7;

    pub const ALL: [Self; Self::COUNT] = [
        Self::RingFull,
        Self::Pressure,
        Self::Share,
        Self::NoScratch,
        Self::Skipped,
        Self::Undecoded,
        Self::Unexplained,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::RingFull => "ring-full",
            Self::Pressure => "pressure",
            Self::Share => "share",
            Self::NoScratch => "no-scratch",
            Self::Skipped => "skipped",
            Self::Undecoded => "undecoded",
            Self::Unexplained => "unexplained",
        }
    }

    /// Whether what was lost to it was numbered before.
    fn leaves_hole(self) -> bool {
        match self {
            Self::RingFull | Self::Pressure | Self::Share | Self::NoScratch => true,
            Self::Skipped | Self::Undecoded | Self::Unexplained => false,
        }
    }
}

/// Execs lost, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses([u64; LossCause::COUNT]);

impl Losses {
    pub fn get(&self, cause: LossCause) -> u64 {
        self.0[cause as usize]
    }

    pub fn set(&mut self, cause: LossCause, execs: u64) {
        self.0[cause as usize] = execs;
    }

    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// What came on top of `before`.
    pub fn since(&self, before: &Self) -> Self {
        let mut since = Self::default();
        for cause in LossCause::ALL {
            since.set(cause, self.get(cause).saturating_sub(before.get(cause)));
        }
        since
    }

    /// Those of which there are some.
    pub fn causes(&self) -> impl Iterator<Item = (LossCause, u64)> {
        LossCause::ALL
            .into_iter()
            .map(|cause| (cause, self.get(cause)))
            .filter(|&(_, execs)| execs > 0)
    }
}

/// Execs lost in one stretch of boot time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Before the first that was lost: the last record that came, or the last time nothing was missing.
    pub from_ns: u64,
    /// After the last that was lost.
    pub to_ns: u64,
    pub losses: Losses,
}

/// Numbers that did not come.
#[derive(Clone, Copy, Debug)]
struct Hole {
    /// The first and the last of them.
    first: u64,
    last: u64,
    /// How many are still missing; some in between may have come late.
    missing: u64,
    from_ns: u64,
    to_ns: u64,
    /// It has been told; a late number may fill it all the same.
    reported: bool,
}

/// What came from one program on one processor.
#[derive(Debug, Default)]
struct Sequence {
    /// The highest number that came, and its time.
    last: u64,
    last_ns: u64,
    holes: VecDeque<Hole>,
}

/// Keeps the sequences, and compares them with the counters.
#[derive(Debug, Default)]
pub struct LossTracker {
    sequences: BTreeMap<(u8, u16), Sequence>,
    /// Numbers missing, in all holes there ever were.
    missing: u64,
    reported: Losses,
    /// When nothing was missing any more, or what was had been reported.
    settled_ns: u64,
    /// When a loss was last told.
    told_ns: Option<u64>,
    /// Since when more is missing than was counted.
    unexplained_since_ns: Option<u64>,
}

impl LossTracker {
    /// A record came.
    pub fn handle_mark(&mut self, mark: ExecMark) {
        let sequence = self.sequences.entry((mark.lane, mark.cpu)).or_default();
        if mark.sequence <= sequence.last {
            self.missing -= sequence.fill(mark.sequence);
            return;
        }
        let missing = mark.sequence - sequence.last - 1;
        if missing > 0 {
            sequence.open(Hole {
                first: sequence.last + 1,
                last: mark.sequence - 1,
                missing,
                from_ns: sequence.last_ns,
                to_ns: mark.boot_ns,
                reported: false,
            });
            self.missing += missing;
        }
        sequence.last = mark.sequence;
        sequence.last_ns = mark.boot_ns;
    }

    /// Compares with what was counted as lost since the start. `Some` when there is something that was not
    /// told yet, and the last was told long enough ago.
    pub fn handle_counted(&mut self, counted: Losses, now_ns: u64) -> Option<Loss> {
        let unexplained = self.unexplained(&counted, now_ns);
        let pauses = self
            .told_ns
            .is_some_and(|told_ns| now_ns.saturating_sub(told_ns) < PAUSE_NS);
        if pauses {
            return None;
        }
        self.tell(counted, unexplained, now_ns)
    }

    /// The same when no record will come any more: nothing is waited for.
    pub fn handle_end(&mut self, counted: Losses, now_ns: u64) -> Option<Loss> {
        let unexplained = self.missing_beyond(&counted);
        self.tell(counted, unexplained, now_ns)
    }

    fn tell(&mut self, counted: Losses, unexplained: u64, now_ns: u64) -> Option<Loss> {
        let mut losses = counted;
        losses.set(
            LossCause::Unexplained,
            self.reported.get(LossCause::Unexplained) + unexplained,
        );
        let new = losses.since(&self.reported);
        if new.total() == 0 {
            if self.missing_beyond(&counted) == 0 {
                self.settled_ns = now_ns;
            }
            return None;
        }
        let holes = || {
            let holes = self.sequences.values().flat_map(|sequence| &sequence.holes);
            holes.filter(|hole| !hole.reported)
        };
        let from_ns = holes().map(|hole| hole.from_ns).min();
        let to_ns = holes().map(|hole| hole.to_ns).max();
        let loss = Loss {
            from_ns: from_ns
                .unwrap_or(self.settled_ns)
                .max(self.settled_ns)
                .min(now_ns),
            // What was lost last has no successor yet.
            to_ns: if new.get(LossCause::Unexplained) == new.total() {
                to_ns.unwrap_or(now_ns)
            } else {
                now_ns
            },
            losses: new,
        };
        self.reported = losses;
        self.settled_ns = now_ns;
        self.told_ns = Some(now_ns);
        self.unexplained_since_ns = None;
        for sequence in self.sequences.values_mut() {
            for hole in &mut sequence.holes {
                hole.reported = true;
            }
        }
        Some(loss)
    }

    /// Numbers that are missing and that nobody counted.
    fn missing_beyond(&self, counted: &Losses) -> u64 {
        let explained: u64 = counted
            .causes()
            .filter(|(cause, _)| cause.leaves_hole())
            .map(|(_, execs)| execs)
            .sum();
        let reported = self.reported.get(LossCause::Unexplained);
        self.missing.saturating_sub(explained + reported)
    }

    /// The same, once it has stayed so for long enough.
    fn unexplained(&mut self, counted: &Losses, now_ns: u64) -> u64 {
        let beyond = self.missing_beyond(counted);
        if beyond == 0 {
            self.unexplained_since_ns = None;
            return 0;
        }
        let since_ns = *self.unexplained_since_ns.get_or_insert(now_ns);
        if now_ns.saturating_sub(since_ns) < SETTLE_NS {
            return 0;
        }
        beyond
    }
}

impl Sequence {
    fn open(&mut self, hole: Hole) {
        self.holes.push_back(hole);
        if self.holes.len() <= HOLES_MAX {
            return;
        }
        if let Some(oldest) = self.holes.pop_front()
            && let Some(next) = self.holes.front_mut()
        {
            next.first = oldest.first;
            next.missing += oldest.missing;
            if next.reported || !oldest.reported {
                next.from_ns = oldest.from_ns;
            }
            next.reported &= oldest.reported;
        }
    }

    /// A number came late; how many holes' numbers that fills.
    fn fill(&mut self, number: u64) -> u64 {
        let hole = self
            .holes
            .iter_mut()
            .find(|hole| (hole.first..=hole.last).contains(&number) && hole.missing > 0);
        let Some(hole) = hole else {
            return 0;
        };
        hole.missing -= 1;
        self.holes.retain(|hole| hole.missing > 0);
        1
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn mark(cpu: u16, sequence: u64, boot_ns: u64) -> ExecMark {
        ExecMark {
            lane: 0,
            cpu,
            sequence,
            boot_ns,
        }
    }

    fn counted(causes: &[(LossCause, u64)]) -> Losses {
        let mut losses = Losses::default();
        for &(cause, execs) in causes {
            losses.set(cause, execs);
        }
        losses
    }

    #[test]
    fn a_hole_says_when_and_the_counters_say_why() {
        let mut tracker = LossTracker::default();
        tracker.handle_mark(mark(0, 1, 10));
        assert_eq!(tracker.handle_counted(counted(&[]), 20), None);
        tracker.handle_mark(mark(0, 2, 30));
        tracker.handle_mark(mark(0, 6, 60));
        let losses = counted(&[(LossCause::RingFull, 1), (LossCause::Share, 2)]);
        let loss = tracker.handle_counted(losses, 70).unwrap();
        assert_eq!((loss.from_ns, loss.to_ns), (30, 70));
        assert_eq!(loss.losses, losses);
        assert_eq!(
            tracker.handle_counted(losses, 80 * SECOND),
            None,
            "it is told once"
        );
    }

    #[test]
    fn what_was_lost_last_leaves_no_hole_and_is_told_all_the_same() {
        let mut tracker = LossTracker::default();
        tracker.handle_mark(mark(0, 1, 10));
        tracker.handle_counted(counted(&[]), 20);
        let losses = counted(&[(LossCause::Pressure, 5)]);
        let loss = tracker.handle_counted(losses, 90).unwrap();
        assert_eq!((loss.from_ns, loss.to_ns), (20, 90));
        // The hole shows later, and is explained already.
        tracker.handle_mark(mark(0, 7, 100));
        assert_eq!(tracker.handle_counted(losses, 9 * SECOND), None);
        assert_eq!(tracker.handle_counted(losses, 19 * SECOND), None);
    }

    #[test]
    fn a_storm_that_goes_on_is_told_now_and_then() {
        let mut tracker = LossTracker::default();
        let lost = |execs| counted(&[(LossCause::RingFull, execs)]);
        assert!(tracker.handle_counted(lost(1), SECOND).is_some());
        assert_eq!(tracker.handle_counted(lost(2), 2 * SECOND), None);
        let loss = tracker.handle_counted(lost(5), 12 * SECOND).unwrap();
        assert_eq!((loss.from_ns, loss.losses), (SECOND, lost(4)));
        let last = tracker.handle_end(lost(6), 13 * SECOND).unwrap();
        assert_eq!(last.losses, lost(1));
    }

    #[test]
    fn records_that_come_out_of_order_are_no_loss() {
        let mut tracker = LossTracker::default();
        for sequence in [1, 4, 2, 6, 3, 5] {
            tracker.handle_mark(mark(1, sequence, sequence));
        }
        assert_eq!(tracker.handle_counted(counted(&[]), SECOND), None);
        assert_eq!(tracker.handle_counted(counted(&[]), 9 * SECOND), None);
    }

    #[test]
    fn a_hole_that_nobody_counted_is_told_when_it_stays() {
        let mut tracker = LossTracker::default();
        tracker.handle_mark(mark(0, 1, 10));
        tracker.handle_mark(mark(0, 5, 20));
        assert_eq!(tracker.handle_counted(counted(&[]), SECOND), None);
        let loss = tracker.handle_counted(counted(&[]), 4 * SECOND).unwrap();
        assert_eq!((loss.from_ns, loss.to_ns), (10, 20));
        assert_eq!(loss.losses, counted(&[(LossCause::Unexplained, 3)]));
        assert_eq!(tracker.handle_counted(counted(&[]), 9 * SECOND), None);
    }

    #[test]
    fn what_no_program_saw_needs_no_hole() {
        let mut tracker = LossTracker::default();
        let losses = counted(&[(LossCause::Skipped, 2), (LossCause::Undecoded, 1)]);
        assert_eq!(tracker.handle_counted(losses, 50).unwrap().losses, losses);
    }

    #[test]
    fn holes_stay_within_their_bound() {
        let mut tracker = LossTracker::default();
        for sequence in 1..1000 {
            tracker.handle_mark(mark(0, sequence * 2, sequence));
        }
        assert_eq!(tracker.sequences[&(0, 0)].holes.len(), HOLES_MAX);
        assert_eq!(tracker.missing, 999);
        let losses = counted(&[(LossCause::RingFull, 999)]);
        let loss = tracker.handle_counted(losses, 5000).unwrap();
        assert_eq!(loss.from_ns, 0);
    }

    proptest! {
        /// Whatever order the records come in, what is told adds up to what did not come.
        #[test]
        fn what_is_told_is_what_is_missing(
            lost in proptest::collection::btree_set(1_u64..60, 0..30),
            order in Just((1_u64..=60).collect::<Vec<_>>()).prop_shuffle(),
        ) {
            // Close to order, as two rings deliver.
            let mut order = order;
            order.sort_by_key(|number| number / 8);
            let mut tracker = LossTracker::default();
            let mut told = Losses::default();
            let mut ring_full = 0;
            for number in order {
                if lost.contains(&number) {
                    ring_full += 1;
                } else {
                    tracker.handle_mark(mark(0, number, number));
                }
                let counted = counted(&[(LossCause::RingFull, ring_full)]);
                if let Some(loss) = tracker.handle_counted(counted, number) {
                    for (cause, execs) in loss.losses.causes() {
                        told.set(cause, told.get(cause) + execs);
                    }
                }
            }
            let counted = counted(&[(LossCause::RingFull, ring_full)]);
            let last = tracker.handle_end(counted, 10 * SECOND);
            let last = last.map_or(0, |loss| loss.losses.total());
            prop_assert_eq!(told.total() + last, lost.len() as u64);
            prop_assert_eq!(tracker.handle_end(counted, 60 * SECOND), None);
        }
    }
}
