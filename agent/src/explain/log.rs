//! The lines of an alert log as far as they matter for one id: the finding itself, and of all others what
//! tells whether they are near.
//!
//! A log has no bound, and standard input is read once. So of other findings a summary is kept, the latest
//! [`SUMMARIES_MAX`] of them, and of gaps and heartbeats the latest as well; what was let go is counted.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::str::FromStr;

use jiff::Timestamp;
use serde_json::Value;
use thiserror::Error;
use uuid::Uuid;

use crate::alert_log::{self, NoEvent};

use super::view::{View, field};

/// Other findings that are kept: at 2 KiB each, the most, that is 32 MiB.
const SUMMARIES_MAX: usize = 16_384;
/// Findings whose id fits: more than one is ambiguous anyway.
const FOUND_MAX: usize = 64;
const GAPS_MAX: usize = 4096;
/// Eleven days of one each minute.
const BEATS_MAX: usize = 16_384;
/// Processes of one finding by which it is joined with others.
const PROCESSES_MAX: usize = 32;
const CAUSES_MAX: usize = 8;

/// Hexadecimal digits of an id that are enough to ask for it.
const DIGITS_MIN: usize = 8;
const DIGITS_MAX: usize = 32;

/// An id, or how it begins: in lower case, without hyphens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdPrefix(String);

impl FromStr for IdPrefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits: String = text.chars().filter(|&char| char != '-').collect();
        let is_id = digits.chars().all(|digit| digit.is_ascii_hexdigit());
        if !is_id || !(DIGITS_MIN..=DIGITS_MAX).contains(&digits.len()) {
            return Err(format!(
                "expected an id or its first {DIGITS_MIN} or more hexadecimal digits"
            ));
        }
        Ok(Self(digits.to_ascii_lowercase()))
    }
}

impl IdPrefix {
    fn fits(&self, id: Uuid) -> bool {
        id.simple().to_string().starts_with(&self.0)
    }
}

/// Why a line is passed over.
#[derive(Debug, Error)]
pub enum LineError {
    #[error(transparent)]
    NoEvent(#[from] NoEvent),
    #[error("schema {schema} is not known, expected {expected}")]
    Schema {
        schema: String,
        expected: &'static str,
    },
    #[error("expected an id that is a UUID")]
    Id,
}

/// A process as the log names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    pub pid: u64,
    pub start_ns: u64,
}

impl Process {
    pub fn of(view: View<'_>) -> Option<Self> {
        let pid = view.at("pid").number()?;
        let start_ns = view.at("start_ns").count();
        Some(Self { pid, start_ns })
    }

    /// Whether to come from it says something: from init everything comes.
    fn tells(&self) -> bool {
        self.pid > 1
    }
}

/// Of a finding or an alert what a list shows, and by what it is joined with others.
#[derive(Clone, Debug)]
pub struct Summary {
    pub id: Uuid,
    pub what: String,
    pub severity: String,
    pub risk_score: u64,
    pub first: Timestamp,
    pub last: Timestamp,
    pub host: Host,
    /// Its parent or origin.
    pub anchors: BTreeSet<Process>,
    /// All of whom it is known that they had to do with it.
    pub kin: BTreeSet<Process>,
    revision: u64,
}

/// One boot of one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    pub name: String,
    boot_id: Option<Uuid>,
}

impl Host {
    fn of(line: View<'_>) -> Self {
        let host = line.at("host");
        Self {
            name: host.at("name").shown_or("unknown"),
            boot_id: host
                .at("boot_id")
                .text()
                .and_then(|id| Uuid::parse_str(id).ok()),
        }
    }
}

impl Summary {
    pub fn of(line: View<'_>) -> Result<Self, LineError> {
        let id = line.at("id").text();
        let id = id.and_then(|id| Uuid::parse_str(id).ok());
        let first = line.at("first_seen").time().unwrap_or(Timestamp::MIN);
        let (anchors, kin) = processes(line);
        Ok(Self {
            id: id.ok_or(LineError::Id)?,
            what: what(line),
            severity: line.at("severity").shown_or("unknown"),
            risk_score: line.at("risk_score").count(),
            first,
            last: line.at("last_seen").time().unwrap_or(first).max(first),
            host: Host::of(line),
            anchors,
            kin,
            revision: line.at("revision").count(),
        })
    }

    /// A process that both have to do with, and that is the parent or the origin of one of them.
    pub fn common(&self, other: &Self) -> Option<Process> {
        let ours = self.anchors.intersection(&other.kin);
        let theirs = other.anchors.intersection(&self.kin);
        ours.chain(theirs).next().copied()
    }
}

