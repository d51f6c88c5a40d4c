//! What the agent's memory comes to, and whether it loses anything, when every processor does nothing but
//! execs for a long time.

use std::time::Duration;

use anyhow::bail;
use serde::Serialize;

use super::agent::{Agent, Totals};
use super::burst::Burst;
use super::observer::{LastWords, Watch};
use super::process::Memory;
use super::workload::{Bench, Workload};

/// Between two looks at its memory.
const DURATION: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct LongRun {
    pub(crate) at_start: Memory,
    /// The most that was seen, of each figure.
    pub(crate) at_most: Memory,
    pub(crate) at_end: Memory,
    /// Those of the workers; others may have made some too.
    pub(crate) execs: u64,
    pub(crate) execs_per_s: f64,
    /// Of the agent, for these execs.
    pub(crate) agent_cpu_ns_per_exec: f64,
    pub(crate) totals: Totals,
}

impl LongRun {
    /// Until at least so many execs have been made.
    pub(crate) fn measure(bench: &Bench, execs_min: u64) -> anyhow::Result<Self> {
        let agent = Agent::start(bench)?;
        let at_start = agent.memory()?;
        let watch = Watch::Wallwatch(Box::new(agent));
        let mut at_most = at_start;
        let mut at_end = at_start;
        let (mut execs, mut seconds, mut cpu_ns) = (0, 0.0, 0.0);
        while execs < execs_min {
            let burst = Burst::measure(bench, Workload::AllProcessors, &watch, DURATION)?;
            execs += burst.steps;
            seconds += burst.steps as f64 / burst.steps_per_s;
            cpu_ns += burst.observer_cpu_ns_per_step * burst.steps as f64;
            at_end = watch.memory()?.unwrap_or(at_end);
            at_most = most(at_most, at_end);
        }
        let LastWords::Wallwatch(totals) = watch.stop()? else {
            bail!("the agent did not say its totals");
        };
        Ok(Self {
            at_start,
            at_most,
            at_end,
            execs,
            execs_per_s: execs as f64 / seconds,
            agent_cpu_ns_per_exec: cpu_ns / execs as f64,
            totals,
        })
    }
}

fn most(one: Memory, other: Memory) -> Memory {
    Memory {
        anonymous_kib: one.anonymous_kib.max(other.anonymous_kib),
        resident_kib: one.resident_kib.max(other.resident_kib),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_is_that_of_each_figure() {
        let memory = |anonymous_kib, resident_kib| Memory {
            anonymous_kib,
            resident_kib,
        };
        assert_eq!(most(memory(3, 20), memory(4, 10)), memory(4, 20));
    }
}
