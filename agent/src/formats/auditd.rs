//! Records of the audit daemon, raw or enriched: `type=SYSCALL msg=audit(1795488043.803:17): arch=…`.
//!
//! The records of one event have the same stamp (`audit(SECONDS.MILLISECONDS:SERIAL)`) and host (`node=`), and may stand
//! between those of others. The kernel ends an event with PROCTITLE (`audit_log_exit` in
//! `kernel/auditsc.c`), older ones with EOE, which the daemon passes on to its plugins and does not write to disk. Without either it ends two seconds later,
//! as for `ausearch` (`end_of_event_timeout` in `auditd.conf(5)`).

pub(super) mod event;
mod fields;
mod record;
pub(super) mod stamp;
pub(super) mod syscall;

use std::collections::VecDeque;
use std::sync::Arc;

use super::parents::Parents;
use super::{Counters, Item, Malformed};
use crate::pipeline::exec::ArgvSource;
use event::{Event, Finished};
use record::{Kind, NoRecord, Record};
use stamp::Stamp;

/// Events that are open at one time. Their records come almost together; the kernel's own queue holds fewer
/// on most hosts.
const OPEN_MAX: usize = 256;

const OPEN_NS_MAX: u64 = 2_000_000_000;

/// Joins records to events.
pub(super) struct Auditd {
    /// The earliest begun first.
    open: VecDeque<Event>,
    /// What the records of the open events take, and the most that they may.
    bytes: usize,
    bytes_max: usize,
    parents: Parents,
    cut_short: u64,
    /// Most logs are of one host.
    latest_node: Arc<str>,
}

impl Auditd {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            open: VecDeque::new(),
            bytes: 0,
            bytes_max,
            parents: Parents::default(),
            cut_short: 0,
            latest_node: Arc::default(),
        }
    }

    pub(super) fn counters(&self) -> Counters {
        Counters {
            events_cut_short: self.cut_short,
            parents_forgotten: self.parents.forgotten(),
        }
    }

    pub(super) fn handle_line(&mut self, line: &[u8], number: u64, items: &mut Vec<Item>) {
        let record = match Record::parse(line) {
            Ok(record) => record,
            Err(NoRecord::Other) => return items.push(Item::PassedOver),
            Err(NoRecord::Malformed(why)) => return items.push(malformed(number, why)),
        };
        let node = self.node(record.node);
        self.finish_old(record.stamp, &node, items);
        let known = self
            .open
            .iter()
            .rposition(|event| event.is(record.stamp, &node));
        let index = match (known, record.kind) {
            (Some(index), _) => index,
            (None, Kind::Eoe) => return,
            (None, Kind::Other) => return items.push(Item::PassedOver),
            (None, Kind::Syscall | Kind::Execve | Kind::Path | Kind::Proctitle) => {
                self.make_room(items);
                self.open.push_back(Event::new(record.stamp, node, number));
                self.open.len() - 1
            }
        };
        let before = self.open[index].bytes();
        if let Err(why) = self.open[index].handle_record(&record) {
            items.push(malformed(number, why));
        }
        self.bytes += self.open[index].bytes() - before;
        if matches!(record.kind, Kind::Proctitle | Kind::Eoe) {
            self.finish(index, items);
        } else if self.bytes > self.bytes_max {
            self.finish_largest(items);
        }
    }

    pub(super) fn handle_end(&mut self, items: &mut Vec<Item>) {
        while !self.open.is_empty() {
            self.finish(0, items);
        }
    }

    fn node(&mut self, node: &[u8]) -> Arc<str> {
        if *self.latest_node.as_bytes() != *node {
            self.latest_node = String::from_utf8_lossy(node).into();
        }
        self.latest_node.clone()
    }

    fn finish_old(&mut self, stamp: Stamp, node: &Arc<str>, items: &mut Vec<Item>) {
        let until = stamp.time_ns.saturating_sub(OPEN_NS_MAX);
        while let Some(index) = self
            .open
            .iter()
            .position(|event| event.is_older(until, node))
        {
            self.finish(index, items);
        }
    }

    fn make_room(&mut self, items: &mut Vec<Item>) {
        if self.open.len() >= OPEN_MAX {
            self.finish(0, items);
        }
    }

    /// What is too large for the bound is of no use, and its room is.
    fn finish_largest(&mut self, items: &mut Vec<Item>) {
        let largest = (0..self.open.len()).max_by_key(|&index| self.open[index].bytes());
        let Some(event) = largest.and_then(|index| self.open.remove(index)) else {
            return;
        };
        self.bytes -= event.bytes();
        let why = format!("an event longer than {} bytes", self.bytes_max);
        items.push(malformed(event.line(), why));
    }

    fn finish(&mut self, index: usize, items: &mut Vec<Item>) {
        let Some(event) = self.open.remove(index) else {
            return;
        };
        self.bytes -= event.bytes();
        let line = event.line();
        match event.finish(&mut self.parents) {
            Ok(Finished::Exec(exec)) => {
                let is_whole = exec.argv.source == ArgvSource::Recording && !exec.argv.truncated();
                self.cut_short += u64::from(!is_whole);
                items.push(Item::Exec(exec));
            }
            Ok(Finished::Other) => items.push(Item::PassedOver),
            Ok(Finished::Told) => {}
            Err(why) => items.push(malformed(line, why)),
        }
    }
}

fn malformed(line: u64, why: String) -> Item {
    Item::Malformed(Malformed { line, why })
}
