//! What a stream put to the test. A generator that no longer makes a case would prove nothing about it.

use std::collections::{BTreeMap, BTreeSet};

use super::oracle::{
    self, Delivery, Fitting, Groups, Key, Row, buckets, fitting_clauses, once_each, ports,
};

const HOUR: u64 = 3_600_000_000_000;
const MINUTE_50: u64 = HOUR / 60 * 50;

/// Every case, which must occur.
const CASES: [&str; 45] = [
    "only the first pattern fails",
    "only the second pattern fails",
    "only the third pattern fails",
    "only the fourth pattern fails",
    "only the fifth pattern fails",
    "only the parent's path fails",
    "only the parent's path fails, in other letters",
    "the parent's path has an excluded one inside",
    "the parent's path is unknown",
    "path unknown",
    "user unknown",
    "dest unknown",
    "command line unknown",
    "a path that reads null",
    "letters in another case",
    "the rex fails in another case",
    "not ASCII",
    "not UTF-8",
    "line feed",
    "empty argument",
    "arguments joined make the pattern",
    "longer than is shown whole",
    "no port",
    "a digit behind the port",
    "two ports, the first counts",
    "--dport without a port before one with",
    "delivered twice",
    "delivered out of order",
    "delivered when its window is over",
    "first moment of a window",
    "last moment of a window",
    "both ends of one window",
    "a window apart",
    "a moment less than a window apart",
    "several at one moment",
    "two ports in a window",
    "three ports in a window",
    "execs without a port in a row",
    "a row in adjacent windows of one group",
    "groups that differ in parent_process_id",
    "groups that differ in dest",
    "groups that differ in user",
    "groups that differ in parent_process_path",
    "groups that differ in process_path",
    "a sliding row where tumbling has none",
];

#[derive(Debug, Default)]
pub(crate) struct Coverage {
    counts: BTreeMap<&'static str, u64>,
    pub(crate) rows_tumbling: u64,
    pub(crate) rows_sliding: u64,
    /// Of the rows, those that leave something out by their bounds.
    pub(crate) rows_bounded: u64,
    /// Groups not compared in sliding windows, for an exec came after what it bridges.
    pub(crate) groups_bridged: u64,
    pub(crate) groups: u64,
    /// Deliveries not compared in sliding windows, for they are of a stream with late ones.
    pub(crate) deliveries_of_late_streams: u64,
    pub(crate) deliveries: u64,
}

impl Coverage {
    fn add(&mut self, case: &'static str, n: usize) {
        *self.counts.entry(case).or_default() += n as u64;
    }

    fn add_if(&mut self, case: &'static str, holds: bool) {
        self.add(case, usize::from(holds));
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (case, n) in &other.counts {
            *self.counts.entry(case).or_default() += n;
        }
        self.rows_tumbling += other.rows_tumbling;
        self.rows_sliding += other.rows_sliding;
        self.rows_bounded += other.rows_bounded;
        self.groups_bridged += other.groups_bridged;
        self.groups += other.groups;
        self.deliveries_of_late_streams += other.deliveries_of_late_streams;
        self.deliveries += other.deliveries;
    }

    /// Fails unless each case came at least `n_min` times.
    pub(crate) fn check(&self, n_min: u64) {
        assert!(self.counts.keys().all(|case| CASES.contains(case)));
        let count = |case: &str| self.counts.get(case).copied().unwrap_or_default();
        let rare: Vec<_> = CASES.iter().filter(|case| count(case) < n_min).collect();
        assert!(rare.is_empty(), "not {n_min} times: {rare:?} of {self:#?}");
    }

    pub(crate) fn note_delivery(&mut self, delivery: &Delivery) {
        self.deliveries += 1;
        let process = oracle::process(delivery);
        let holds = fitting_clauses(&process);
        let is_excluded = oracle::is_excluded(delivery);
        let n_failed = holds.iter().filter(|holds| !**holds).count();
        if n_failed == 1 && !is_excluded {
            let index = holds.iter().position(|holds| !holds).unwrap();
            self.add(CASES[index], 1);
        }
        self.add_if("command line unknown", delivery.argv.concat().is_empty());
        if n_failed > 0 {
            return;
        }
        let parent = delivery.parent_path.clone();
        if is_excluded {
            self.add("only the parent's path fails", 1);
            let lower = parent.as_deref().map(<[u8]>::to_ascii_lowercase);
            self.add_if(
                "only the parent's path fails, in other letters",
                lower != parent,
            );
            return;
        }
        let inside = parent
            .as_deref()
            .is_some_and(|path| contains(path, b"/bin"));
        self.add_if("the parent's path has an excluded one inside", inside);
        self.add_if("the parent's path is unknown", parent.is_none());
        self.add_if("path unknown", delivery.path.is_none());
        self.add_if("user unknown", delivery.user.is_none());
        self.add_if("dest unknown", delivery.dest.is_none());
        let reads_null = [&delivery.path, &parent].map(|path| path.as_deref() == Some(b"null"));
        self.add_if("a path that reads null", reads_null.contains(&true));
        self.note_text(delivery, &process);
    }

