//! One finding while it grows.

use std::collections::BTreeSet;
use std::sync::Arc;

use uuid::Uuid;

use super::allowed::Allowed;
use super::edit::EditEvidence;
use super::finding::{ChangeEvidence, Finding, FindingKind, Reason, Witness};
use super::hashes::Content;
use super::origin::Origin;
use super::severity::weigh;
use super::tamper::{Host, TamperLimits};
use crate::pipeline::alert::{AlertState, Ancestor, Evidence, Severity};
use crate::pipeline::exec::Time;
use crate::pipeline::filter::Fits;
use crate::pipeline::repeats::spaced;

/// Changes, edits and execs that a finding lists; the others are counted.
const CHANGES_MAX: usize = 32;
const EDITS_MAX: usize = 32;
const EXECS_MAX: usize = 16;

#[derive(Debug)]
pub(super) struct Group {
    finding: Finding,
    reasons: BTreeSet<Reason>,
    /// Of the execs that are not listed, the one that was counted last.
    last_omitted: Option<Uuid>,
    /// When something was added last, and when it was told last (`None`: never), on the clock of whoever asks what is
    /// due: an event may be late.
    touched_ns: u64,
    told_ns: Option<u64>,
    /// The severity that was told last.
    told_severity: Severity,
    /// Whether something was added since.
    grew: bool,
    /// Whether a line of it was told at all.
    is_known: bool,
    /// Which filters fit everything that was added; `None` before the first.
    fits: Option<Fits>,
}

impl Group {
    pub(super) fn new(id: Uuid, kind: FindingKind, host: Host, origin: Origin, time: Time) -> Self {
        let reasons = BTreeSet::new();
        let (risk_score, severity) = weigh(kind, &reasons);
        Self {
            finding: Finding {
                id,
                revision: 0,
                state: AlertState::Open,
                kind,
                severity,
                risk_score,
                reasons: Vec::new(),
                first_seen: time,
                last_seen: time,
                dest: host.dest,
                user: None,
                origin,
                asked: 0,
                made: 0,
                changes: Vec::new(),
                edited: 0,
                edits: Vec::new(),
                execs: Vec::new(),
                execs_omitted: 0,
                lineage: Vec::new(),
                redacted: 0,
            },
            reasons,
            last_omitted: None,
            touched_ns: time.boot_ns,
            told_ns: None,
            told_severity: severity,
            grew: true,
            is_known: false,
            fits: None,
        }
    }

    pub(super) fn add_fits(&mut self, fits: Fits) {
        match &mut self.fits {
            Some(known) => known.and(&fits),
            None => self.fits = Some(fits),
        }
    }

    pub(super) fn add_reasons(&mut self, reasons: &BTreeSet<Reason>) {
        self.reasons.extend(reasons);
        let finding = &mut self.finding;
        (finding.risk_score, finding.severity) = weigh(finding.kind, &self.reasons);
        finding.reasons = self.reasons.iter().copied().collect();
    }

    pub(super) fn add_actor(&mut self, lineage: &[Ancestor], exec: Option<&Arc<Evidence>>) {
        let finding = &mut self.finding;
        if finding.lineage.is_empty() {
            finding.lineage = lineage.to_vec();
        }
        let Some(exec) = exec else {
            return;
        };
        if finding.user.is_none() {
            finding.user.clone_from(&exec.user);
        }
        let is_listed = finding.execs.iter().any(|known| known.guid == exec.guid);
        if is_listed || self.last_omitted == Some(exec.guid) {
            return;
        }
        if finding.execs.len() < EXECS_MAX {
            finding.execs.push(Evidence::clone(exec));
        } else {
            finding.execs_omitted += 1;
            self.last_omitted = Some(exec.guid);
        }
    }

    /// What was told without the hash is told again.
    pub(super) fn add_hash(&mut self, content: Content, sha256: [u8; 32]) {
        for exec in &mut self.finding.execs {
            self.grew |= content.enter(sha256, exec);
        }
    }

