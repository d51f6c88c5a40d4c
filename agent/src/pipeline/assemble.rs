//! Puts long command lines together: an exec record has the first bytes of argv, chunks the rest. Either
//! may come first, for they come by different rings.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::decode::ArgvPart;
use super::exec::{ArgvSource, Event, Exec, Exit, Time};

/// How much may wait for chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AssemblerLimits {
    pub execs_max: usize,
    /// Bytes of all chunks.
    pub bytes_max: usize,
    /// How long an exec waits for a chunk. The kernel program sends them in one go; this long it can
    /// only be kept from it by others.
    pub wait: Duration,
}

impl Default for AssemblerLimits {
    fn default() -> Self {
        Self {
            execs_max: 256,
            bytes_max: 32 << 20,
            wait: Duration::from_secs(1),
        }
    }
}

/// One exec: the process and the time of the exec.
type ExecId = (u32, u64);

#[derive(Debug, Default)]
struct Waiting {
    exec: Option<Box<Exec>>,
    parts: BTreeMap<u64, Vec<u8>>,
    due_ns: u64,
}

/// Hands out events, each exec as soon as its command line is whole.
#[derive(Debug)]
pub struct Assembler {
    limits: AssemblerLimits,
    waiting: BTreeMap<ExecId, Waiting>,
    bytes: usize,
    ready: VecDeque<Event>,
    /// Execs handed out with a command line that lacks bytes.
    broken: u64,
}

impl Assembler {
    pub fn new(limits: AssemblerLimits) -> Self {
        Self {
            limits,
            waiting: BTreeMap::new(),
            bytes: 0,
            ready: VecDeque::new(),
            broken: 0,
        }
    }

    pub fn handle_event(&mut self, event: Event, now: Time) {
        match event {
            Event::Exec(exec) if has_more(&exec) => {
                let id = (exec.process.tgid, exec.time.boot_ns);
                self.waiting_for(id, now).exec = Some(exec);
                self.finish_if_whole(id);
            }
            event @ (Event::Exec(_)
            | Event::Fork(_)
            | Event::Exit(_)
            | Event::FailedExec(_)
            | Event::XtablesReplace(_)
            | Event::Running(_)) => {
                if let Event::Exit(exit) = &event {
                    self.handle_exit(exit);
                }
                self.ready.push_back(event);
            }
        }
        self.bound();
    }

    pub fn handle_part(&mut self, part: ArgvPart, now: Time) {
        let id = (part.tgid, part.exec_boot_ns);
        let length = part.bytes.len();
        let replaced = self
            .waiting_for(id, now)
            .parts
            .insert(part.offset, part.bytes);
        self.bytes += length;
        self.bytes -= replaced.map_or(0, |bytes| bytes.len());
        self.finish_if_whole(id);
        self.bound();
    }

    /// Hands out what has waited too long, as far as it is known.
    pub fn handle_timeout(&mut self, now: Time) {
        while let Some(id) = self.next_due(|due_ns| due_ns <= now.boot_ns) {
            self.finish(id);
        }
    }

    /// How long from `now` until [`handle_timeout`](Self::handle_timeout) wants to be called.
    pub fn poll_timeout(&self, now: Time) -> Option<Duration> {
        let due_ns = self.waiting.values().map(|waiting| waiting.due_ns).min()?;
        Some(Duration::from_nanos(due_ns.saturating_sub(now.boot_ns)))
    }

    pub fn next_event(&mut self) -> Option<Event> {
        self.ready.pop_front()
    }

    /// Execs handed out with a command line that lacks bytes.
    pub fn broken(&self) -> u64 {
        self.broken
    }

    /// The chunks of an exec come before the end of its process: what is missing now is lost.
    fn handle_exit(&mut self, exit: &Exit) {
        let of_process = (exit.process.tgid, 0)..(exit.process.tgid, exit.time.boot_ns);
        let ids: Vec<ExecId> = self.waiting.range(of_process).map(|(id, _)| *id).collect();
        for id in ids {
            self.finish(id);
        }
    }