/// What was found, by its stable name.
pub fn what(line: View<'_>) -> String {
    let finding = line.at("finding").shown();
    finding.unwrap_or_else(|| line.at("rule").at("name").shown_or("unknown"))
}

fn processes(line: View<'_>) -> (BTreeSet<Process>, BTreeSet<Process>) {
    let parent = line.at("parent");
    let adopted = parent.at("origin");
    let lineage = line.at("lineage");
    let origin = line.at("origin");
    let set = |views: &mut dyn Iterator<Item = View<'_>>| {
        let told = views.filter_map(Process::of).filter(Process::tells);
        told.take(PROCESSES_MAX).collect::<BTreeSet<Process>>()
    };
    let anchors = set(&mut [parent, origin]
        .into_iter()
        .chain(adopted.list().take(1))
        .chain(lineage.list().take(2)));
    let mut kin = set(&mut lineage
        .list()
        .chain(parent.at("ancestry").list())
        .chain(adopted.list()));
    kin.extend(&anchors);
    (anchors, kin)
}

/// When something was lost.
#[derive(Clone, Debug)]
pub struct Gap {
    pub from: Timestamp,
    pub to: Timestamp,
    pub why: String,
    pub execs_lost: u64,
    pub overruns: u64,
    pub causes: Vec<(String, u64)>,
    pub host: Host,
}

/// The books of one heartbeat that tell of what was dropped.
#[derive(Clone, Copy, Debug)]
pub struct Books {
    pub execs_lost: u64,
    pub lines_lost: u64,
    pub groups_evicted: u64,
    pub tamper_groups_dropped: u64,
    pub netfilter_omitted: u64,
    pub netfilter_malformed: u64,
}

#[derive(Clone, Debug)]
pub struct Beat {
    pub time: Timestamp,
    /// When that run of the agent began to count.
    pub since: Timestamp,
    pub host: Host,
    pub books: Books,
}

/// What is known of the log.
#[derive(Debug)]
pub struct Log {
    wanted: IdPrefix,
    found: BTreeMap<Uuid, (Summary, Value)>,
    summaries: BTreeMap<(Timestamp, Uuid), Summary>,
    last_of: BTreeMap<Uuid, Timestamp>,
    gaps: VecDeque<Gap>,
    beats: VecDeque<Beat>,
    /// Summaries, gaps and heartbeats that were let go, and findings too many.
    let_go: u64,
}

/// What the log has under the wanted id.
#[derive(Debug)]
pub enum Found<'a> {
    Nothing,
    One(&'a Summary, &'a Value),
    /// In the order of their ids.
    Several(Vec<&'a Summary>),
}

impl Log {
    pub fn new(wanted: IdPrefix) -> Self {
        Self {
            wanted,
            found: BTreeMap::new(),
            summaries: BTreeMap::new(),
            last_of: BTreeMap::new(),
            gaps: VecDeque::new(),
            beats: VecDeque::new(),
            let_go: 0,
        }
    }

    /// Takes one line in. Kinds that say nothing here are passed over without a word.
    pub fn take(&mut self, line: &[u8]) -> Result<(), LineError> {
        let value = alert_log::event(line)?;
        let view = View::of(&value);
        let schema = view.at("schema").text().unwrap_or_default();
        let kind = schema.split('/').next().unwrap_or_default();
        let expected = match kind {
            "wallwatch.alert" => "wallwatch.alert/1",
            "wallwatch.finding" => "wallwatch.finding/1",
            "wallwatch.gap" => "wallwatch.gap/1",
            "wallwatch.heartbeat" => "wallwatch.heartbeat/1",
            _ => return Ok(()),
        };
        if schema != expected {
            let schema = field(schema);
            return Err(LineError::Schema { schema, expected });
        }
        match kind {
            "wallwatch.gap" => self.take_gap(view),
            "wallwatch.heartbeat" => self.take_beat(view),
            _ => return self.take_finding(value),
        }
        Ok(())
    }