    fn note_text(&mut self, delivery: &Delivery, process: &[u8]) {
        let exact: [&[u8]; 5] = [
            b"iptables ",
            b" --dport ",
            b" ACCEPT",
            b"&>/dev/null",
            b" tcp ",
        ];
        let in_case = exact.iter().all(|literal| contains(process, literal));
        self.add_if("letters in another case", !in_case);
        self.add_if("not UTF-8", str::from_utf8(process).is_err());
        let is_text = str::from_utf8(process).is_ok();
        self.add_if("not ASCII", is_text && !process.is_ascii());
        self.add_if("line feed", process.contains(&b'\n'));
        self.add_if("empty argument", delivery.argv.contains(&Vec::new()));
        let within = |argument: &Vec<u8>| contains(argument, b" --dport ");
        let joined = in_case && !delivery.argv.iter().any(within);
        self.add_if("arguments joined make the pattern", joined);
        self.add_if("longer than is shown whole", process.len() > 4096);
        self.note_port(process);
    }

    fn note_port(&mut self, process: &[u8]) {
        let port = oracle::port(process);
        let lower = process.to_ascii_lowercase();
        self.add_if("no port", port.is_none());
        let in_other_case = port.is_none() && oracle::port(&lower).is_some();
        self.add_if("the rex fails in another case", in_other_case);
        let Some(port) = port else { return };
        let places = |literal: &[u8]| -> Vec<usize> {
            let windows = process.windows(literal.len()).enumerate();
            let found = windows.filter(|(_, window)| *window == literal);
            found.map(|(place, _)| place).collect()
        };
        let prefixes = places(b"--dport ");
        let at = places(format!("--dport {port}").as_bytes())[0];
        let behind = process.get(at + 8 + port.len());
        self.add_if(
            "a digit behind the port",
            behind.is_some_and(u8::is_ascii_digit),
        );
        self.add_if("--dport without a port before one with", prefixes[0] < at);
        let later = oracle::port(&process[at + 8..]);
        self.add_if(
            "two ports, the first counts",
            later.is_some_and(|later| later != port),
        );
    }

    pub(crate) fn note_groups(&mut self, groups: &Groups) {
        self.groups += groups.len() as u64;
        for group in groups.values() {
            let once = once_each(group);
            self.add("delivered twice", group.len() - once.len());
            let is_late = |it: &&Fitting| oracle::is_late(&it.delivery);
            let late = group.iter().filter(is_late).count();
            self.add("delivered when its window is over", late);
            let swapped = group
                .windows(2)
                .filter(|pair| pair[1].delivery.boot < pair[0].delivery.boot);
            self.add("delivered out of order", swapped.count());
            for members in buckets(&once).values() {
                self.note_bucket(members);
            }
            self.note_distances(&once);
        }
        let keys: Vec<&Key> = groups.keys().collect();
        for (index, one) in keys.iter().enumerate() {
            for other in &keys[..index] {
                self.note_neighbours(one, other);
            }
        }
    }

    fn note_bucket(&mut self, members: &[Fitting]) {
        let at = |offset: u64| {
            let at = members
                .iter()
                .filter(|it| it.delivery.wall % HOUR == offset);
            at.count()
        };
        let (first, last) = (at(MINUTE_50), at(MINUTE_50 - 1));
        self.add("first moment of a window", first);
        self.add("last moment of a window", last);
        self.add_if("both ends of one window", first > 0 && last > 0);
        let n_ports = ports(members).len();
        self.add_if("two ports in a window", n_ports == 2);
        self.add_if("three ports in a window", n_ports == 3);
        let portless = members.iter().any(|it| it.port.is_none());
        self.add_if("execs without a port in a row", n_ports >= 3 && portless);
    }

    fn note_distances(&mut self, group: &[Fitting]) {
        let moments: Vec<u64> = group.iter().map(|it| it.delivery.boot).collect();
        let distinct: BTreeSet<u64> = moments.iter().copied().collect();
        let apart = |by: u64| {
            moments
                .iter()
                .filter(|at| distinct.contains(&(*at + by)))
                .count()
        };
        self.add("a window apart", apart(HOUR));
        self.add("a moment less than a window apart", apart(HOUR - 1));
        self.add("several at one moment", moments.len() - distinct.len());
    }

    fn note_neighbours(&mut self, one: &Key, other: &Key) {
        let case = |index: usize| match index {
            2 => Some("groups that differ in parent_process_id"),
            3 => Some("groups that differ in dest"),
            4 => Some("groups that differ in user"),
            5 => Some("groups that differ in parent_process_path"),
            6 => Some("groups that differ in process_path"),
            _ => None,
        };
        let differing: Vec<usize> = (0..7).filter(|&index| one[index] != other[index]).collect();
        if let [index] = differing[..] {
            self.add(case(index).unwrap_or_default(), 1);
        }
    }

    pub(crate) fn note_rows(&mut self, tumbling: &[Row], sliding: &[Row]) {
        self.rows_tumbling += tumbling.len() as u64;
        self.rows_sliding += sliding.len() as u64;
        let adjacent = tumbling.windows(2).filter(|pair| {
            let hour = |row: &Row| (row.first_seen.1 + HOUR - MINUTE_50) / HOUR;
            pair[0].key == pair[1].key && hour(&pair[0]) + 1 == hour(&pair[1])
        });
        self.add("a row in adjacent windows of one group", adjacent.count());
        let only = sliding.iter().filter(|row| {
            let mut of_group = tumbling.iter().filter(|other| other.key == row.key);
            !of_group
                .any(|other| row.first_seen <= other.first_seen && other.last_seen <= row.last_seen)
        });
        self.add("a sliding row where tumbling has none", only.count());
    }
}

fn contains(text: &[u8], literal: &[u8]) -> bool {
    text.windows(literal.len()).any(|window| window == literal)
}
