//! All groups that are held, found by what they group and by what is due.

use std::collections::{BTreeMap, BTreeSet};

use super::counters::DetectorLevels;
use super::finding::Finding;
use super::group::Group;

/// The findings, each under the number of its latest activity. Who wants to change one takes it out
/// and puts it back, so that no index can go stale.
#[derive(Debug, Default)]
pub struct Findings {
    by_activity: BTreeMap<u64, (Standing, Finding)>,
    activity_of: BTreeMap<Group, u64>,
    /// Those without an alert first.
    to_evict: BTreeSet<(bool, u64)>,
    with_evidence: BTreeSet<u64>,
    expiries: BTreeSet<(u64, u64)>,
    updates: BTreeSet<(u64, u64)>,
    alerts_open: usize,
    evidence_bytes: usize,
}

/// Under what a finding stands in each index.
#[derive(Clone, Copy, Debug)]
struct Standing {
    open: bool,
    expires_at: u64,
    update_due_ns: Option<u64>,
    evidence_bytes: usize,
}

impl Findings {
    pub fn put(&mut self, finding: Finding) {
        let activity = finding.activity();
        let standing = Standing {
            open: finding.alert().is_some(),
            expires_at: finding.expires_at(),
            update_due_ns: finding.update_due_ns(),
            evidence_bytes: finding.evidence_bytes(),
        };
        self.activity_of.insert(finding.group().clone(), activity);
        self.to_evict.insert((standing.open, activity));
        self.expiries.insert((standing.expires_at, activity));
        if let Some(due_ns) = standing.update_due_ns {
            self.updates.insert((due_ns, activity));
        }
        if standing.evidence_bytes > 0 {
            self.with_evidence.insert(activity);
        }
        self.alerts_open += usize::from(standing.open);
        self.evidence_bytes += standing.evidence_bytes;
        self.by_activity.insert(activity, (standing, finding));
    }

    pub fn take(&mut self, group: &Group) -> Option<Finding> {
        let activity = *self.activity_of.get(group)?;
        self.take_numbered(activity)
    }

    /// The next one that can have no more execs by `moment`, on the window's clock.
    pub fn take_expired(&mut self, moment: u64) -> Option<Finding> {
        let (expires_at, activity) = *self.expiries.first()?;
        (expires_at <= moment).then(|| self.take_numbered(activity))?
    }

    /// The next one of which a line is due by `boot_ns`.
    pub fn take_update_due(&mut self, boot_ns: u64) -> Option<Finding> {
        let (due_ns, activity) = *self.updates.first()?;
        (due_ns <= boot_ns).then(|| self.take_numbered(activity))?
    }

    /// The one that can best be spared.
    pub fn take_least_wanted(&mut self) -> Option<Finding> {
        let (_, activity) = *self.to_evict.first()?;
        self.take_numbered(activity)
    }

    /// The least recently active of those with evidence. An alert's evidence has been reported by
    /// then, so an open alert is no reason to spare it.
    pub fn take_oldest_with_evidence(&mut self) -> Option<Finding> {
        let activity = *self.with_evidence.first()?;
        self.take_numbered(activity)
    }

    pub fn next_expiry(&self) -> Option<u64> {
        self.expiries.first().map(|(expires_at, _)| *expires_at)
    }

    pub fn next_update_ns(&self) -> Option<u64> {
        self.updates.first().map(|(due_ns, _)| *due_ns)
    }

    pub fn levels(&self) -> DetectorLevels {
        DetectorLevels {
            groups: self.by_activity.len(),
            alerts_open: self.alerts_open,
            evidence_bytes: self.evidence_bytes,
        }
    }

    fn take_numbered(&mut self, activity: u64) -> Option<Finding> {
        let (standing, finding) = self.by_activity.remove(&activity)?;
        self.activity_of.remove(finding.group());
        self.to_evict.remove(&(standing.open, activity));
        self.expiries.remove(&(standing.expires_at, activity));
        if let Some(due_ns) = standing.update_due_ns {
            self.updates.remove(&(due_ns, activity));
        }
        self.with_evidence.remove(&activity);
        self.alerts_open -= usize::from(standing.open);
        self.evidence_bytes -= standing.evidence_bytes;
        Some(finding)
    }
}
