//! What the agent says about its own eyesight: losses as they happen, gaps, signs of life, and the books in
//! the end.

use wallwatch_common::{Counter, LostExecs};

use crate::delivery::writer::LineCounts;
use crate::host::counters::Counters;
use crate::host::source::Source;
use crate::pipeline::Pipeline;
use crate::pipeline::exec::{ProcessKey, Time};
use crate::pipeline::loss::Loss;
use crate::pipeline::watch::{
    AgentState, ChangeGap, Gap, Heartbeat, LostLineage, NetfilterBooks, Repair, StoreBooks,
    XtablesBooks,
};

/// Lineages that one gap names.
const LINEAGES_MAX: usize = 8;

/// What had been lost when it was last said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    pub execs: u64,
    lineage: u64,
    undecoded: u64,
    argv_broken: u64,
    groups_evicted: u64,
    processes_dropped: u64,
    failed_execs: u64,
}

impl Told {
    fn read(counters: &Counters, source: &Source, pipeline: &Pipeline) -> Self {
        let detector = pipeline.detector().counters();
        Self {
            execs: counters.execs_lost(),
            lineage: counters.lineage_lost(),
            undecoded: source.received().undecoded,
            argv_broken: source.argv_broken(),
            groups_evicted: detector.groups_evicted,
            processes_dropped: pipeline.tree().counters().processes_dropped,
            failed_execs: counters.failed_execs().lost,
        }
    }

    /// Says what has been lost since it was last said, beside execs, which are a gap.
    pub fn say(&mut self, counters: &Counters, source: &Source, pipeline: &Pipeline) {
        let now = Self::read(counters, source, pipeline);
        if now.groups_evicted > self.groups_evicted {
            tracing::error!(
                lost = now.groups_evicted - self.groups_evicted,
                "groups given up for lack of room: an attack may have been among them"
            );
        }
        for (lost, before, what) in [
            (
                now.lineage,
                self.lineage,
                "forks or ends of processes lost: lineages may have holes",
            ),
            (
                now.argv_broken,
                self.argv_broken,
                "command lines cut: they were longer than the ring had room for",
            ),
            (
                now.processes_dropped,
                self.processes_dropped,
                "processes dropped for lack of room: lineages may be short",
            ),
            (
                now.failed_execs,
                self.failed_execs,
                "failed execs lost: their number is known, not what they were",
            ),
        ] {
            if lost > before {
                tracing::warn!(lost = lost - before, "{what}");
            }
        }
        *self = now;
    }
}

/// Makes gaps out of losses: numbers them, and names whose execs were lost.
#[derive(Debug, Default)]
pub struct Gaps {
    number: u64,
    lineage_lost: u64,
    /// What each share had lost when the last gap was told.
    lost_by_share: Vec<(u16, u64)>,
}

impl Gaps {
    pub fn count(&self) -> u64 {
        self.number
    }

    /// Numbers a gap in what was heard of nf_tables, among the others.
    pub fn next_change_gap(&mut self, gap: ChangeGap) -> ChangeGap {
        self.number += 1;
        ChangeGap {
            number: self.number,
            ..gap
        }
    }

    /// `at` turns boot time into both times.
    pub fn next(
        &mut self,
        loss: &Loss,
        counters: &Counters,
        source: &mut Source,
        pipeline: &Pipeline,
        repair: Option<Repair>,
        at: impl Fn(u64) -> Time,
    ) -> Gap {
        self.number += 1;
        let lost: Vec<(u16, LostExecs)> = source.lost_by_share().collect();
        let before = std::mem::take(&mut self.lost_by_share);
        let mut shares: Vec<(u64, LostExecs)> = lost
            .iter()
            .map(|(share, lost)| {
                let told = before.iter().find(|(told, _)| told == share);
                (lost.count - told.map_or(0, |(_, count)| *count), *lost)
            })
            .filter(|(execs, _)| *execs > 0)
            .collect();
        shares.sort_by_key(|(execs, _)| std::cmp::Reverse(*execs));
        self.lost_by_share = lost
            .into_iter()
            .map(|(share, lost)| (share, lost.count))
            .collect();
        let lineage_lost = counters.lineage_lost() - self.lineage_lost;
        self.lineage_lost = counters.lineage_lost();
        Gap {
            number: self.number,
            from: at(loss.from_ns),
            to: at(loss.to_ns),
            losses: loss.losses,
            lineage_lost,
            lineages_omitted: shares.len().saturating_sub(LINEAGES_MAX) as u64,
            lineages: shares
                .into_iter()
                .take(LINEAGES_MAX)
                .map(|(execs, lost)| lineage(execs, &lost, source, pipeline, &at))
                .collect(),
            repair,
        }
    }
}