    fn waiting_for(&mut self, id: ExecId, now: Time) -> &mut Waiting {
        let wait_ns = u64::try_from(self.limits.wait.as_nanos()).unwrap_or(u64::MAX);
        self.waiting.entry(id).or_insert_with(|| Waiting {
            due_ns: now.boot_ns.saturating_add(wait_ns),
            ..Waiting::default()
        })
    }

    fn finish_if_whole(&mut self, id: ExecId) {
        if self.waiting.get(&id).is_some_and(Waiting::is_whole) {
            self.finish(id);
        }
    }

    fn finish(&mut self, id: ExecId) {
        let Some(waiting) = self.waiting.remove(&id) else {
            return;
        };
        self.bytes -= waiting.parts.values().map(Vec::len).sum::<usize>();
        let Some(mut exec) = waiting.exec else {
            return;
        };
        let mut argv = exec.argv.bytes.to_vec();
        for (offset, bytes) in waiting.parts {
            if offset != argv.len() as u64 {
                break;
            }
            argv.extend_from_slice(&bytes);
        }
        exec.argv.bytes_full = exec.argv.bytes_full.max(argv.len() as u64);
        exec.argv.bytes = argv.into();
        self.broken += u64::from(exec.argv.truncated());
        self.ready.push_back(Event::Exec(exec));
    }

    /// The oldest goes first, as far as it is known.
    fn bound(&mut self) {
        while self.waiting.len() > self.limits.execs_max || self.bytes > self.limits.bytes_max {
            let Some(id) = self.next_due(|_| true) else {
                return;
            };
            self.finish(id);
        }
    }

    fn next_due(&self, fits: impl Fn(u64) -> bool) -> Option<ExecId> {
        let (id, waiting) = self
            .waiting
            .iter()
            .min_by_key(|(_, waiting)| waiting.due_ns)?;
        fits(waiting.due_ns).then_some(*id)
    }
}

impl Waiting {
    /// Chunks do not overlap, so that it is enough to count.
    fn is_whole(&self) -> bool {
        let parts: usize = self.parts.values().map(Vec::len).sum();
        self.exec
            .as_ref()
            .is_some_and(|exec| (exec.argv.bytes.len() + parts) as u64 >= exec.argv.bytes_full)
    }
}

