//! `stats … by`: what is held of one group, and the row it makes.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use uuid::Uuid;

use super::counters::DetectorCounters;
use super::limits::Limits;
use super::member::{Member, Text, evidence_bytes};
use super::sightings::Sightings;
use super::suppress::Fits;
use super::tally::{First, Tally, Unlisted};
use super::window::{LATENESS_NS, Window};
use crate::pipeline::alert::{Evidence, Excerpt};
use crate::pipeline::exec::Time;

/// The execs of one group, as far as they may still count together.
///
/// Every value is kept with the moment at which it was last seen, so that the row of any window can
/// be told. All is bounded: of guids, pids and command lines the first ones are kept, so that these
/// lists of an alert do not shrink; of the evidence the first and the latest half, and one exec of
/// each port. Ports and `count` stay exact; only the old edge of a waiting group's `count` is rough, by a 64th of the span, once
/// some of its guids had to be given up.
#[derive(Clone, Debug)]
pub struct Aggregate {
    terms: Terms,
    ports: Sightings,
    texts: BTreeMap<Text, u64>,
    listed: BTreeMap<Uuid, Listed>,
    unlisted: Unlisted,
    /// In the order of time, then guid.
    execs: Vec<(u64, Evidence)>,
    latest: Latest,
    /// When the threshold first held. An exec that comes late can make it earlier.
    crossing: Option<u64>,
    /// Up to where [`forget`](Self::forget) has been.
    forgotten_until: u64,
}

/// What all groups have in common.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    pub window: Window,
    pub port_count_min: usize,
    pub limits: Limits,
}

/// What an exec did to its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// Nothing: it was counted before.
    Duplicate,
    /// Nothing: no window that matters reaches back to it.
    Late,
    /// The threshold does not hold, or held without it.
    Waiting,
    /// The threshold holds since this exec came.
    Crossed,
    /// The threshold held before, and this exec counts too.
    Grown,
}

/// One finished row.
#[derive(Clone, Debug)]
pub struct Row {
    pub first: First,
    pub last_seen: Time,
    pub processes_exec: Vec<Excerpt>,
    pub ports: Vec<String>,
    pub guids: Vec<Uuid>,
    pub pids: Vec<u32>,
    pub count: u64,
    pub truncated: u64,
    pub faults: u64,
    pub execs: Vec<Evidence>,
    /// The filters that fit every command line.
    pub fits: Fits,
}

#[derive(Clone, Debug)]
struct Listed {
    tally: Tally,
    pid: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Latest {
    at: u64,
    time: Time,
}

impl Aggregate {
    pub fn new(terms: Terms) -> Self {
        Self {
            terms,
            ports: Sightings::new(terms.window.reach_ns()),
            texts: BTreeMap::new(),
            listed: BTreeMap::new(),
            unlisted: Unlisted::new(terms.window.slice_ns()),
            execs: Vec::new(),
            latest: Latest::default(),
            crossing: None,
            forgotten_until: 0,
        }
    }

    pub fn add(&mut self, member: Member, counters: &mut DetectorCounters) -> Added {
        let at = member.at;
        if self.holds(&member.evidence.guid) {
            return Added::Duplicate;
        }
        if self.is_gone(at) {
            return Added::Late;
        }
        self.take_in(member, counters);
        let crossed_before = self.crossing.is_some();
        self.find_crossing();
        self.forget();
        match (crossed_before, self.crossing) {
            (false, Some(_)) => Added::Crossed,
            (true, _) if self.counts(at) => Added::Grown,
            _ => Added::Waiting,
        }
    }

    pub fn first_at(&self) -> u64 {
        let first = self.tallies().map(|tally| tally.first.at).min();
        first.unwrap_or(self.latest.at)
    }

    pub fn last_at(&self) -> u64 {
        self.latest.at
    }

    /// Takes in the execs of `other`, which are later.
    pub fn absorb(&mut self, other: Self, counters: &mut DetectorCounters) {
        let Self {
            terms: _,
            ports,
            texts,
            listed,
            unlisted,
            execs,
            latest,
            crossing: _,
            forgotten_until: _,
        } = other;
        self.latest = self.latest.max(latest);
        self.ports.absorb(ports);
        self.unlisted.absorb(unlisted);
        for listed in listed.into_values() {
            self.add_listed(listed, counters);
        }
        for (text, at) in texts {
            self.add_text(text, at, counters);
        }
        for (at, evidence) in execs {
            self.add_evidence(at, evidence, counters);
        }
    }

    /// The row of all execs that count; `None` while the threshold does not hold.
    pub fn row(&self) -> Option<Row> {
        let counts = |at: u64| self.counts(at);
        let sum = self
            .tallies()
            .filter(|tally| counts(tally.last_at))
            .cloned()
            .reduce(|mut sum, tally| {
                sum.add(&tally);
                sum
            })?;
        let listed = || self.listed.iter().filter(|(_, l)| counts(l.tally.last_at));
        let texts = self.texts.iter().filter(|(_, last_at)| counts(**last_at));
        let execs = self.execs.iter().filter(|(at, _)| counts(*at));
        Some(Row {
            first: sum.first,
            last_seen: self.latest.time,
            processes_exec: texts.map(|(text, _)| text.excerpt()).collect(),
            ports: self.ports.ports(counts),
            guids: listed().map(|(guid, _)| *guid).collect(),
            pids: in_string_order(listed().map(|(_, listed)| listed.pid)),
            count: sum.count,
            truncated: sum.truncated,
            faults: sum.faults,
            execs: execs.map(|(_, evidence)| evidence.clone()).collect(),
            fits: sum.fits,
        })
    }

