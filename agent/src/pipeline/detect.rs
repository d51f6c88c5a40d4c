//! The detection stage: clause, extract, group, window, threshold, filter, in this order.
//!
//! ```text
//! Exec ─ clause ─ extract ─ Hit ─┬─ Finding of its group ─ filter ─ Alert
//!         most end here          └─ window, threshold: Aggregate, Sightings
//! ```

pub mod rule;

pub mod clause;
pub mod glob;

pub mod extract;

pub mod excerpt;
pub mod hit;

pub mod group;

pub mod sightings;
pub mod window;

pub mod aggregate;
pub mod tally;

pub mod finding;

pub mod overlong;

pub mod bounds;

pub mod explain;

pub use self::bounds::{DetectorCounters, DetectorLevels, Limits};
pub use self::overlong::OverlongPaths;
pub use self::rule::{Rule, RuleError};

use std::collections::VecDeque;
use std::mem;
use std::time::Duration;

use self::aggregate::{Added, Aggregate, Room, Row, Threshold};
use self::clause::found;
use self::finding::{Finding, Findings, OpenAlert};
use self::group::{Group, UNKNOWN, alert_id, group_key, host_id};
use self::hit::Hit;
use self::window::LATENESS_NS;
use super::alert::{Alert, AlertState, Ancestor, Blindness, ClauseMatch, GroupKey};
use super::exec::{ExePath, Exec, Time};
use super::filter::Fits;
use super::filter::deed::{Deed, Row as FilterRow};
use super::firewall::origin::Origin;

/// Applies one rule to a stream of execs.
///
/// It judges by the time in each exec. `now` only says when nothing more can come, and when a line
/// is due; so a recording gives the alerts that the host gave.
#[derive(Debug)]
pub struct Detector {
    rule: Rule,
    threshold: Threshold,
    limits: Limits,
    findings: Findings,
    alerts: VecDeque<Alert>,
    counters: DetectorCounters,
    activity: u64,
    /// The command line at hand.
    process: Vec<u8>,
}

/// Who is behind an exec, as far as a filter asks for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Who {
    /// From the process up.
    pub lineage: Vec<Ancestor>,
    pub origin: Option<Origin>,
}

impl Detector {
    pub fn new(rule: Rule, limits: Limits) -> Self {
        let suppressed = rule.filters().names().map(|name| (name.to_owned(), 0));
        Self {
            threshold: Threshold {
                window: rule.window(),
                port_count_min: rule.port_count_min(),
            },
            limits,
            findings: Findings::default(),
            alerts: VecDeque::new(),
            counters: DetectorCounters {
                suppressed: suppressed.collect(),
                ..DetectorCounters::default()
            },
            activity: 0,
            process: Vec::new(),
            rule,
        }
    }

    pub fn handle_exec(&mut self, exec: &Exec, now: Time) {
        self.handle_exec_of(exec, Who::default, now);
    }

    /// `who` is asked for what filters want to know of an exec that fits the rule.
    pub fn handle_exec_of(&mut self, exec: &Exec, who: impl FnOnce() -> Who, now: Time) {
        self.counters.execs += 1;
        let mut process = mem::take(&mut self.process);
        process_of(exec, &mut process);
        if self.rule.clauses().hold(&process, exec.parent_exe.known()) {
            let filters = self.rule.filters();
            let who = if filters.ask_for_lineage() {
                who()
            } else {
                Who::default()
            };
            self.handle_match(exec, &process, &who, now);
        }
        self.process = process;
        self.handle_timeout(now);
    }

    /// Closes what can have no more execs, and makes the lines that are due. Harmless early, harmful
    /// late.
    pub fn handle_timeout(&mut self, now: Time) {
        let moment = self.threshold.window.clock(now);
        while let Some(mut finding) = self.findings.take_expired(moment) {
            self.make_line(&mut finding, AlertState::Closed, now);
            if finding.begin_afresh() {
                self.findings.put(finding);
            }
        }
        while let Some(mut finding) = self.findings.take_update_due(now.boot_ns) {
            self.make_line(&mut finding, AlertState::Open, now);
            self.findings.put(finding);
        }
    }

    /// The input has ended: makes the last line of every open alert. Nothing is held afterwards.
    pub fn handle_end(&mut self, now: Time) {
        while let Some(mut finding) = self.findings.take_oldest() {
            self.make_line(&mut finding, AlertState::Closed, now);
        }
    }

    /// The agent stops, and nothing is over: makes the lines that are due or will be.
    pub fn flush(&mut self, now: Time) {
        while let Some(mut finding) = self.findings.take_update_due(u64::MAX) {
            self.make_line(&mut finding, AlertState::Open, now);
            self.findings.put(finding);
        }
    }

