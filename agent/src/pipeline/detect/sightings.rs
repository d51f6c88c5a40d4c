//! When each port of a group was seen.

use std::collections::BTreeMap;
use std::sync::Arc;

/// The moments at which each port was seen, thinned so far that no answer changes.
///
/// This decides alone whether a threshold is crossed. It needs no bound of its own: the ports are
/// those of the rule, and of each port fewer than two moments a span are kept. So whatever else a
/// group must leave out, a crossing is exact, also when execs come out of order.
#[derive(Clone, Debug)]
pub struct Sightings {
    reach_ns: u64,
    /// Ascending moments, at least one.
    by_port: BTreeMap<Arc<str>, Vec<u64>>,
}

impl Sightings {
    /// For a window in which moments less than `reach_ns` apart count together.
    pub fn new(reach_ns: u64) -> Self {
        Self {
            reach_ns,
            by_port: BTreeMap::new(),
        }
    }

    pub fn add(&mut self, port: Arc<str>, at: u64) {
        let moments = self.by_port.entry(port).or_default();
        if let Err(index) = moments.binary_search(&at) {
            moments.insert(index, at);
            thin(moments, self.reach_ns);
        }
    }

    /// The earliest moment at which `count_min` ports had been seen within reach.
    pub fn crossing(&self, count_min: usize) -> Option<u64> {
        let mut moments: Vec<u64> = self.by_port.values().flatten().copied().collect();
        moments.sort_unstable();
        moments
            .into_iter()
            .find(|&moment| self.count_at(moment) >= count_min)
    }

    /// The ports whose latest moment is one that `counts`, in string order.
    pub fn ports(&self, counts: impl Fn(u64) -> bool) -> impl Iterator<Item = &str> {
        self.by_port
            .iter()
            .filter(move |(_, moments)| moments.last().is_some_and(|&latest| counts(latest)))
            .map(|(port, _)| &**port)
    }

    /// Drops the moments that are `gone`, but each port's latest: while an alert is open, its ports
    /// stay.
    pub fn forget(&mut self, gone: impl Fn(u64) -> bool) {
        for moments in self.by_port.values_mut() {
            let n_gone = moments.partition_point(|&moment| gone(moment));
            moments.drain(..n_gone.min(moments.len() - 1));
        }
    }

    /// Memory it takes, itself not included.
    pub fn bytes(&self) -> usize {
        let moments = self.by_port.values().map(|moments| {
            size_of::<(Arc<str>, Vec<u64>)>() + moments.capacity() * size_of::<u64>()
        });
        moments.sum()
    }

    pub fn absorb(&mut self, other: Self) {
        for (port, moments) in other.by_port {
            for at in moments {
                self.add(port.clone(), at);
            }
        }
    }

    fn count_at(&self, moment: u64) -> usize {
        self.by_port
            .values()
            .filter(|moments| {
                let n_until = moments.partition_point(|&seen| seen <= moment);
                n_until > 0 && moment - moments[n_until - 1] < self.reach_ns
            })
            .count()
    }
}

/// Drops each moment that stands between two less than the reach apart. At any time from the middle
/// one on until the last, the first is still in reach, so that the port counts without the middle
/// one; from the last on, the last is nearer. A moment at which the port begins to count stays.
fn thin(moments: &mut Vec<u64>, reach_ns: u64) {
    let mut index = 1;
    while index + 1 < moments.len() {
        if moments[index + 1] - moments[index - 1] < reach_ns {
            moments.remove(index);
        } else {
            index += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn sightings(reach_ns: u64, seen: &[(u8, u64)]) -> Sightings {
        let mut sightings = Sightings::new(reach_ns);
        for (port, at) in seen {
            sightings.add(port.to_string().into(), *at);
        }
        sightings
    }

    fn check(reach_ns: u64, seen: &[(u8, u64)], expected: Option<u64>) {
        assert_eq!(sightings(reach_ns, seen).crossing(3), expected);
    }

    #[test]
    fn three_ports_within_reach_cross_at_the_third() {
        check(10, &[(1, 0), (2, 5), (3, 9)], Some(9));
        check(10, &[(1, 0), (2, 5), (3, 10)], None);
        check(10, &[(1, 0), (2, 5), (2, 6), (2, 7)], None);
        check(
            u64::MAX,
            &[(1, 0), (2, 5), (3, u64::MAX - 1)],
            Some(u64::MAX - 1),
        );
    }

    #[test]
    fn a_port_seen_again_counts_from_its_latest_moment() {
        check(10, &[(1, 0), (2, 5), (1, 8), (3, 14)], Some(14));
        check(10, &[(1, 0), (2, 5), (1, 8), (3, 15)], None);
    }

    #[test]
    fn a_port_that_comes_late_crosses_where_it_belongs() {
        check(10, &[(1, 0), (2, 1), (1, 11), (3, 9)], Some(9));
    }

    proptest! {
        #[test]
        fn thinned_moments_cross_where_all_moments_do(
            seen in proptest::collection::vec((0_u8..4, 0_u64..60), 0..40),
            reach_ns in 1_u64..30,
        ) {
            let count_at = |moment: u64| {
                let counts = |at: u64| at <= moment && moment - at < reach_ns;
                let ports: BTreeSet<u8> = seen
                    .iter()
                    .filter_map(|(port, at)| counts(*at).then_some(*port))
                    .collect();
                ports.len()
            };
            let expected = (0..60).find(|&moment| count_at(moment) >= 3);
            prop_assert_eq!(sightings(reach_ns, &seen).crossing(3), expected);
        }

        #[test]
        fn few_moments_are_kept(
            seen in proptest::collection::vec((0_u8..2, 0_u64..1000), 0..200),
            reach_ns in 100_u64..200,
        ) {
            let thinned = sightings(reach_ns, &seen);
            for moments in thinned.by_port.values() {
                prop_assert!(moments.len() as u64 <= 2 * (1000 / reach_ns + 1));
            }
        }
    }
}