fn has_more(exec: &Exec) -> bool {
    exec.argv.truncated() && exec.argv.source == ArgvSource::Kernel
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::decode::Decoded;
    use crate::pipeline::exec::{ProcessKey, sample};

    fn feed(assembler: &mut Assembler, decoded: Decoded, now: Time) {
        match decoded {
            Decoded::Event(event) => assembler.handle_event(event, now),
            Decoded::ArgvPart(part) => assembler.handle_part(part, now),
            Decoded::CgroupPath(path) => panic!("no part of a command line: {path:?}"),
        }
    }

    const LIMITS: AssemblerLimits = AssemblerLimits {
        execs_max: 4,
        bytes_max: 1000,
        wait: Duration::from_secs(1),
    };

    fn at(boot_ns: u64) -> Time {
        Time {
            boot_ns,
            wall_ns: boot_ns,
        }
    }

    /// The exec of `text` by process `tgid`, with its first four bytes.
    fn head(tgid: u32, text: &str) -> Decoded {
        let mut exec = sample::exec(&[]);
        exec.process.tgid = tgid;
        exec.time = at(10);
        exec.argv.source = ArgvSource::Kernel;
        exec.argv.bytes = text.as_bytes()[..4].into();
        exec.argv.bytes_full = text.len() as u64;
        Decoded::Event(Event::Exec(Box::new(exec)))
    }

    fn part(tgid: u32, text: &str, offset: usize, end: usize) -> Decoded {
        Decoded::ArgvPart(ArgvPart {
            tgid,
            exec_boot_ns: 10,
            offset: offset as u64,
            bytes: text.as_bytes()[offset..end].to_vec(),
        })
    }

    fn handed_out(assembler: &mut Assembler) -> Vec<String> {
        let mut texts = Vec::new();
        while let Some(event) = assembler.next_event() {
            if let Event::Exec(exec) = event {
                texts.push(String::from_utf8(exec.argv.bytes.to_vec()).unwrap());
            }
        }
        texts
    }

    const TEXT: &str = "0123456789abcdef";

    #[test]
    fn the_whole_is_handed_out_whatever_comes_first() {
        let arrivals = [
            [head(1, TEXT), part(1, TEXT, 4, 10), part(1, TEXT, 10, 16)],
            [part(1, TEXT, 4, 10), head(1, TEXT), part(1, TEXT, 10, 16)],
            [part(1, TEXT, 10, 16), part(1, TEXT, 4, 10), head(1, TEXT)],
        ];
        for arrival in arrivals {
            let mut assembler = Assembler::new(LIMITS);
            for (n, decoded) in arrival.into_iter().enumerate() {
                assert!(handed_out(&mut assembler).is_empty(), "{n}");
                feed(&mut assembler, decoded, at(20));
            }
            assert_eq!(handed_out(&mut assembler), [TEXT]);
            assert_eq!((assembler.bytes, assembler.broken()), (0, 0));
            assert_eq!(assembler.poll_timeout(at(20)), None);
        }
    }

    #[test]
    fn what_is_lost_is_waited_for_no_longer_than_the_limit_and_then_counted() {
        let mut assembler = Assembler::new(LIMITS);
        feed(&mut assembler, head(1, TEXT), at(20));
        feed(&mut assembler, part(1, TEXT, 10, 16), at(20));
        assembler.handle_timeout(at(1_000_000_019));
        assert!(handed_out(&mut assembler).is_empty());
        assert_eq!(assembler.poll_timeout(at(20)), Some(Duration::from_secs(1)));
        assembler.handle_timeout(at(1_000_000_020));
        assert_eq!(handed_out(&mut assembler), ["0123"]);
        assert_eq!((assembler.bytes, assembler.broken()), (0, 1));
    }

    #[test]
    fn the_end_of_a_process_ends_the_wait_for_it_alone() {
        let mut assembler = Assembler::new(LIMITS);
        feed(&mut assembler, head(1, TEXT), at(20));
        feed(&mut assembler, head(2, TEXT), at(20));
        let process = ProcessKey {
            tgid: 1,
            start_ns: 0,
        };
        let exit = Event::Exit(Exit {
            time: at(11),
            process,
        });
        feed(&mut assembler, Decoded::Event(exit), at(20));
        assert_eq!(handed_out(&mut assembler), ["0123"]);
        assert_eq!(assembler.waiting.len(), 1);
    }

    #[test]
    fn a_flood_stays_within_the_bounds_and_loses_no_exec() {
        let mut assembler = Assembler::new(LIMITS);
        let long = "x".repeat(600);
        for tgid in 1..=50 {
            feed(&mut assembler, head(tgid, &long), at(u64::from(tgid)));
            feed(
                &mut assembler,
                part(tgid, &long, 4, 500),
                at(u64::from(tgid)),
            );
            assert!(assembler.waiting.len() <= 4 && assembler.bytes <= 1000);
        }
        assembler.handle_timeout(at(u64::MAX));
        assert_eq!(handed_out(&mut assembler).len(), 50);
        assert_eq!(assembler.broken(), 50);
    }

    #[test]
    fn a_piece_longer_than_was_announced_makes_the_whole_longer() {
        let mut assembler = Assembler::new(LIMITS);
        feed(&mut assembler, part(1, TEXT, 4, 16), at(20));
        let Decoded::Event(Event::Exec(mut exec)) = head(1, TEXT) else {
            panic!("not an exec");
        };
        exec.argv.bytes_full = 6;
        feed(&mut assembler, Decoded::Event(Event::Exec(exec)), at(20));
        let Some(Event::Exec(exec)) = assembler.next_event() else {
            panic!("not handed out");
        };
        assert_eq!((exec.argv.bytes.len(), exec.argv.bytes_full), (16, 16));
    }

    #[test]
    fn a_short_command_line_does_not_wait() {
        let mut assembler = Assembler::new(LIMITS);
        feed(
            &mut assembler,
            Decoded::Event(Event::Exec(Box::new(sample::exec(&[b"a"])))),
            at(1),
        );
        assert_eq!(handed_out(&mut assembler), ["a\0"]);
    }
}
