//! Repeat control: a storm of alerts becomes a few of them and a summary that counts the others.
//!
//! Alerts and findings that are of one rule, one severity, one user and one culprit have a bucket of tokens: each new
//! one takes one, and they come back with time. Without a token it is withheld, and so are its revisions until there is
//! one: nobody can empty the bucket of another user, and what goes on is told in the end. What was withheld is told as
//! "N more", at once and then once a minute, under one id while the storm lasts. Updates of what was told are not
//! withheld: they come at growing intervals.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::alert::{Alert, AlertState, Severity};
use super::exec::Time;
use super::firewall::finding::Finding;

/// Buckets at once. Beyond, culprits share one for each rule and severity.
const BUCKETS_MAX: usize = 1024;
/// Withheld alerts of one storm whose later revisions are recognised; those of others are told.
const WITHHELD_MAX: usize = 1024;
/// Ids that a summary lists.
const IDS_MAX: usize = 16;
/// Between two lines of one summary.
const SUMMARY_INTERVAL_NS: u64 = 60_000_000_000;
/// A storm is over when nothing was withheld for so long.
const QUIET_NS: u64 = 300_000_000_000;
/// The name space of ids of summaries: a random UUID, chosen once.
const NAMESPACE: Uuid = Uuid::from_u128(0x8a4c_5a0e_6a0d_4c7a_9a35_0c0d_0f6c_71e2);

/// The first lines of an alert come at its own pace.
const REVISIONS_UNSPACED: u32 = 4;
/// The longest pause between two lines of an alert that grows, unless its own pace is slower.
const SPACING_MAX: Duration = Duration::from_secs(300);

/// How long after line `revision` of an alert the next may come: it doubles from line to line.
pub(super) fn spaced(pace: Duration, revision: u32) -> Duration {
    let doublings = revision.saturating_sub(REVISIONS_UNSPACED).min(16);
    (pace * (1 << doublings)).min(SPACING_MAX.max(pace))
}

/// How much is told one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RepeatLimits {
    /// New alerts at once.
    pub burst: u32,
    /// After so long there is room for one more.
    pub refill: Duration,
}

/// Alerts that were not told one by one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    pub id: Uuid,
    /// 0 for the first line, rising with its updates.
    pub revision: u32,
    pub state: AlertState,
    /// Name of the rule, or word of the finding.
    pub what: Arc<str>,
    pub is_finding: bool,
    /// What a person calls one of them.
    pub title: Arc<str>,
    pub severity: Severity,
    pub dest: Arc<str>,
    /// Executable of the culprit; `None`: of several.
    pub culprit: Option<Arc<[u8]>>,
    pub first_seen: Time,
    pub last_seen: Time,
    /// Alerts and findings, each counted once.
    pub withheld: u64,
    /// Their lines, updates included.
    pub lines: u64,
    /// The first ones.
    pub ids: Vec<Uuid>,
}

/// What one line is judged by.
struct Line<'a> {
    id: Uuid,
    is_first: bool,
    severity: Severity,
    what: &'a str,
    is_finding: bool,
    title: &'a str,
    culprit: Option<&'a [u8]>,
    user: &'a str,
    dest: &'a str,
    time: Time,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    what: Arc<str>,
    severity: Severity,
    user: Arc<str>,
    culprit: Option<Arc<[u8]>>,
}

#[derive(Debug)]
struct Bucket {
    /// Alerts that can still be told, as of `since_ns`.
    tokens: u32,
    since_ns: u64,
    storm: Option<Storm>,
}

#[derive(Debug)]
struct Storm {
    summary: Summary,
    /// Ids of which nothing was told yet.
    withheld: BTreeSet<Uuid>,
    told_ns: Option<u64>,
    touched_ns: u64,
    grew: bool,
}

#[derive(Debug, Default)]
pub(super) struct Repeats {
    /// `None`: everything is told.
    limits: Option<RepeatLimits>,
    buckets: BTreeMap<Key, Bucket>,
    due: Vec<Summary>,
    lines: u64,
}

