//! Who asked the kernel to replace a table, until that shows in what the table holds.
//!
//! A notice comes before the kernel has made the change, or has refused it: so a table is read a moment later, and
//! again if nothing is different then. Whose notice came before the read may have made what the read shows.

use std::collections::VecDeque;
use std::time::Duration;

use crate::pipeline::exec::{ProcessKey, Time, XtablesReplace};
use crate::pipeline::firewall::change::Family;

/// How long after a notice the tables are read. The kernel needs some microseconds for a table of a few rules, and was
/// seen to need 15 to 32 ms for one of 20,000.
const DELAYS: [Duration; 4] = [
    Duration::from_millis(10),
    Duration::from_millis(60),
    Duration::from_millis(300),
    Duration::from_millis(1200),
];

/// Most notices that wait; the oldest gives way, and is counted.
const WAITING_MAX: usize = 256;

/// Notices that wait for what they announce.
#[derive(Debug, Default)]
pub struct Notices {
    waiting: VecDeque<Notice>,
    refused: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Notice {
    process: ProcessKey,
    family: Family,
    /// `None`: not known, so that it may be any.
    table: Option<Vec<u8>>,
    /// When the call was made, and when the latest one like it was.
    time: Time,
    latest: Time,
    /// The thread is in another network namespace, and is asked after those that are not.
    is_elsewhere: bool,
    /// Reads that began after it.
    reads: usize,
    /// The process had ended when the latest read began: nothing of it is under way any more.
    is_over: bool,
}

impl Notice {
    fn is_about(&self, family: Family, table: &[u8]) -> bool {
        let table_fits = self.table.as_ref().is_none_or(|known| known == table);
        self.family == family && table_fits
    }

    fn due_ns(&self) -> Option<u64> {
        let delay = DELAYS.get(self.reads)?;
        let delay_ns = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
        Some(self.time.boot_ns.saturating_add(delay_ns))
    }
}

impl Notices {
    /// Takes one; several calls of one process for one table are one.
    pub fn add(&mut self, replace: &XtablesReplace, is_elsewhere: bool) {
        let XtablesReplace {
            time,
            process,
            tid: _,
            family,
            table: _,
        } = replace;
        let table = replace.table();
        let mut waiting = self.waiting.iter_mut();
        let known = waiting.find(|notice| {
            (notice.process, notice.family) == (*process, *family)
                && notice.table.as_deref() == table
        });
        if let Some(known) = known {
            known.latest = *time;
            return;
        }
        if self.waiting.len() >= WAITING_MAX {
            self.waiting.pop_front();
            self.refused += 1;
        }
        self.waiting.push_back(Notice {
            process: *process,
            family: *family,
            table: table.map(<[u8]>::to_vec),
            time: *time,
            latest: *time,
            is_elsewhere,
            reads: 0,
            is_over: false,
        });
    }

    /// Notices for which there was no room.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// When the tables are to be read next, in boot time.
    pub fn due_ns(&self) -> Option<u64> {
        self.waiting.iter().filter_map(Notice::due_ns).min()
    }

    /// A read begins now.
    pub fn begin_read(&mut self, has_ended: impl Fn(ProcessKey) -> bool) {
        for notice in &mut self.waiting {
            notice.is_over = has_ended(notice.process);
        }
    }

    /// Who may have made a change that a read shows, which was over at `ended`: those in other network namespaces only
    /// when there is nobody else. The time is that of the latest call.
    pub fn authors(&self, family: Family, table: &[u8], ended: Time) -> Option<Authors> {
        let about: Vec<&Notice> = self
            .waiting
            .iter()
            .filter(|notice| notice.is_about(family, table))
            .filter(|notice| notice.time.boot_ns <= ended.boot_ns)
            .collect();
        let here = about.iter().filter(|notice| !notice.is_elsewhere);
        let mut authors: Vec<&Notice> = here.copied().collect();
        if authors.is_empty() {
            authors = about;
        }
        let time = authors.iter().map(|notice| notice.latest).max()?;
        let mut processes = Vec::with_capacity(authors.len());
        for notice in authors {
            if !processes.contains(&notice.process) {
                processes.push(notice.process);
            }
        }
        Some(Authors {
            processes,
            time: time.min(ended),
        })
    }