    /// Memory that evidence, command lines and guids take.
    pub fn evidence_bytes(&self) -> usize {
        let execs = self.execs.iter().map(|(_, exec)| evidence_bytes(exec));
        let texts = self.texts.keys().map(Text::bytes);
        self.execs.capacity() * size_of::<(u64, Evidence)>()
            + self.listed.len() * size_of::<(Uuid, Listed)>()
            + execs.sum::<usize>()
            + texts.sum::<usize>()
    }

    /// Gives evidence, command lines and guids up; what is counted stays counted.
    pub fn strip(&mut self, counters: &mut DetectorCounters) {
        counters.evidence_omitted += mem::take(&mut self.execs).len() as u64;
        counters.texts_omitted += mem::take(&mut self.texts).len() as u64;
        for listed in mem::take(&mut self.listed).into_values() {
            counters.guids_omitted += 1;
            self.unlisted.add(&listed.tally);
        }
    }

    fn holds(&self, guid: &Uuid) -> bool {
        self.listed.contains_key(guid) || self.unlisted.remembers(guid)
    }

    fn is_gone(&self, at: u64) -> bool {
        is_gone(at, self.horizon(), self.terms.window.reach_ns())
    }

    /// The earliest end of a window that may still matter: of the one at the crossing, or of any in
    /// which an exec may yet come.
    fn horizon(&self) -> u64 {
        let settled = self.latest.at.saturating_sub(LATENESS_NS);
        settled.min(self.crossing.unwrap_or(u64::MAX))
    }

    /// Whether what happened at `at` belongs in the row: it lies in the window that ends at the
    /// crossing, or came after.
    fn counts(&self, at: u64) -> bool {
        let reach = self.terms.window.reach_ns();
        self.crossing
            .is_some_and(|crossing| at > crossing || crossing - at < reach)
    }

    fn tallies(&self) -> impl Iterator<Item = &Tally> {
        let listed = self.listed.values().map(|listed| &listed.tally);
        listed.chain(self.unlisted.tallies())
    }

    fn take_in(&mut self, member: Member, counters: &mut DetectorCounters) {
        let tally = Tally::of(&member);
        let Member {
            at,
            port,
            text,
            evidence,
            ..
        } = member;
        self.latest = self.latest.max(Latest {
            at,
            time: evidence.time,
        });
        if let Some(port) = port {
            self.ports.add(port, at);
        }
        let pid = evidence.process.tgid;
        self.add_listed(Listed { tally, pid }, counters);
        self.add_text(text, at, counters);
        self.add_evidence(at, evidence, counters);
    }

    fn add_listed(&mut self, listed: Listed, counters: &mut DetectorCounters) {
        if self.listed.len() < self.terms.limits.guids_per_group_max {
            self.listed.insert(listed.tally.first.guid, listed);
        } else {
            counters.guids_omitted += 1;
            self.unlisted.add(&listed.tally);
        }
    }

    fn add_text(&mut self, text: Text, at: u64, counters: &mut DetectorCounters) {
        if let Some(last_at) = self.texts.get_mut(&text) {
            *last_at = at.max(*last_at);
        } else if self.texts.len() < self.terms.limits.texts_per_group_max {
            self.texts.insert(text, at);
        } else {
            counters.texts_omitted += 1;
        }
    }

    fn add_evidence(&mut self, at: u64, evidence: Evidence, counters: &mut DetectorCounters) {
        let place = (at, evidence.guid);
        let index = self
            .execs
            .partition_point(|(at, other)| (*at, other.guid) < place);
        self.execs.insert(index, (at, evidence));
        if self.execs.len() > self.terms.limits.evidence_per_group_max {
            self.execs.remove(self.sparest_exec());
            counters.evidence_omitted += 1;
        }
    }

    /// The exec in the middle, or the next one that is not the only one of its port: a flood of one
    /// port must not push out what tells of another.
    fn sparest_exec(&self) -> usize {
        let middle = self.terms.limits.evidence_per_group_max / 2;
        let is_only_one = |index: &usize| {
            let port = &self.execs[*index].1.port;
            let same_port = self.execs.iter().filter(|(_, other)| other.port == *port);
            port.is_some() && same_port.count() == 1
        };
        let mut from_middle = (middle..self.execs.len()).chain(0..middle);
        let sparest = from_middle.find(|index| !is_only_one(index));
        sparest.unwrap_or(middle)
    }

    fn find_crossing(&mut self) {
        let found = self.ports.crossing(self.terms.port_count_min);
        self.crossing = [self.crossing, found].into_iter().flatten().min();
    }

    /// Drops what is gone, a slice of the span at a time.
    fn forget(&mut self) {
        let horizon = self.horizon();
        let reach = self.terms.window.reach_ns();
        if horizon.saturating_sub(self.forgotten_until) < self.terms.window.slice_ns() {
            return;
        }
        self.forgotten_until = horizon;
        let gone = |at: u64| is_gone(at, horizon, reach);
        self.ports.forget(gone);
        self.texts.retain(|_, last_at| !gone(*last_at));
        self.listed.retain(|_, listed| !gone(listed.tally.last_at));
        self.unlisted.forget(gone);
        let n_gone = self.execs.partition_point(|(at, _)| gone(*at));
        self.execs.drain(..n_gone);
    }
}

fn is_gone(at: u64, horizon: u64, reach_ns: u64) -> bool {
    at <= horizon && horizon - at >= reach_ns
}

/// Distinct numbers as `values()` sorts them: by their decimal text.
fn in_string_order(pids: impl Iterator<Item = u32>) -> Vec<u32> {
    let texts: BTreeSet<(String, u32)> = pids.map(|pid| (pid.to_string(), pid)).collect();
    texts.into_iter().map(|(_, pid)| pid).collect()
}
