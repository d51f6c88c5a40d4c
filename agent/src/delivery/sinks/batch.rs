//! How many events go in one request, and how a request that is refused comes apart until the one event that is wrong
//! stands alone.

use std::ops::Range;

use super::http::{Answer, Reception};
use crate::delivery::sink::{Delivery, Trouble};

/// Of one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) events_max: usize,
    /// A single event may be longer; it goes alone.
    pub(super) bytes_max: usize,
}

/// What most receivers take, and HEC recommends.
pub(super) const LIMITS: Limits = Limits {
    events_max: 100,
    bytes_max: 512 * 1024,
};

/// What became of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// All its events are the receiver's.
    Taken,
    /// So many from the front are the receiver's, and something is wrong with the next one.
    Stopped { taken: usize, trouble: Trouble },
    /// It will not be taken like this: it goes in smaller pieces, and a single event not at all.
    Refused { why: String, cut: Cut },
}

/// How a refused request is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    Halves,
    /// Each event alone.
    Singles,
}

impl Outcome {
    /// What an answer means by its status alone.
    pub(super) fn of(answer: &Answer) -> Self {
        let why = answer.said();
        let cut = Cut::Halves;
        match answer.reception() {
            Reception::Taken => Self::Taken,
            Reception::Refused | Reception::TooLarge => Self::Refused { why, cut },
            Reception::Busy => Self::from(answer.busy(why)),
            Reception::Encoding | Reception::Barred => Self::from(Trouble::Hold { why }),
        }
    }
}

/// None of the events was taken.
impl From<Trouble> for Outcome {
    fn from(trouble: Trouble) -> Self {
        Self::Stopped { taken: 0, trouble }
    }
}

/// Whether a receiver has ever taken anything. One that has not may be another than was meant, or be spoken to in the
/// wrong way; then it refuses everything, and no event is to blame.
#[derive(Debug, Default)]
pub(super) struct History {
    has_taken: bool,
}

/// Sends events of those sizes in order, by one `request` for each range of them, until all are taken or one is not.
pub(super) fn deliver(
    sizes: Vec<usize>,
    limits: Limits,
    history: &mut History,
    mut request: impl FnMut(Range<usize>) -> Outcome,
) -> Delivery {
    let n_events = sizes.len();
    let mut batches = Batches::new(sizes, limits);
    while let Some(batch) = batches.next() {
        let (taken, trouble) = match request(batch.clone()) {
            Outcome::Taken => {
                history.has_taken = true;
                batches.done();
                continue;
            }
            Outcome::Refused { cut, .. } if batch.len() > 1 => {
                match cut {
                    Cut::Halves => batches.halve(),
                    Cut::Singles => batches.single_out(),
                }
                continue;
            }
            Outcome::Refused { why, .. } => {
                // If it takes another one, this one is to blame; that one is sent once more in its turn.
                let other = batch.end..batch.end + 1;
                history.has_taken =
                    history.has_taken || other.end <= n_events && request(other) == Outcome::Taken;
                (0, history.blame(why))
            }
            Outcome::Stopped { taken, trouble } => (taken, trouble),
        };
        history.has_taken |= taken > 0;
        return Delivery {
            delivered: batch.start + taken,
            trouble: Some(trouble),
        };
    }
    Delivery {
        delivered: batches.start,
        trouble: None,
    }
}

impl History {
    fn blame(&self, why: String) -> Trouble {
        match self.has_taken {
            true => Trouble::Poison { why },
            false => Trouble::Hold {
                why: format!("{why}; it has taken nothing yet: is it what it should be?"),
            },
        }
    }
}

/// Events on their way, cut into requests.
#[derive(Debug)]
pub(super) struct Batches {
    sizes: Vec<usize>,
    limits: Limits,
    /// The first event that is in no request yet.
    start: usize,
    /// Where a request must end, the nearest last; each lies behind `start`.
    ends: Vec<usize>,
}

impl Batches {
    pub(super) fn new(sizes: Vec<usize>, limits: Limits) -> Self {
        Self {
            sizes,
            limits,
            start: 0,
            ends: Vec::new(),
        }
    }

    /// The events of the next request; at least one. `None` when there are no more.
    pub(super) fn next(&self) -> Option<Range<usize>> {
        let end = self.ends.last().copied().unwrap_or(self.sizes.len());
        let mut bytes = 0;
        let fits = |&size: &&usize| {
            bytes += size;
            bytes <= self.limits.bytes_max
        };
        let rest = self.sizes.get(self.start..end)?;
        let count = rest.iter().take(self.limits.events_max);
        let count = count.take_while(fits).count().max(1);
        (!rest.is_empty()).then(|| self.start..self.start + count)
    }

