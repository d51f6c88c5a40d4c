//! Groups on their way: waiting, alert open, closed. And all of them, found by what they group and by
//! what is due.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use uuid::Uuid;

use super::aggregate::{Added, Aggregate, Room, Row, Threshold};
use super::bounds::{DetectorCounters, DetectorLevels, Limits};
use super::group::Group;
use super::hit::Hit;
use super::window::LATENESS_NS;
use crate::pipeline::alert::ClauseMatch;
use crate::pipeline::exec::{ProcessKey, Time, Unknown};
use crate::pipeline::repeats::spaced;

/// Least time between the first lines of one alert; it grows, except before the last.
const UPDATE_INTERVAL: Duration = Duration::from_secs(1);

/// All groups that are held, each under the number of its latest activity. Who wants to change one
/// takes it out and puts it back, so that no index can go stale.
#[derive(Debug, Default)]
pub struct Findings {
    by_activity: BTreeMap<u64, (Standing, Finding)>,
    activity_of: BTreeMap<Group, u64>,
    by_worth: BTreeSet<Worth>,
    /// Those that can give memory back.
    with_evidence: BTreeSet<Worth>,
    expiries: BTreeSet<(u64, u64)>,
    updates: BTreeSet<(u64, u64)>,
    alerts_open: usize,
    group_bytes: usize,
    evidence_bytes: usize,
}

/// Under what a finding stands in each index.
#[derive(Clone, Copy, Debug)]
struct Standing {
    worth: Worth,
    expires_at: u64,
    update_due_ns: Option<u64>,
    bytes: usize,
    evidence_bytes: usize,
}

/// The order in which findings are given up, and their evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Worth {
    is_open: bool,
    port_count: usize,
    activity: u64,
}

impl Findings {
    pub fn put(&mut self, finding: Finding) {
        let standing = Standing {
            worth: finding.worth(),
            expires_at: finding.expires_at(),
            update_due_ns: finding.update_due_ns(),
            bytes: finding.bytes(),
            evidence_bytes: finding.evidence_bytes(),
        };
        let Worth {
            is_open, activity, ..
        } = standing.worth;
        self.activity_of.insert(finding.group().clone(), activity);
        self.by_worth.insert(standing.worth);
        if finding.has_evidence() {
            self.with_evidence.insert(standing.worth);
        }
        self.expiries.insert((standing.expires_at, activity));
        if let Some(due_ns) = standing.update_due_ns {
            self.updates.insert((due_ns, activity));
        }
        self.alerts_open += usize::from(is_open);
        self.group_bytes += standing.bytes;
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

    /// The least recently active one.
    pub fn take_oldest(&mut self) -> Option<Finding> {
        let activity = *self.by_activity.first_key_value()?.0;
        self.take_numbered(activity)
    }

    pub fn get(&self, group: &Group) -> Option<&Finding> {
        let activity = self.activity_of.get(group)?;
        self.by_activity.get(activity).map(|(_, finding)| finding)
    }

    /// The one that can best be spared.
    pub fn take_least_worth(&mut self) -> Option<Finding> {
        let activity = self.by_worth.first()?.activity;
        self.take_numbered(activity)
    }

    /// The one whose evidence can best be spared.
    pub fn take_least_worth_with_evidence(&mut self) -> Option<Finding> {
        let activity = self.with_evidence.first()?.activity;
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
            group_bytes: self.group_bytes,
            evidence_bytes: self.evidence_bytes,
        }
    }

    fn take_numbered(&mut self, activity: u64) -> Option<Finding> {
        let (standing, finding) = self.by_activity.remove(&activity)?;
        self.activity_of.remove(finding.group());
        self.by_worth.remove(&standing.worth);
        self.with_evidence.remove(&standing.worth);
        self.expiries.remove(&(standing.expires_at, activity));
        if let Some(due_ns) = standing.update_due_ns {
            self.updates.remove(&(due_ns, activity));
        }
        self.alerts_open -= usize::from(standing.worth.is_open);
        self.group_bytes -= standing.bytes;
        self.evidence_bytes -= standing.evidence_bytes;
        Some(finding)
    }
}

/// What is held of one group.
///
/// Without an alert it waits for the threshold, and its old execs drop out. With an alert it only
/// grows, until no exec came for one span.
///
/// Execs may come slightly out of order. So an exec that seems to be the first after that span is
/// set aside: should one come that lies between, the alert goes on and takes both in.
#[derive(Clone, Debug)]
pub struct Finding {
    group: Group,
    threshold: Threshold,
    limits: Limits,
    stats: Aggregate,
    alert: Option<OpenAlert>,
    /// What came after the open alert.
    aside: Option<Aggregate>,
    /// Rises with every exec that is added to any group.
    activity: u64,
    /// When the latest exec was handed in, on the window's clock.
    arrived_at: u64,
}

/// What stays the same in all lines of an alert, and how far they have come.
#[derive(Clone, Debug)]
pub struct OpenAlert {
    pub id: Uuid,
    pub matched: Vec<ClauseMatch>,
    pub parent: ProcessKey,
    pub parent_unknown: Option<Unknown>,
    pub parent_deleted: bool,
    pub parent_memfd: bool,
    /// Number of the next line.
    pub revision: u32,
    /// When a line was last made, reported or withheld, in boot time.
    pub line_boot_ns: u64,
    /// It has grown since.
    pub changed: bool,
}

impl Finding {
    pub fn new(group: Group, threshold: Threshold, limits: Limits) -> Self {
        Self {
            group,
            threshold,
            limits,
            stats: Aggregate::new(threshold, limits),
            alert: None,
            aside: None,
            activity: 0,
            arrived_at: 0,
        }
    }

    pub fn group(&self) -> &Group {
        &self.group
    }