    /// A read that began at `began` has been taken in: it showed changes of those tables.
    pub fn end_read(&mut self, began: Time, ended: Time, changed: &[(Family, Vec<u8>)]) {
        let alone: Vec<ProcessKey> = changed
            .iter()
            .filter_map(|(family, table)| self.authors(*family, table, ended))
            .filter_map(|authors| match authors.processes.as_slice() {
                [author] => Some(*author),
                _ => None,
            })
            .collect();
        self.waiting.retain_mut(|notice| {
            if notice.time.boot_ns > began.boot_ns {
                return true;
            }
            if notice.latest.boot_ns > began.boot_ns {
                notice.time = notice.latest;
                notice.reads = 0;
                return true;
            }
            notice.reads += 1;
            let is_told = changed.iter().any(|(family, table)| {
                notice.is_about(*family, table) && alone.contains(&notice.process)
            });
            !(is_told || notice.is_over || notice.due_ns().is_none())
        });
    }
}

/// Whose calls came before a change was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authors {
    /// One, or several each of which may have made the change.
    pub processes: Vec<ProcessKey>,
    /// Of the latest call.
    pub time: Time,
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn at(ms: u64) -> Time {
        Time {
            boot_ns: ms * MS,
            wall_ns: ms * MS,
        }
    }

    fn key(tgid: u32) -> ProcessKey {
        ProcessKey { tgid, start_ns: 1 }
    }

    fn call(tgid: u32, ms: u64) -> XtablesReplace {
        let mut table = [0; 32];
        table[..6].copy_from_slice(b"filter");
        XtablesReplace {
            time: at(ms),
            process: key(tgid),
            tid: tgid,
            family: Family::Ipv4,
            table,
        }
    }

    fn filter() -> (Family, Vec<u8>) {
        (Family::Ipv4, b"filter".to_vec())
    }

    fn authors(notices: &Notices, ms: u64) -> Vec<u32> {
        let authors = notices.authors(Family::Ipv4, b"filter", at(ms));
        let processes = authors.map(|authors| authors.processes).unwrap_or_default();
        processes.iter().map(|process| process.tgid).collect()
    }

    #[test]
    fn a_change_is_that_of_the_one_who_called_before_the_read() {
        let mut notices = Notices::default();
        assert_eq!(notices.due_ns(), None);
        notices.add(&call(7, 100), false);
        assert_eq!(notices.due_ns(), Some(110 * MS));
        assert_eq!(authors(&notices, 111), [7]);
        assert_eq!(notices.authors(Family::Ipv6, b"filter", at(111)), None);
        notices.end_read(at(110), at(111), &[filter()]);
        assert_eq!((authors(&notices, 112).len(), notices.due_ns()), (0, None));
    }

    #[test]
    fn what_shows_nothing_yet_is_read_again_and_given_up_in_the_end() {
        let mut notices = Notices::default();
        notices.add(&call(7, 100), false);
        for due in [110, 160, 400, 1300] {
            assert_eq!(notices.due_ns(), Some(due * MS));
            notices.end_read(at(due), at(due), &[]);
        }
        assert_eq!(notices.due_ns(), None);
        assert_eq!(authors(&notices, 1400), [0; 0]);
    }

    #[test]
    fn who_had_ended_before_the_read_has_nothing_under_way() {
        let mut notices = Notices::default();
        notices.add(&call(7, 100), false);
        notices.add(&call(8, 101), false);
        notices.begin_read(|process| process == key(7));
        assert_eq!(authors(&notices, 120), [7, 8]);
        notices.end_read(at(110), at(120), &[filter()]);
        assert_eq!(authors(&notices, 130), [8]);
    }

    #[test]
    fn a_call_after_the_read_began_is_waited_for() {
        let mut notices = Notices::default();
        notices.add(&call(7, 100), false);
        notices.add(&call(7, 111), false);
        assert_eq!(authors(&notices, 112), [7]);
        notices.end_read(at(110), at(112), &[filter()]);
        assert_eq!(notices.due_ns(), Some(121 * MS));
        notices.add(&call(8, 125), false);
        notices.end_read(at(122), at(123), &[filter()]);
        assert_eq!(authors(&notices, 126), [8]);
    }

    #[test]
    fn a_call_whose_table_was_not_seen_may_be_about_any() {
        let mut notices = Notices::default();
        let unseen = XtablesReplace {
            table: [0; 32],
            ..call(7, 100)
        };
        notices.add(&unseen, false);
        notices.add(&unseen, false);
        assert_eq!(authors(&notices, 111), [7]);
        notices.add(&call(7, 101), false);
        assert_eq!(authors(&notices, 111), [7]);
        notices.end_read(at(110), at(111), &[filter()]);
        assert_eq!(authors(&notices, 112), [0; 0]);
    }

    #[test]
    fn who_is_in_another_network_namespace_is_asked_last() {
        let mut notices = Notices::default();
        notices.add(&call(7, 100), true);
        assert_eq!(authors(&notices, 120), [7]);
        notices.add(&call(8, 100), false);
        assert_eq!(authors(&notices, 120), [8]);
    }

    #[test]
    fn notices_are_bounded_and_what_gives_way_is_counted() {
        let mut notices = Notices::default();
        for tgid in 0..300 {
            notices.add(&call(tgid, 100), false);
            notices.add(&call(tgid, 101), false);
        }
        assert_eq!(notices.refused(), 44);
        assert_eq!(authors(&notices, 120).len(), WAITING_MAX);
    }
}