    /// How long from `now` until [`handle_timeout`](Self::handle_timeout) wants to be called;
    /// `None` when nothing is pending.
    pub fn poll_timeout(&self, now: Time) -> Option<Duration> {
        let moment = self.threshold.window.clock(now);
        let expiry_ns = self.findings.next_expiry();
        let update_ns = self.findings.next_update_ns();
        let waits = [
            expiry_ns.map(|due| due.saturating_sub(moment)),
            update_ns.map(|due| due.saturating_sub(now.boot_ns)),
        ];
        waits.into_iter().flatten().min().map(Duration::from_nanos)
    }

    /// The next line to report. Its ancestry is empty and the losses of the whole host are 0: they
    /// are not known here.
    pub fn next_alert(&mut self) -> Option<Alert> {
        self.alerts.pop_front()
    }

    pub fn counters(&self) -> DetectorCounters {
        self.counters.clone()
    }

    pub fn levels(&self) -> DetectorLevels {
        self.findings.levels()
    }

    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    fn handle_match(&mut self, exec: &Exec, process: &[u8], who: &Who, now: Time) {
        self.counters.matched += 1;
        let group = Group {
            key: group_key(exec),
            bucket_end: self.threshold.window.bucket_end(exec.time),
        };
        let mut finding = match self.findings.take(&group) {
            Some(finding) => finding,
            None => self.begin(group, exec.time, now),
        };
        let fits = self.fits(exec, &finding.group().key, process, who);
        let hit = Hit::new(&self.rule, exec, process, fits);
        let room = self.make_room(&mut finding, Aggregate::bytes_to_list(&hit));
        self.activity += 1;
        match finding.add(hit, room, self.activity, now, &mut self.counters) {
            Added::Duplicate => self.counters.duplicates += 1,
            Added::Late => self.counters.late += 1,
            Added::Waiting | Added::Grown => {}
            Added::Crossed => self.open(&mut finding, exec, process, now),
        }
        self.bound_groups(&finding, now);
        self.findings.put(finding);
    }

    /// A group of which nothing is held and the first exec came at `time`, in the place of another
    /// if need be.
    fn begin(&mut self, group: Group, time: Time, now: Time) -> Finding {
        let window = self.threshold.window;
        if window.last_end(time).saturating_add(LATENESS_NS) <= window.clock(now) {
            self.counters.late += 1;
        }
        while self.findings.levels().groups >= self.limits.groups_max.max(1) {
            self.evict(now);
        }
        Finding::new(group, self.threshold, self.limits)
    }

    /// Keeps the memory of all groups, `finding` among them, within its bound.
    fn bound_groups(&mut self, finding: &Finding, now: Time) {
        let others_max = self.limits.group_bytes_max.saturating_sub(finding.bytes());
        while self.findings.levels().group_bytes > others_max {
            self.evict(now);
        }
    }

    fn evict(&mut self, now: Time) {
        if let Some(mut spared) = self.findings.take_least_worth() {
            self.counters.groups_evicted += 1;
            self.make_line(&mut spared, AlertState::Closed, now);
        }
    }

    /// Room for `bytes` more of what `finding` lists. Others give up what they can spare, and then
    /// the finding itself does; but not for nothing.
    fn make_room(&mut self, finding: &mut Finding, bytes: usize) -> Room {
        let bytes_max = self.limits.evidence_bytes_max;
        let mut wanted = finding.evidence_bytes() + bytes;
        if wanted > bytes_max {
            finding.strip(&mut self.counters);
            wanted = finding.evidence_bytes() + bytes;
        }
        if wanted > bytes_max {
            return Room::None;
        }
        let others_max = bytes_max - wanted;
        while self.findings.levels().evidence_bytes > others_max {
            let Some(mut other) = self.findings.take_least_worth_with_evidence() else {
                finding.strip(&mut self.counters);
                wanted = finding.evidence_bytes() + bytes;
                break;
            };
            other.strip(&mut self.counters);
            self.findings.put(other);
        }
        if self.findings.levels().evidence_bytes + wanted <= bytes_max {
            Room::Enough
        } else {
            Room::None
        }
    }

    fn open(&mut self, finding: &mut Finding, exec: &Exec, process: &[u8], now: Time) {
        if finding.alert().is_some() {
            self.make_line(finding, AlertState::Closed, now);
            finding.begin_afresh();
        }
        let Some(row) = finding.row() else { return };
        let rule_id = &self.rule.identity().id;
        let key = &finding.group().key;
        finding.open(OpenAlert {
            id: alert_id(rule_id, host_id(exec), key, row.first.guid),
            matched: self.matched(exec, process),
            parent: exec.parent,
            parent_unknown: match exec.parent_exe {
                ExePath::Known(_) => None,
                ExePath::Unknown(reason) => Some(reason),
            },
            parent_deleted: exec.parent_deleted,
            parent_memfd: exec.parent_memfd,
            revision: 0,
            line_boot_ns: now.boot_ns,
            changed: false,
        });
        self.make_line(finding, AlertState::Open, now);
    }

