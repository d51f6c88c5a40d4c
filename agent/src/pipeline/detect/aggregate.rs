//! `stats … by`: what is held of one group, and the row it makes.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use uuid::Uuid;

use super::bounds::{DetectorCounters, Limits};
use super::hit::{Hit, Text, evidence_bytes};
use super::sightings::Sightings;
use super::tally::{First, Tally, Unlisted};
use super::window::{LATENESS_NS, Window};
use crate::pipeline::alert::{Evidence, Excerpt};
use crate::pipeline::exec::Time;
use crate::pipeline::filter::Fits;

/// The execs of one group, as far as they may still count together.
///
/// Every value is kept with the moment at which it was last seen, so that the row of any window can
/// be told. All is bounded: of guids, pids and command lines the first ones are kept, so that these
/// lists of an alert do not shrink; of the evidence the first and the latest half, and one exec of
/// each port. Ports and `count` stay exact; only the old edge of a waiting group's `count` is rough,
/// by a 64th of the span, once some of its guids had to be given up.
#[derive(Clone, Debug)]
pub struct Aggregate {
    threshold: Threshold,
    limits: Limits,
    ports: Sightings,
    texts: BTreeMap<Text, u64>,
    /// Command lines of what was absorbed that found no room in the list.
    texts_absorbed_unlisted: u64,
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

/// `where port_count >= N`, and which execs count together.
#[derive(Clone, Copy, Debug)]
pub struct Threshold {
    pub window: Window,
    pub port_count_min: usize,
}

/// Whether there is memory to list what is new of an exec. It is counted in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    Enough,
    None,
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
    /// How many command lines beside these there may be at most.
    pub processes_exec_omitted: u64,
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
    pub fn new(threshold: Threshold, limits: Limits) -> Self {
        Self {
            threshold,
            limits,
            ports: Sightings::new(threshold.window.reach_ns()),
            texts: BTreeMap::new(),
            texts_absorbed_unlisted: 0,
            listed: BTreeMap::new(),
            unlisted: Unlisted::new(threshold.window.slice_ns()),
            execs: Vec::new(),
            latest: Latest::default(),
            crossing: None,
            forgotten_until: 0,
        }
    }

    pub fn add(&mut self, hit: Hit, room: Room, counters: &mut DetectorCounters) -> Added {
        let at = hit.at;
        if self.holds(&hit.evidence.guid) {
            return Added::Duplicate;
        }
        if self.is_gone(at) {
            return Added::Late;
        }
        self.take_in(hit, room, counters);
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

    /// Distinct ports that may still count.
    pub fn port_count(&self) -> usize {
        self.ports.ports(|at| !self.is_gone(at)).count()
    }

    /// The ports of the row, or, while the threshold does not hold, those of the window that ends with the
    /// latest exec.
    pub fn ports(&self) -> Vec<&str> {
        let reach = self.threshold.window.reach_ns();
        let end = self.crossing.unwrap_or(self.latest.at);
        self.ports
            .ports(|at| at > end || end - at < reach)
            .collect()
    }

    /// Takes in the execs of `other`, which are later.
    pub fn absorb(&mut self, other: Self, counters: &mut DetectorCounters) {
        let Self {
            threshold: _,
            limits: _,
            ports,
            texts,
            texts_absorbed_unlisted,
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
            self.add_listed(listed, Room::Enough, counters);
        }
        self.texts_absorbed_unlisted += texts_absorbed_unlisted;
        for (text, at) in texts {
            let is_listed = self.add_text(text, at, Room::Enough, counters);
            self.texts_absorbed_unlisted += u64::from(!is_listed);
        }
        for (at, evidence) in execs {
            self.add_evidence(at, evidence, Room::Enough, counters);
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
            processes_exec_omitted: sum.texts_omitted + self.texts_absorbed_unlisted,
            ports: self.ports.ports(counts).map(str::to_owned).collect(),
            guids: listed().map(|(guid, _)| *guid).collect(),
            pids: in_string_order(listed().map(|(_, listed)| listed.pid)),
            count: sum.count,
            truncated: sum.truncated,
            faults: sum.faults,
            execs: execs.map(|(_, evidence)| evidence.clone()).collect(),
            fits: sum.fits,
        })
    }

    /// Memory it takes beside its evidence, itself not included.
    pub fn bytes(&self) -> usize {
        self.ports.bytes() + self.unlisted.bytes()
    }

    /// Memory that evidence, command lines and guids take.
    pub fn evidence_bytes(&self) -> usize {
        let execs = self.execs.iter().map(|(_, exec)| evidence_bytes(exec));
        let texts = self.texts.keys().map(Text::bytes);
        self.execs.capacity() * EXEC_BYTES
            + self.listed.len() * LISTED_BYTES
            + execs.sum::<usize>()
            + texts.sum::<usize>()
    }

    /// How much more it takes at most once `hit` is listed.
    pub fn bytes_to_list(hit: &Hit) -> usize {
        EXEC_BYTES + LISTED_BYTES + evidence_bytes(&hit.evidence) + hit.text.bytes()
    }

    pub fn has_evidence(&self) -> bool {
        !self.execs.is_empty()
    }

    /// Gives the evidence up.
    pub fn drop_evidence(&mut self, counters: &mut DetectorCounters) {
        counters.evidence_omitted += mem::take(&mut self.execs).len() as u64;
    }