    pub fn found(&self) -> Found<'_> {
        let mut values = self.found.values();
        match (values.next(), values.next()) {
            (None, _) => Found::Nothing,
            (Some((summary, value)), None) => Found::One(summary, value),
            (Some(_), Some(_)) => {
                Found::Several(self.found.values().map(|(summary, _)| summary).collect())
            }
        }
    }

    /// Other findings of that host of which a part lies between two moments; the earliest end first.
    pub fn others<'a>(
        &'a self,
        of: &'a Summary,
        from: Timestamp,
        to: Timestamp,
    ) -> impl Iterator<Item = &'a Summary> {
        let ended_later = self.summaries.range((from, Uuid::nil())..);
        ended_later
            .map(|(_, summary)| summary)
            .filter(move |other| other.first <= to && other.id != of.id && other.host == of.host)
    }

    /// Gaps of that host of which a part lies between two moments.
    pub fn gaps<'a>(
        &'a self,
        host: &'a Host,
        from: Timestamp,
        to: Timestamp,
    ) -> impl Iterator<Item = &'a Gap> {
        self.gaps
            .iter()
            .filter(move |gap| gap.host == *host && gap.from <= to && gap.to >= from)
    }

    /// The books of that host before and after; `None` where no run of the agent kept them all the time.
    pub fn books(
        &self,
        host: &Host,
        from: Timestamp,
        to: Timestamp,
    ) -> Option<(Option<Books>, Books)> {
        let own = || self.beats.iter().filter(|beat| beat.host == *host);
        let after = own()
            .filter(|beat| beat.time >= to && beat.since <= from)
            .min_by_key(|beat| beat.time)?;
        let before = own()
            .filter(|beat| beat.time <= from && beat.since == after.since)
            .max_by_key(|beat| beat.time);
        Some((before.map(|beat| beat.books), after.books))
    }

    /// Events that found no room: what is near may be missing.
    pub fn let_go(&self) -> u64 {
        self.let_go
    }

    fn take_finding(&mut self, value: Value) -> Result<(), LineError> {
        let summary = Summary::of(View::of(&value))?;
        let id = summary.id;
        let known = self.last_of.get(&id).map(|last| (*last, id));
        let known_revision = match self.found.get(&id) {
            Some((found, _)) => Some(found.revision),
            None => known.and_then(|key| Some(self.summaries.get(&key)?.revision)),
        };
        if known_revision > Some(summary.revision) {
            return Ok(());
        }
        if let Some(key) = known {
            self.summaries.remove(&key);
        }
        if self.wanted.fits(id) {
            if self.found.len() < FOUND_MAX || self.found.contains_key(&id) {
                self.found.insert(id, (summary.clone(), value));
            } else {
                self.let_go += 1;
            }
        }
        self.last_of.insert(id, summary.last);
        self.summaries.insert((summary.last, id), summary);
        if self.summaries.len() > SUMMARIES_MAX
            && let Some(((_, id), _)) = self.summaries.pop_first()
        {
            self.last_of.remove(&id);
            self.let_go += 1;
        }
        Ok(())
    }

    fn take_gap(&mut self, line: View<'_>) {
        let from = line.at("from").time().unwrap_or(Timestamp::MIN);
        let causes = line.at("causes").counts();
        let gap = Gap {
            from,
            to: line.at("to").time().unwrap_or(from),
            why: line.at("why").shown_or("unknown"),
            execs_lost: line.at("execs_lost").count(),
            overruns: line.at("overruns").count(),
            causes: causes
                .take(CAUSES_MAX)
                .map(|(cause, execs)| (field(cause), execs))
                .collect(),
            host: Host::of(line),
        };
        self.let_go += push(&mut self.gaps, gap, GAPS_MAX);
    }

    fn take_beat(&mut self, line: View<'_>) {
        let (Some(time), Some(since)) = (line.at("time").time(), line.at("since").time()) else {
            return;
        };
        let netfilter = line.at("netfilter");
        let beat = Beat {
            time,
            since,
            host: Host::of(line),
            books: Books {
                execs_lost: line.at("sensor").at("execs_lost").count(),
                lines_lost: line.at("lines_lost").count(),
                groups_evicted: line.at("groups_evicted").count(),
                tamper_groups_dropped: line.at("tamper").at("groups_dropped").count(),
                netfilter_omitted: netfilter.at("omitted").count(),
                netfilter_malformed: netfilter.at("malformed").count(),
            },
        };
        self.let_go += push(&mut self.beats, beat, BEATS_MAX);
    }
}

/// Puts the latest in, and says how many had to go for it.
fn push<T>(queue: &mut VecDeque<T>, item: T, count_max: usize) -> u64 {
    let is_full = queue.len() >= count_max;
    if is_full {
        queue.pop_front();
    }
    queue.push_back(item);
    is_full.into()
}