    pub(super) fn add_change(&mut self, change: ChangeEvidence) {
        let finding = &mut self.finding;
        match change.witness {
            Witness::Command => finding.asked += 1,
            Witness::Netlink | Witness::Setsockopt | Witness::Table => finding.made += 1,
        }
        // The first and the latest: a burst hides neither how it began nor what comes at its end.
        if finding.changes.len() >= CHANGES_MAX {
            finding.changes.remove(CHANGES_MAX / 2);
        }
        finding.changes.push(change);
    }

    pub(super) fn add_edit(&mut self, edit: EditEvidence) {
        let finding = &mut self.finding;
        finding.edited += 1;
        if finding.edits.len() < EDITS_MAX {
            finding.edits.push(edit);
        }
    }

    pub(super) fn seen(&mut self, time: Time, now_ns: u64) {
        self.touched_ns = self.touched_ns.max(now_ns);
        self.finding.first_seen = self.finding.first_seen.min(time);
        self.finding.last_seen = self.finding.last_seen.max(time);
        self.grew = true;
    }

    pub(super) fn touched_ns(&self) -> u64 {
        self.touched_ns
    }

    pub(super) fn is_closed(&self) -> bool {
        self.finding.state == AlertState::Closed
    }

    /// The first line of a finding is told at once, and so is what filters do not withhold any longer.
    pub(super) fn first_revision(&mut self, allowed: &mut Allowed) -> Option<Finding> {
        let is_due = self.told_ns.is_none() || !self.is_known && !self.is_withheld(allowed);
        if !is_due {
            return None;
        }
        let now_ns = self.touched_ns;
        self.tell(now_ns, allowed)
    }

    /// The moment, in boot time, when something is to be done.
    pub(super) fn due_ns(&self, limits: &TamperLimits) -> u64 {
        let close_ns = self.closes_ns(limits);
        match self.told_ns {
            Some(told_ns) if self.grew => {
                close_ns.min(told_ns.saturating_add(self.interval_ns(limits)))
            }
            _ => close_ns,
        }
    }

    pub(super) fn handle_timeout(
        &mut self,
        limits: &TamperLimits,
        allowed: &mut Allowed,
        now: Time,
    ) -> Option<Finding> {
        if now.boot_ns < self.due_ns(limits) {
            return None;
        }
        if now.boot_ns >= self.closes_ns(limits) {
            return self.close(allowed);
        }
        self.tell(now.boot_ns, allowed)
    }

    /// The last revision.
    pub(super) fn close(&mut self, allowed: &mut Allowed) -> Option<Finding> {
        self.finding.state = AlertState::Closed;
        let now_ns = self.touched_ns;
        self.tell(now_ns, allowed)
    }

    pub(super) fn flush(&mut self, allowed: &mut Allowed) -> Option<Finding> {
        if !self.grew {
            return None;
        }
        let now_ns = self.touched_ns;
        self.tell(now_ns, allowed)
    }

    fn closes_ns(&self, limits: &TamperLimits) -> u64 {
        self.touched_ns
            .saturating_add(limits.quiet.as_nanos() as u64)
    }

    fn interval_ns(&self, limits: &TamperLimits) -> u64 {
        let interval = match self.finding.severity {
            Severity::Informational => limits.revision_interval_informational,
            Severity::Low | Severity::Medium | Severity::High | Severity::Critical => {
                limits.revision_interval
            }
        };
        let is_worse = self.finding.severity > self.told_severity;
        let revision = if is_worse { 0 } else { self.finding.revision };
        spaced(interval, revision).as_nanos() as u64
    }

    fn is_withheld(&self, allowed: &Allowed) -> bool {
        let fits = self.fits.as_ref();
        fits.is_some_and(|fits| allowed.withholding(&self.finding, fits).is_some())
    }

    /// The next line, unless a filter withholds it: the first one that is told is revision 0.
    fn tell(&mut self, now_ns: u64, allowed: &mut Allowed) -> Option<Finding> {
        self.grew = false;
        self.told_ns = Some(now_ns);
        let fits = self.fits.as_ref();
        if fits.is_some_and(|fits| allowed.withholds(&self.finding, fits)) {
            return None;
        }
        if self.is_known {
            self.finding.revision += 1;
        }
        self.is_known = true;
        self.told_severity = self.finding.severity;
        Some(self.finding.clone())
    }
}