    /// Gives evidence, command lines and guids up; what is counted stays counted.
    pub fn strip(&mut self, counters: &mut DetectorCounters) {
        self.drop_evidence(counters);
        counters.texts_omitted += mem::take(&mut self.texts).len() as u64;
        for listed in mem::take(&mut self.listed).into_values() {
            counters.guids_omitted += 1;
            self.unlisted.add(&listed.tally);
        }
        self.unlisted.omit_texts();
    }

    fn holds(&self, guid: &Uuid) -> bool {
        self.listed.contains_key(guid) || self.unlisted.remembers(guid)
    }

    /// Whether no window that matters reaches back to `at`.
    pub fn is_gone(&self, at: u64) -> bool {
        is_gone(at, self.horizon(), self.threshold.window.reach_ns())
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
        let reach = self.threshold.window.reach_ns();
        self.crossing
            .is_some_and(|crossing| at > crossing || crossing - at < reach)
    }

    fn tallies(&self) -> impl Iterator<Item = &Tally> {
        let listed = self.listed.values().map(|listed| &listed.tally);
        listed.chain(self.unlisted.tallies())
    }

    fn take_in(&mut self, hit: Hit, room: Room, counters: &mut DetectorCounters) {
        let mut tally = Tally::of(&hit);
        let Hit {
            at,
            port,
            text,
            evidence,
            ..
        } = hit;
        self.latest = self.latest.max(Latest {
            at,
            time: evidence.time,
        });
        if let Some(port) = port {
            self.ports.add(port, at);
        }
        let is_listed = self.add_text(text, at, room, counters);
        tally.texts_omitted = u64::from(!is_listed);
        let pid = evidence.process.tgid;
        self.add_listed(Listed { tally, pid }, room, counters);
        self.add_evidence(at, evidence, room, counters);
    }

    fn add_listed(&mut self, listed: Listed, room: Room, counters: &mut DetectorCounters) {
        if room == Room::Enough && self.listed.len() < self.limits.guids_per_group_max {
            self.listed.insert(listed.tally.first.guid, listed);
        } else {
            counters.guids_omitted += 1;
            self.unlisted.add(&listed.tally);
        }
    }

    /// Whether the text is in the list now.
    fn add_text(
        &mut self,
        text: Text,
        at: u64,
        room: Room,
        counters: &mut DetectorCounters,
    ) -> bool {
        if let Some(last_at) = self.texts.get_mut(&text) {
            *last_at = at.max(*last_at);
        } else if room == Room::Enough && self.texts.len() < self.limits.texts_per_group_max {
            self.texts.insert(text, at);
        } else {
            counters.texts_omitted += 1;
            return false;
        }
        true
    }

    fn add_evidence(
        &mut self,
        at: u64,
        evidence: Evidence,
        room: Room,
        counters: &mut DetectorCounters,
    ) {
        if room == Room::None || self.limits.evidence_per_group_max == 0 {
            counters.evidence_omitted += 1;
            return;
        }
        let place = (at, evidence.guid);
        let index = self
            .execs
            .partition_point(|(at, other)| (*at, other.guid) < place);
        // Only what is there has been made room for.
        self.execs.reserve_exact(1);
        self.execs.insert(index, (at, evidence));
        if self.execs.len() > self.limits.evidence_per_group_max {
            self.execs.remove(self.sparest_exec());
            counters.evidence_omitted += 1;
        }
    }

    /// The exec in the middle, or the next one that is not the only one of its port: a flood of one
    /// port must not push out what tells of another.
    fn sparest_exec(&self) -> usize {
        let middle = self.limits.evidence_per_group_max / 2;
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
        let found = self.ports.crossing(self.threshold.port_count_min);
        self.crossing = [self.crossing, found].into_iter().flatten().min();
    }

    /// Drops what is gone, a slice of the span at a time, and a last time when no more can go.
    fn forget(&mut self) {
        let horizon = self.horizon();
        let reach = self.threshold.window.reach_ns();
        let n_ns = horizon.saturating_sub(self.forgotten_until);
        let is_settling = self.crossing == Some(horizon) && !self.unlisted.is_settled();
        if n_ns < self.threshold.window.slice_ns() && !is_settling {
            return;
        }
        self.forgotten_until = horizon;
        let gone = |at: u64| is_gone(at, horizon, reach);
        self.ports.forget(gone);
        self.texts.retain(|_, last_at| !gone(*last_at));
        self.listed.retain(|_, listed| !gone(listed.tally.last_at));
        self.unlisted.forget(gone);
        if is_settling {
            self.unlisted.settle();
        }
        let n_gone = self.execs.partition_point(|(at, _)| gone(*at));
        self.execs.drain(..n_gone);
        self.execs.shrink_to_fit();
    }
}

/// Memory of an entry of these lists, beside that to which it refers.
const EXEC_BYTES: usize = size_of::<(u64, Evidence)>();
const LISTED_BYTES: usize = size_of::<(Uuid, Listed)>();

fn is_gone(at: u64, horizon: u64, reach_ns: u64) -> bool {
    at <= horizon && horizon - at >= reach_ns
}

/// Distinct numbers as `values()` sorts them: by their decimal text.
fn in_string_order(pids: impl Iterator<Item = u32>) -> Vec<u32> {
    let texts: BTreeSet<(String, u32)> = pids.map(|pid| (pid.to_string(), pid)).collect();
    texts.into_iter().map(|(_, pid)| pid).collect()
}
