//! What happened to alerts on their way, for those who read alerts: it becomes events itself.
//!
//! Bounded and quiet: of one sink at most one notice of each kind waits, and dead letters are told once a minute, so
//! that a receiver which refuses everything does not feed on its own notices.

use std::collections::BTreeMap;

use crate::pipeline::watch::{Notice, NoticeKind};

/// Between two notices of dead letters of one sink.
const DEAD_LETTERS_INTERVAL_NS: u64 = 60_000_000_000;

#[derive(Debug, Default)]
pub(super) struct Notices {
    by_sink: BTreeMap<String, Waiting>,
}

/// Of one sink.
#[derive(Debug, Default)]
struct Waiting {
    /// Why it holds, when that was not told.
    held: Option<String>,
    is_held: bool,
    resumed: bool,
    /// First and last number, and how many.
    dropped: Option<(u64, u64, u64)>,
    dead_letters: Option<DeadLetters>,
    dead_letters_told_ns: Option<u64>,
}

#[derive(Debug)]
struct DeadLetters {
    first: u64,
    last: u64,
    records: u64,
    why: String,
}

impl Notices {
    pub(super) fn held(&mut self, sink: &str, why: &str) {
        let waiting = self.of(sink);
        if !waiting.is_held {
            waiting.is_held = true;
            waiting.held = Some(why.to_owned());
        }
    }

    /// Something was delivered.
    pub(super) fn resumed(&mut self, sink: &str) {
        let waiting = self.of(sink);
        if waiting.is_held {
            waiting.is_held = false;
            waiting.resumed = true;
        }
    }

    pub(super) fn dropped(&mut self, sink: &str, first: u64, last: u64, records: u64) {
        let dropped = &mut self.of(sink).dropped;
        *dropped = Some(match *dropped {
            Some((earliest, _, before)) => (earliest, last, before + records),
            None => (first, last, records),
        });
    }

    pub(super) fn dead_letter(&mut self, sink: &str, seq: u64, why: &str) {
        let letters = &mut self.of(sink).dead_letters;
        match letters {
            Some(letters) => {
                letters.last = seq;
                letters.records += 1;
            }
            None => {
                *letters = Some(DeadLetters {
                    first: seq,
                    last: seq,
                    records: 1,
                    why: why.to_owned(),
                });
            }
        }
    }

    /// What is to be told now, `boot_ns` on the clock that never jumps.
    pub(super) fn take(&mut self, boot_ns: u64) -> Vec<Notice> {
        let mut notices = Vec::new();
        for (sink, waiting) in &mut self.by_sink {
            let mut tell = |kind| {
                let sink = sink.clone();
                notices.push(Notice { sink, kind });
            };
            if let Some(why) = waiting.held.take() {
                tell(NoticeKind::SinkHeld { why });
            }
            if std::mem::take(&mut waiting.resumed) {
                tell(NoticeKind::SinkResumed);
            }
            if let Some((first_seq, last_seq, records)) = waiting.dropped.take() {
                tell(NoticeKind::AlertsDropped {
                    first_seq,
                    last_seq,
                    records,
                });
            }
            let is_due = waiting
                .dead_letters_told_ns
                .is_none_or(|told| boot_ns.saturating_sub(told) >= DEAD_LETTERS_INTERVAL_NS);
            if let Some(letters) = waiting.dead_letters.take_if(|_| is_due) {
                waiting.dead_letters_told_ns = Some(boot_ns);
                tell(NoticeKind::DeadLetters {
                    first_seq: letters.first,
                    last_seq: letters.last,
                    records: letters.records,
                    why: letters.why,
                });
            }
        }
        notices
    }

    fn of(&mut self, sink: &str) -> &mut Waiting {
        self.by_sink.entry(sink.to_owned()).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(notices: &mut Notices, second: u64) -> Vec<String> {
        let taken = notices.take(second * 1_000_000_000).into_iter();
        taken.map(|notice| format!("{notice:?}")).collect()
    }

    #[test]
    fn a_sink_that_holds_is_told_once_and_so_is_that_it_goes_on() {
        let mut notices = Notices::default();
        notices.resumed("a");
        assert_eq!(told(&mut notices, 0), [""; 0]);
        notices.held("a", "401");
        notices.held("a", "403");
        assert_eq!(
            told(&mut notices, 1),
            [r#"Notice { sink: "a", kind: SinkHeld { why: "401" } }"#]
        );
        notices.held("a", "401");
        assert_eq!(told(&mut notices, 2), [""; 0]);
        notices.resumed("a");
        assert_eq!(
            told(&mut notices, 3),
            [r#"Notice { sink: "a", kind: SinkResumed }"#]
        );
    }

    #[test]
    fn what_was_dropped_is_told_together() {
        let mut notices = Notices::default();
        notices.dropped("a", 3, 5, 3);
        notices.dropped("a", 9, 9, 1);
        assert_eq!(
            told(&mut notices, 0),
            [
                r#"Notice { sink: "a", kind: AlertsDropped { first_seq: 3, last_seq: 9, records: 4 } }"#
            ]
        );
    }

    #[test]
    fn dead_letters_are_told_once_a_minute_and_none_is_forgotten() {
        let mut notices = Notices::default();
        for seq in 1..=100 {
            notices.dead_letter("a", seq, "no such index");
            let told = told(&mut notices, seq);
            let expected = match seq {
                1 => "first_seq: 1, last_seq: 1, records: 1,",
                61 => "first_seq: 2, last_seq: 61, records: 60,",
                _ => {
                    assert_eq!(told, [""; 0], "{seq}");
                    continue;
                }
            };
            assert!(told[0].contains(expected), "{told:?}");
        }
    }
}