    pub fn alert(&self) -> Option<&OpenAlert> {
        self.alert.as_ref()
    }

    pub fn row(&self) -> Option<Row> {
        self.stats.row()
    }

    /// The ports that count together with an exec at `at`, and the alert that they belong to.
    pub fn standing(&self, at: u64) -> (Vec<&str>, Option<&OpenAlert>) {
        match &self.aside {
            Some(aside) if self.is_after_alert(at) => (aside.ports(), None),
            _ => (self.stats.ports(), self.alert.as_ref()),
        }
    }

    /// Whether the latest exec that was handed in, which happened at `time`, came too late to count with others
    /// of its time: their window was over, or they were given up.
    pub fn is_late(&self, time: Time) -> bool {
        let window = self.threshold.window;
        let at = window.clock(time);
        let is_over = window.last_end(time).saturating_add(LATENESS_NS) <= self.arrived_at;
        self.stats.is_gone(at) || (is_over && self.stats.first_at() == at)
    }

    /// Adds an exec that was handed in at `now`, as the `activity`-th. [`Added::Crossed`] asks for
    /// [`open`](Self::open); if an alert is open then, it has come to its end.
    pub fn add(
        &mut self,
        hit: Hit,
        room: Room,
        activity: u64,
        now: Time,
        counters: &mut DetectorCounters,
    ) -> Added {
        self.activity = activity;
        self.arrived_at = self.threshold.window.clock(now);
        if self.is_after_alert(hit.at) {
            let begin = || Aggregate::new(self.threshold, self.limits);
            let aside = self.aside.get_or_insert_with(begin);
            return aside.add(hit, room, counters);
        }
        let added = self.stats.add(hit, room, counters);
        self.rejoin(counters);
        if let (Added::Grown, Some(alert)) = (added, &mut self.alert) {
            alert.changed = true;
        }
        added
    }

    pub fn open(&mut self, alert: OpenAlert) {
        self.alert = Some(alert);
    }

    /// Ends the alert and begins afresh with what came after it. False when there is nothing.
    pub fn begin_afresh(&mut self) -> bool {
        self.alert = None;
        match self.aside.take() {
            Some(aside) => {
                self.stats = aside;
                true
            }
            None => false,
        }
    }

    /// A line was made of the alert as it is now, and was reported or withheld.
    pub fn line_made(&mut self, now: Time, reported: bool) {
        if let Some(alert) = &mut self.alert {
            alert.revision = alert.revision.saturating_add(reported.into());
            alert.line_boot_ns = now.boot_ns;
            alert.changed = false;
        }
    }

    /// Memory it takes beside its evidence.
    pub fn bytes(&self) -> usize {
        let aside = self.aside.as_ref().map_or(0, Aggregate::bytes);
        let matched = self.alert.iter().flat_map(|alert| &alert.matched);
        let matched = matched
            .map(|clause| size_of::<ClauseMatch>() + clause.clause.len() + clause.found.len());
        // The group stands in an index too.
        size_of::<(Self, Standing, Group)>()
            + self.group.bytes()
            + self.stats.bytes()
            + aside
            + matched.sum::<usize>()
    }

    pub fn evidence_bytes(&self) -> usize {
        let aside = self.aside.as_ref();
        self.stats.evidence_bytes() + aside.map_or(0, Aggregate::evidence_bytes)
    }

    /// Gives up evidence, command lines and guids; of an open alert only its evidence, for what it
    /// lists has been reported, and an alert only grows.
    pub fn strip(&mut self, counters: &mut DetectorCounters) {
        if self.alert.is_some() {
            self.stats.drop_evidence(counters);
        } else {
            self.stats.strip(counters);
        }
        if let Some(aside) = &mut self.aside {
            aside.strip(counters);
        }
    }

    /// Whether [`strip`](Self::strip) gives memory back.
    fn has_evidence(&self) -> bool {
        let gives = |stats: &Aggregate| stats.evidence_bytes() > 0;
        match self.alert {
            Some(_) => self.stats.has_evidence() || self.aside.as_ref().is_some_and(gives),
            None => gives(&self.stats),
        }
    }

    fn worth(&self) -> Worth {
        Worth {
            is_open: self.alert.is_some(),
            port_count: self.stats.port_count(),
            activity: self.activity,
        }
    }

    /// From when on no exec can be added any more, on the window's clock. The allowance for late
    /// ones runs at least from the latest arrival: a backlog is not cut off from its own beginning.
    fn expires_at(&self) -> u64 {
        let end_of_span = || {
            let span_ns = self.threshold.window.span_ns();
            self.stats.last_at().saturating_add(span_ns)
        };
        let over_at = self.group.bucket_end.unwrap_or_else(end_of_span);
        over_at.max(self.arrived_at).saturating_add(LATENESS_NS)
    }

    /// When the next line of an open alert is due, in boot time.
    fn update_due_ns(&self) -> Option<u64> {
        let alert = self.alert.as_ref().filter(|alert| alert.changed)?;
        let interval = spaced(UPDATE_INTERVAL, alert.revision).as_nanos() as u64;
        Some(alert.line_boot_ns.saturating_add(interval))
    }

    /// Whether an exec at `at` comes a whole span after the latest of the open alert.
    fn is_after_alert(&self, at: u64) -> bool {
        let silence_ns = at.saturating_sub(self.stats.last_at());
        self.alert.is_some() && silence_ns >= self.threshold.window.reach_ns()
    }

    /// Takes back what was set aside, if that is not a span later any more.
    fn rejoin(&mut self, counters: &mut DetectorCounters) {
        let again = |aside: &Aggregate| !self.is_after_alert(aside.first_at());
        if self.aside.as_ref().is_some_and(again)
            && let Some(aside) = self.aside.take()
        {
            self.stats.absorb(aside, counters);
        }
    }
}