fn lineage(
    execs: u64,
    lost: &LostExecs,
    source: &mut Source,
    pipeline: &Pipeline,
    at: impl Fn(u64) -> Time,
) -> LostLineage {
    let process = ProcessKey {
        tgid: lost.tgid,
        start_ns: lost.start_ns,
    };
    let parent = ProcessKey {
        tgid: lost.parent_tgid,
        start_ns: lost.parent_start_ns,
    };
    let mut ancestry = pipeline.tree().lineage(process);
    if ancestry.is_empty() {
        ancestry = pipeline.tree().lineage(parent);
    }
    LostLineage {
        execs,
        cgroup_id: lost.cgroup_id,
        cgroup: source.cgroup(lost.cgroup_id),
        session_id: (lost.session_id != u32::MAX).then_some(lost.session_id),
        last: at(lost.time_ns),
        uid: lost.uid,
        process,
        parent,
        ancestry,
    }
}

/// What a heartbeat tells beside the counters.
#[derive(Clone, Debug)]
pub struct Pulse {
    pub number: u64,
    pub state: AgentState,
    pub time: Time,
    pub since: Time,
    pub interval_s: Option<u64>,
    pub alerts: u64,
    pub gaps: u64,
    pub lines: LineCounts,
    pub store: StoreBooks,
    pub netfilter: Option<NetfilterBooks>,
    pub xtables: Option<XtablesBooks>,
}

pub fn heartbeat(
    pulse: Pulse,
    counters: &Counters,
    source: &Source,
    pipeline: &Pipeline,
) -> Heartbeat {
    let Pulse {
        number,
        state,
        time,
        since,
        interval_s,
        alerts,
        gaps,
        lines,
        store,
        netfilter,
        xtables,
    } = pulse;
    Heartbeat {
        number,
        state,
        time,
        since,
        interval_s,
        sight: source.sight().to_string(),
        execs_seen: counters.execs_seen(),
        execs_received: source.received().execs,
        losses: source.counted(counters),
        forks_seen: counters.get(Counter::ForkSeen),
        exits_seen: counters.get(Counter::ExitSeen),
        lineage_lost: counters.lineage_lost(),
        argv_broken: source.argv_broken(),
        paths_unknown: counters.get(Counter::ExePathUnknown),
        parent_paths_unknown: counters.get(Counter::ParentPathUnknown),
        failed_execs: source.failed_execs(counters),
        processes: pipeline.tree().len() as u64,
        processes_dropped: pipeline.tree().counters().processes_dropped,
        groups_evicted: pipeline.detector().counters().groups_evicted,
        tamper: pipeline.tamper_counters(),
        suppressed: pipeline.suppressed(),
        repeats_withheld: pipeline.repeats_withheld(),
        netfilter,
        xtables,
        gaps,
        alerts,
        lines_lost: lines.dropped + store.refused,
        store,
    }
}

/// The books: what was seen, handed over, received and lost. To be read when the sensor is detached and
/// drained.
pub fn say_totals(counters: &Counters, source: &Source, pipeline: &Pipeline) {
    let received = source.received();
    tracing::info!(
        execs_seen = counters.get(Counter::ExecSeen),
        execs_rescued = counters.get(Counter::ExecRescued),
        execs_urgent = counters.get(Counter::ExecUrgent),
        execs_bulk = counters.get(Counter::ExecBulk),
        execs_dropped = counters.execs_dropped(),
        execs_shed_pressure = counters.get(Counter::ExecShedPressure),
        execs_shed_share = counters.get(Counter::ExecShedShare),
        execs_missed = counters.execs_missed(),
        execs_received = received.execs,
        undecoded = received.undecoded,
        reconciled = counters.reconcile(received.execs + received.undecoded),
        urgent_full = counters.get(Counter::UrgentFull),
        forks_seen = counters.get(Counter::ForkSeen),
        forks_dropped = counters.get(Counter::ForkDropped),
        exits_seen = counters.get(Counter::ExitSeen),
        exits_dropped = counters.get(Counter::ExitDropped),
        lineage_skipped = counters.lineage_skipped,
        argv_faults = counters.get(Counter::ArgvFault),
        argv_continued = counters.get(Counter::ArgvContinued),
        argv_broken = source.argv_broken(),
        exe_path_unknown = counters.get(Counter::ExePathUnknown),
        parent_path_unknown = counters.get(Counter::ParentPathUnknown),
        failed_execs_seen = counters.failed_execs().seen,
        failed_execs_received = received.failed_execs,
        failed_execs_lost = counters.failed_execs().lost,
        cgroups_received = received.cgroups,
        cgroups_dropped = counters.get(Counter::CgroupDropped),
        overlong_repeated = pipeline.overlong_repeated(),
        tree = ?pipeline.tree().counters(),
        detector = ?pipeline.detector().counters(),
        tamper = ?pipeline.tamper_counters(),
        "totals"
    );
}
