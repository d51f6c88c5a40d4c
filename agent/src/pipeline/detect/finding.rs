//! One group on its way: waiting, alert open, closed.

use uuid::Uuid;

use super::aggregate::{Added, Aggregate, Row, Terms};
use super::counters::DetectorCounters;
use super::group::Group;
use super::member::Member;
use super::window::LATENESS_NS;
use crate::pipeline::alert::ClauseMatch;
use crate::pipeline::exec::{ProcessKey, Time, Unknown};

/// Least time between two lines of one alert, except the last.
const UPDATE_INTERVAL_NS: u64 = 1_000_000_000;

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
    terms: Terms,
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
    /// Number of the next line.
    pub revision: u32,
    /// When a line was last made, reported or withheld, in boot time.
    pub line_boot_ns: u64,
    /// It has grown since.
    pub changed: bool,
}

impl Finding {
    pub fn new(group: Group, terms: Terms) -> Self {
        Self {
            group,
            terms,
            stats: Aggregate::new(terms),
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

    pub fn activity(&self) -> u64 {
        self.activity
    }

    /// Adds an exec that was handed in at `now`, as the `activity`-th. [`Added::Crossed`] asks for
    /// [`open`](Self::open); if an alert is open then, it has come to its end.
    pub fn add(
        &mut self,
        member: Member,
        activity: u64,
        now: Time,
        counters: &mut DetectorCounters,
    ) -> Added {
        self.activity = activity;
        self.arrived_at = self.terms.window.clock(now);
        if self.is_after_alert(member.at) {
            let terms = self.terms;
            let aside = self.aside.get_or_insert_with(|| Aggregate::new(terms));
            return aside.add(member, counters);
        }
        let added = self.stats.add(member, counters);
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

    /// From when on no exec can be added any more, on the window's clock. The allowance for late
    /// ones runs at least from the latest arrival: a backlog is not cut off from its own beginning.
    pub fn expires_at(&self) -> u64 {
        let end_of_span = || {
            let span_ns = self.terms.window.span_ns();
            self.stats.last_at().saturating_add(span_ns)
        };
        let over_at = self.group.bucket_end.unwrap_or_else(end_of_span);
        over_at.max(self.arrived_at).saturating_add(LATENESS_NS)
    }

    /// When the next line of an open alert is due, in boot time.
    pub fn update_due_ns(&self) -> Option<u64> {
        let alert = self.alert.as_ref().filter(|alert| alert.changed)?;
        Some(alert.line_boot_ns.saturating_add(UPDATE_INTERVAL_NS))
    }

    pub fn evidence_bytes(&self) -> usize {
        let aside = self.aside.as_ref();
        self.stats.evidence_bytes() + aside.map_or(0, Aggregate::evidence_bytes)
    }

    /// Gives evidence, command lines and guids up.
    pub fn strip(&mut self, counters: &mut DetectorCounters) {
        self.stats.strip(counters);
        if let Some(aside) = &mut self.aside {
            aside.strip(counters);
        }
    }

    /// Whether an exec at `at` comes a whole span after the latest of the open alert.
    fn is_after_alert(&self, at: u64) -> bool {
        let silence_ns = at.saturating_sub(self.stats.last_at());
        self.alert.is_some() && silence_ns >= self.terms.window.reach_ns()
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