    /// The filter that withholds a line of which `fits` tells what its execs fit.
    fn suppressing(&self, line: &Alert, fits: &Fits) -> Option<&str> {
        let identity = self.rule.identity();
        let row = FilterRow {
            rule: &[&identity.name, &identity.id],
            severity: identity.severity.as_str(),
            dest: Some(&line.key.dest),
            ports: Some(&line.ports),
        };
        let filters = self.rule.filters();
        filters.suppressing(&row, fits, line.last_seen)
    }

    /// Which filters fit one exec of the group `key`.
    fn fits(&self, exec: &Exec, key: &GroupKey, process: &[u8], who: &Who) -> Fits {
        self.rule.filters().fits(&Deed {
            user: Some(&key.user),
            process_path: Some(&key.process_path),
            parent_process_path: Some(&key.parent_process_path),
            parent_process_id: Some(key.parent_process_id),
            process: (!exec.argv.truncated()).then_some(process),
            cgroup: exec.cgroup.as_deref(),
            lineage: &who.lineage,
            origin: who.origin.as_ref(),
            change: None,
            path: None,
        })
    }

    fn matched(&self, exec: &Exec, process: &[u8]) -> Vec<ClauseMatch> {
        let clauses = self.rule.clauses();
        let mut matched = clauses.explain(process, exec.parent_exe.known());
        let extractor = self.rule.extractor();
        if let Some(extracted) = extractor.extract(process) {
            matched.push(found(extractor.spl(), process, extracted.range));
        }
        matched
    }

    /// Makes a line of the finding's alert, if it has one, and reports it unless a filter fits. A
    /// line withheld takes no number: the first one reported is revision 0.
    fn make_line(&mut self, finding: &mut Finding, state: AlertState, now: Time) {
        let Some((line, fits)) = self.line_of(finding, state) else {
            finding.line_made(now, false);
            return;
        };
        let suppressing = self.suppressing(&line, &fits);
        finding.line_made(now, suppressing.is_none());
        if let Some(name) = suppressing {
            *self.counters.suppressed.entry(name.to_owned()).or_default() += 1;
            return;
        }
        match line.revision {
            0 => self.counters.alerts += 1,
            _ => self.counters.updates += 1,
        }
        self.alerts.push_back(line);
    }

    /// The line of the finding's alert, if it has one, and which filters fit its command lines.
    fn line_of(&self, finding: &Finding, state: AlertState) -> Option<(Alert, Fits)> {
        let (alert, row) = (finding.alert()?, finding.row()?);
        let fits = row.fits.clone();
        let line = self.line(&finding.group().key, alert, row, state);
        Some((line, fits))
    }

    fn line(&self, key: &GroupKey, alert: &OpenAlert, row: Row, state: AlertState) -> Alert {
        Alert {
            id: alert.id,
            revision: alert.revision,
            state,
            rule: self.rule.identity().clone(),
            window_mode: self.threshold.window.mode(),
            window_span_s: self.rule.window_spec().span_s,
            first_seen: row.first.time,
            last_seen: row.last_seen,
            key: key.clone(),
            processes_exec: row.processes_exec,
            port_count: row.ports.len() as u64,
            ports: row.ports,
            pids: row.pids,
            count: row.count,
            blindness: Blindness {
                truncated: row.truncated,
                faults: row.faults,
                lost: 0,
                execs_omitted: row.count.saturating_sub(row.execs.len() as u64),
                processes_exec_omitted: row.processes_exec_omitted,
                guids_omitted: row.count.saturating_sub(row.guids.len() as u64),
            },
            guids: row.guids,
            execs: row.execs,
            matched: alert.matched.clone(),
            parent: alert.parent,
            parent_unknown: alert.parent_unknown,
            parent_deleted: alert.parent_deleted,
            parent_memfd: alert.parent_memfd,
            ancestry: Vec::new(),
            origin: Vec::new(),
            redacted: 0,
        }
    }
}

/// Splunk's `process` of an exec, into `out`; what that held before is gone.
fn process_of(exec: &Exec, out: &mut Vec<u8>) {
    exec.argv.join_into(out);
    if out.is_empty() {
        out.extend_from_slice(UNKNOWN.as_bytes());
    }
}

#[cfg(test)]
mod tests;