    /// The next request is through.
    pub(super) fn done(&mut self) {
        let Some(batch) = self.next() else { return };
        self.start = batch.end;
        while self.ends.pop_if(|end| *end <= batch.end).is_some() {}
    }

    /// The next request becomes two.
    pub(super) fn halve(&mut self) {
        if let Some(batch) = self.next().filter(|batch| batch.len() > 1) {
            self.ends.extend([batch.end, batch.start + batch.len() / 2]);
        }
    }

    /// The next request becomes one for each event.
    pub(super) fn single_out(&mut self) {
        if let Some(batch) = self.next() {
            self.ends.extend((batch.start + 1..batch.end).rev());
        }
    }

    /// The event at that place of the next request goes alone, behind those before it.
    pub(super) fn isolate(&mut self, index: usize) {
        let Some(batch) = self.next().filter(|batch| index < batch.len()) else {
            return;
        };
        let at = batch.start + index;
        let ends = [at + 1, at];
        let is_cut = |end: &usize| batch.start < *end && *end < batch.end;
        self.ends.extend(ends.into_iter().filter(is_cut));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FEW: Limits = Limits {
        events_max: 4,
        bytes_max: 10,
    };

    /// The requests for events of those sizes, to a receiver that takes none with one of the `bad`.
    fn requests(sizes: &[usize], bad: &[usize], cut: Cut) -> (Vec<Range<usize>>, Delivery) {
        let mut requests = Vec::new();
        let history = &mut History::default();
        let delivery = deliver(sizes.to_vec(), FEW, history, |batch| {
            requests.push(batch.clone());
            match bad.iter().any(|bad| batch.contains(bad)) {
                true => Outcome::Refused {
                    why: "bad".to_owned(),
                    cut,
                },
                false => Outcome::Taken,
            }
        });
        (requests, delivery)
    }

    fn poisoned(delivered: usize) -> Delivery {
        Delivery {
            delivered,
            trouble: Some(Trouble::Poison {
                why: "bad".to_owned(),
            }),
        }
    }

    #[test]
    fn a_request_has_so_many_events_and_bytes_and_a_long_event_goes_alone() {
        let (requests, delivery) = requests(&[1, 1, 1, 1, 1, 9, 11, 5, 5, 1], &[], Cut::Halves);
        assert_eq!(requests, [0..4, 4..6, 6..7, 7..9, 9..10]);
        assert_eq!((delivery.delivered, delivery.trouble), (10, None));
    }

    #[test]
    fn a_refused_request_is_halved_until_the_bad_event_stands_alone() {
        let (requests, delivery) = requests(&[1; 9], &[6], Cut::Halves);
        assert_eq!(requests, [0..4, 4..8, 4..6, 6..8, 6..7]);
        assert_eq!(delivery, poisoned(6));
    }

    #[test]
    fn a_receiver_that_has_taken_nothing_is_asked_for_another_event_before_one_is_blamed() {
        let (asked, delivery) = requests(&[1, 1], &[0], Cut::Halves);
        assert_eq!(asked, [0..2, 0..1, 1..2]);
        assert_eq!(delivery, poisoned(0));
        for sizes in [&[1][..], &[1, 1]] {
            let (_, delivery) = requests(sizes, &[0, 1], Cut::Halves);
            let is_held = matches!(delivery.trouble, Some(Trouble::Hold { .. }));
            assert!(is_held && delivery.delivered == 0, "{delivery:?}");
        }
    }

    #[test]
    fn or_comes_apart_at_once() {
        let (requests, delivery) = requests(&[1; 5], &[2], Cut::Singles);
        assert_eq!(requests, [0..4, 0..1, 1..2, 2..3]);
        assert_eq!(delivery, poisoned(2));
    }

    #[test]
    fn a_trouble_stops_where_the_receiver_stopped() {
        let trouble = Trouble::Hold {
            why: "full".to_owned(),
        };
        let delivery = deliver(
            vec![1; 6],
            FEW,
            &mut History::default(),
            |batch| match batch.start {
                0 => Outcome::Taken,
                _ => Outcome::Stopped {
                    taken: 1,
                    trouble: trouble.clone(),
                },
            },
        );
        let (delivered, trouble) = (5, Some(trouble));
        assert_eq!(delivery, Delivery { delivered, trouble });
    }

    #[test]
    fn the_accused_goes_alone_behind_those_before_it() {
        for (index, expected) in [
            (0, &[0..1, 1..4][..]),
            (1, &[0..1, 1..2, 2..4]),
            (3, &[0..3, 3..4]),
            (4, std::slice::from_ref(&(0..4))),
        ] {
            let mut batches = Batches::new(vec![1; 4], FEW);
            batches.isolate(index);
            let mut requests = Vec::new();
            while let Some(batch) = batches.next() {
                requests.push(batch);
                batches.done();
            }
            assert_eq!(requests, expected, "{index}");
        }
    }
}
