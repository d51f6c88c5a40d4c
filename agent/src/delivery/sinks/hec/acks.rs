//! What was sent and is not acknowledged yet.

use std::time::Duration;

/// Splunk keeps so many acks for a channel and more; some receivers keep few.
const PENDING_MAX: usize = 10;

/// The batches of one delivery, in the order in which they were accepted.
#[derive(Debug, Default)]
pub(super) struct Sent(Vec<Batch>);

#[derive(Debug)]
struct Batch {
    /// Events up to its end.
    end: usize,
    /// `None` when nothing more is to come.
    ack_id: Option<u64>,
}

impl Sent {
    pub(super) fn push(&mut self, end: usize, ack_id: Option<u64>) {
        self.0.push(Batch { end, ack_id });
    }

    /// Ids that are waited for.
    pub(super) fn waiting(&self) -> Vec<u64> {
        self.0.iter().filter_map(|batch| batch.ack_id).collect()
    }

    pub(super) fn is_full(&self) -> bool {
        self.waiting().len() >= PENDING_MAX
    }

    pub(super) fn is_settled(&self) -> bool {
        self.0.iter().all(|batch| batch.ack_id.is_none())
    }

    pub(super) fn acknowledge(&mut self, ids: &[u64]) {
        for batch in &mut self.0 {
            batch.ack_id = batch.ack_id.filter(|id| !ids.contains(id));
        }
    }

    /// Events from the front that are the receiver's for good.
    pub(super) fn confirmed(&self) -> usize {
        let confirmed = self.0.iter().take_while(|batch| batch.ack_id.is_none());
        confirmed.last().map_or(0, |batch| batch.end)
    }
}

/// Before each question for acks: 1, 2, 5, then 10 seconds, until the window is over. What the questions take
/// themselves is not counted.
#[derive(Debug)]
pub(super) struct PollPauses {
    left: Duration,
    asked: usize,
}

const PAUSES_S: [u64; 4] = [1, 2, 5, 10];

impl PollPauses {
    pub(super) fn new(window: Duration) -> Self {
        Self {
            left: window,
            asked: 0,
        }
    }
}

impl Iterator for PollPauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let seconds = PAUSES_S[self.asked.min(PAUSES_S.len() - 1)];
        let pause = Duration::from_secs(seconds).min(self.left);
        self.asked += 1;
        self.left -= pause;
        (!pause.is_zero()).then_some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_fill_the_window() {
        let pauses = |window| {
            let pauses = PollPauses::new(Duration::from_secs(window));
            pauses.map(|pause| pause.as_secs()).collect::<Vec<_>>()
        };
        assert_eq!(pauses(35), [1, 2, 5, 10, 10, 7]);
        assert_eq!(pauses(2), [1, 1]);
        assert_eq!(pauses(0), [0; 0]);
    }

    #[test]
    fn what_is_confirmed_ends_before_the_first_that_is_not() {
        let mut sent = Sent::default();
        for (end, ack_id) in [(3, Some(0)), (5, None), (9, Some(7)), (10, Some(8))] {
            sent.push(end, ack_id);
        }
        assert_eq!((sent.confirmed(), sent.waiting()), (0, vec![0, 7, 8]));
        sent.acknowledge(&[0, 8, 99]);
        assert_eq!((sent.confirmed(), sent.is_settled()), (5, false));
        sent.acknowledge(&[7]);
        assert_eq!((sent.confirmed(), sent.is_settled()), (10, true));
    }

    #[test]
    fn only_what_waits_counts_towards_the_bound() {
        let mut sent = Sent::default();
        (0..50).for_each(|end| sent.push(end, None));
        assert!(!sent.is_full());
        (50..60).for_each(|end| sent.push(end, Some(end as u64)));
        assert!(sent.is_full());
    }
}
