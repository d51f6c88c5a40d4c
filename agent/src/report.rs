//! What the agent says about its own eyesight: losses as they happen, and the books in the end.

use wallwatch_common::Counter;

use crate::host::sensor::Counters;
use crate::host::source::Source;
use crate::pipeline::Pipeline;

/// What had been lost when it was last said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    pub execs: u64,
    lineage: u64,
    undecoded: u64,
    argv_broken: u64,
    groups_evicted: u64,
    processes_dropped: u64,
}

impl Losses {
    fn read(counters: &Counters, source: &Source, pipeline: &Pipeline) -> Self {
        let detector = pipeline.detector().counters();
        Self {
            execs: counters.execs_lost(),
            lineage: counters.lineage_lost(),
            undecoded: source.received().undecoded,
            argv_broken: source.argv_broken(),
            groups_evicted: detector.groups_evicted,
            processes_dropped: pipeline.tree().counters().processes_dropped,
        }
    }

    /// Says what has been lost since it was last said.
    pub fn report(&mut self, counters: &Counters, source: &Source, pipeline: &Pipeline) {
        let now = Self::read(counters, source, pipeline);
        for (lost, before, what) in [
            (
                now.execs,
                self.execs,
                "execs lost: the agent could not keep up",
            ),
            (
                now.undecoded,
                self.undecoded,
                "records lost: they cannot be decoded",
            ),
            (
                now.groups_evicted,
                self.groups_evicted,
                "groups given up for lack of room: an attack may have been among them",
            ),
        ] {
            if lost > before {
                tracing::error!(lost = lost - before, "{what}");
            }
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
        ] {
            if lost > before {
                tracing::warn!(lost = lost - before, "{what}");
            }
        }
        *self = now;
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
        tree = ?pipeline.tree().counters(),
        detector = ?pipeline.detector().counters(),
        "totals"
    );
}