impl Repeats {
    pub(super) fn new(limits: RepeatLimits) -> Self {
        Self {
            limits: Some(limits),
            ..Self::default()
        }
    }

    /// Lines that were withheld.
    pub(super) fn lines_withheld(&self) -> u64 {
        self.lines
    }

    pub(super) fn admits_alert(&mut self, alert: &Alert) -> bool {
        self.admits(&Line {
            id: alert.id,
            is_first: alert.revision == 0,
            severity: alert.rule.severity,
            what: &alert.rule.name,
            is_finding: false,
            title: &alert.rule.name,
            culprit: Some(&alert.key.parent_process_path),
            user: &alert.key.user,
            dest: &alert.key.dest,
            time: alert.last_seen,
        })
    }

    pub(super) fn admits_finding(&mut self, finding: &Finding) -> bool {
        self.admits(&Line {
            id: finding.id,
            is_first: finding.revision == 0,
            severity: finding.severity,
            what: finding.kind.as_str(),
            is_finding: true,
            title: finding.kind.title(),
            culprit: finding.origin.exe.as_deref(),
            user: finding.user.as_deref().unwrap_or_default(),
            dest: finding.dest.as_deref().unwrap_or("unknown"),
            time: finding.last_seen,
        })
    }

    fn admits(&mut self, line: &Line<'_>) -> bool {
        let Some(limits) = self.limits else {
            return true;
        };
        if !line.is_first && !self.was_withheld(line) {
            return true;
        }
        let key = self.bucket(line, limits);
        let bucket = self.buckets.get_mut(&key).expect("made a moment ago");
        if bucket.take(line.time.boot_ns, limits) {
            for storm in self.storms_mut() {
                storm.withheld.remove(&line.id);
            }
            return true;
        }
        bucket.withhold(line);
        self.lines += 1;
        false
    }

    /// At whatever severity, in a storm that is not over.
    fn was_withheld(&self, line: &Line<'_>) -> bool {
        let storms = self
            .buckets
            .values()
            .filter_map(|bucket| bucket.storm.as_ref());
        storms
            .into_iter()
            .any(|storm| storm.withheld.contains(&line.id))
    }

    fn storms_mut(&mut self) -> impl Iterator<Item = &mut Storm> {
        self.buckets
            .values_mut()
            .filter_map(|bucket| bucket.storm.as_mut())
    }

    /// The key of its bucket, which is there.
    fn bucket(&mut self, line: &Line<'_>, limits: RepeatLimits) -> Key {
        let mut key = Key {
            what: line.what.into(),
            severity: line.severity,
            user: line.user.into(),
            culprit: line.culprit.map(Arc::from),
        };
        if !self.buckets.contains_key(&key) && self.buckets.len() >= BUCKETS_MAX {
            let now_ns = line.time.boot_ns;
            self.buckets
                .retain(|_, bucket| !bucket.is_idle(now_ns, limits));
            if self.buckets.len() >= BUCKETS_MAX {
                key.culprit = None;
            }
        }
        self.buckets.entry(key.clone()).or_insert(Bucket {
            tokens: limits.burst,
            since_ns: line.time.boot_ns,
            storm: None,
        });
        key
    }

    /// Harmless early, harmful late.
    pub(super) fn handle_timeout(&mut self, now: Time) {
        for bucket in self.buckets.values_mut() {
            let Some(storm) = &mut bucket.storm else {
                continue;
            };
            if storm.due_ns() > now.boot_ns {
                continue;
            }
            let is_over = storm.closes_ns() <= now.boot_ns;
            self.due.extend(storm.tell(now.boot_ns, is_over));
            if is_over {
                bucket.storm = None;
            }
        }
    }

    /// Tells what was withheld and not told.
    pub(super) fn flush(&mut self, now: Time) {
        let storms = self.buckets.values_mut();
        for storm in storms.filter_map(|bucket| bucket.storm.as_mut()) {
            self.due.extend(storm.tell(now.boot_ns, false));
        }
    }

