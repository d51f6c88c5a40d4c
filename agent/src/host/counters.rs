//! The kernel programs' counters, read and reconciled.

use aya::maps::{MapData, MapError, PerCpuArray};
use wallwatch_common::Counter;

use crate::pipeline::failed_exec::FailedExecCounts;
use crate::pipeline::loss::{LossCause, Losses};

/// The kernel programs' counters, summed over the processors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counters {
    pub(super) values: [u64; Counter::COUNT],
    /// Runs of the first exec program that the kernel skipped, because it was entered again on the same
    /// processor.
    pub(super) execs_skipped: u64,
    /// The same of the fork and exit programs.
    pub lineage_skipped: u64,
    /// The same of the programs for failed execs.
    pub(super) failed_execs_skipped: u64,
}

impl Counters {
    pub fn get(&self, counter: Counter) -> u64 {
        self.values[counter as usize]
    }

    /// Execs for which a program ran.
    pub fn execs_seen(&self) -> u64 {
        self.get(Counter::ExecSeen) + self.get(Counter::ExecRescued)
    }

    /// Exec records that the programs handed to a ring.
    pub fn execs_submitted(&self) -> u64 {
        self.get(Counter::ExecUrgent) + self.get(Counter::ExecBulk)
    }

    /// Execs that no program ran for: skipped, and not rescued.
    pub fn execs_missed(&self) -> u64 {
        self.execs_skipped
            .saturating_sub(self.get(Counter::ExecRescued))
    }

    /// Execs that happened and of which there is no record.
    pub fn execs_lost(&self) -> u64 {
        self.execs_dropped() + self.execs_missed()
    }

    /// Exec records that a program made and no ring took.
    pub fn execs_dropped(&self) -> u64 {
        [
            Counter::ExecDropped,
            Counter::ExecShedPressure,
            Counter::ExecShedShare,
            Counter::ExecNoScratch,
        ]
        .map(|counter| self.get(counter))
        .iter()
        .sum()
    }

    /// Execs lost, by what the programs and the kernel counted.
    pub fn losses(&self) -> Losses {
        let mut losses = Losses::default();
        for (cause, execs) in [
            (LossCause::RingFull, self.get(Counter::ExecDropped)),
            (LossCause::Pressure, self.get(Counter::ExecShedPressure)),
            (LossCause::Share, self.get(Counter::ExecShedShare)),
            (LossCause::NoScratch, self.get(Counter::ExecNoScratch)),
            (LossCause::Skipped, self.execs_missed()),
        ] {
            losses.set(cause, execs);
        }
        losses
    }

    /// Forks and ends of processes of which there is no record.
    pub fn lineage_lost(&self) -> u64 {
        self.get(Counter::ForkDropped) + self.get(Counter::ExitDropped) + self.lineage_skipped
    }

    /// Execs that failed, and those of them of which there is no record. Zeros when they are not watched.
    pub fn failed_execs(&self) -> FailedExecCounts {
        let skipped = self.failed_execs_skipped;
        FailedExecCounts {
            seen: self.get(Counter::FailedExecSeen) + skipped,
            lost: self.get(Counter::FailedExecDropped) + skipped,
        }
    }

    /// Whether every exec that the programs saw was submitted or is counted as dropped, and every one
    /// submitted was received. Holds when the programs are detached and the rings drained.
    pub fn reconcile(&self, execs_received: u64) -> bool {
        let submitted = self.execs_submitted();
        self.execs_seen() == submitted + self.execs_dropped() && submitted == execs_received
    }
}

/// One counter of every processor.
pub(super) fn sum(counters: &PerCpuArray<MapData, u64>, index: usize) -> Result<u64, MapError> {
    let per_cpu = counters.get(&(index as u32), 0)?;
    Ok(per_cpu.iter().sum())
}