    pub(super) fn poll_timeout(&self, now: Time) -> Option<Duration> {
        let storms = self
            .buckets
            .values()
            .filter_map(|bucket| bucket.storm.as_ref());
        let due_ns = storms.map(Storm::due_ns).min()?;
        Some(Duration::from_nanos(due_ns.saturating_sub(now.boot_ns)))
    }

    pub(super) fn next_summary(&mut self) -> Option<Summary> {
        self.due.pop()
    }
}

impl Bucket {
    /// Whether there was a token.
    fn take(&mut self, now_ns: u64, limits: RepeatLimits) -> bool {
        self.refill(now_ns, limits);
        let left = self.tokens.checked_sub(1);
        self.tokens = left.unwrap_or(0);
        left.is_some()
    }

    fn refill(&mut self, now_ns: u64, limits: RepeatLimits) {
        let refill_ns = (limits.refill.as_nanos() as u64).max(1);
        let tokens = now_ns.saturating_sub(self.since_ns) / refill_ns;
        self.since_ns += tokens * refill_ns;
        let tokens = u32::try_from(tokens).unwrap_or(u32::MAX);
        self.tokens = self.tokens.saturating_add(tokens).min(limits.burst);
    }

    fn is_idle(&mut self, now_ns: u64, limits: RepeatLimits) -> bool {
        self.refill(now_ns, limits);
        self.storm.is_none() && self.tokens == limits.burst
    }

    fn withhold(&mut self, line: &Line<'_>) {
        let storm = self.storm.get_or_insert_with(|| Storm::begin(line));
        let Storm {
            summary,
            withheld,
            touched_ns,
            grew,
            ..
        } = storm;
        let has_room = withheld.len() < WITHHELD_MAX;
        let is_new = match has_room {
            true => withheld.insert(line.id),
            false => !withheld.contains(&line.id),
        };
        summary.lines += 1;
        summary.last_seen = summary.last_seen.max(line.time);
        if is_new {
            summary.withheld += 1;
            if summary.ids.len() < IDS_MAX {
                summary.ids.push(line.id);
            }
        }
        *touched_ns = (*touched_ns).max(line.time.boot_ns);
        *grew = true;
    }
}

/// The first line that was withheld names a storm: its alert, its severity, its time.
fn storm_id(line: &Line<'_>) -> Uuid {
    let severity = line.severity.as_str().as_bytes();
    let time = line.time.wall_ns.to_be_bytes();
    Uuid::new_v5(&NAMESPACE, &[line.id.as_bytes(), severity, &time].concat())
}

impl Storm {
    fn begin(line: &Line<'_>) -> Self {
        Self {
            summary: Summary {
                id: storm_id(line),
                revision: 0,
                state: AlertState::Open,
                what: line.what.into(),
                is_finding: line.is_finding,
                title: line.title.into(),
                severity: line.severity,
                dest: line.dest.into(),
                culprit: line.culprit.map(Arc::from),
                first_seen: line.time,
                last_seen: line.time,
                withheld: 0,
                lines: 0,
                ids: Vec::new(),
            },
            withheld: BTreeSet::new(),
            told_ns: None,
            touched_ns: line.time.boot_ns,
            grew: false,
        }
    }

    fn closes_ns(&self) -> u64 {
        self.touched_ns.saturating_add(QUIET_NS)
    }

    fn due_ns(&self) -> u64 {
        let told = self.told_ns;
        let update = told.map_or(0, |told| told.saturating_add(SUMMARY_INTERVAL_NS));
        match self.grew {
            true => update.min(self.closes_ns()),
            false => self.closes_ns(),
        }
    }

    /// `None` when everything was told. The last line says that it is over.
    fn tell(&mut self, now_ns: u64, is_over: bool) -> Option<Summary> {
        if !self.grew && !is_over {
            return None;
        }
        if is_over {
            self.summary.state = AlertState::Closed;
        }
        self.grew = false;
        let told = self.summary.clone();
        self.told_ns = Some(now_ns);
        self.summary.revision += 1;
        Some(told)
    }
}

#[cfg(test)]
mod tests;
