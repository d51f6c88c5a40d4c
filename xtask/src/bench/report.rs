//! What was measured, for a reader and for a machine.

use std::fmt;

use serde::Serialize;

use super::agent::Totals;
use super::kernel_programs::KernelProgram;
use super::latency::Latency;
use super::machine::Machine;
use super::pairing::{Comparison, Effect};
use super::pipeline::Speed;
use super::spread::Spread;

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) comparisons: Vec<Comparison>,
    /// Or why they were left out.
    pub(crate) kernel_programs: Result<Vec<KernelProgram>, String>,
    pub(crate) latency: Latency,
    /// Empty when it was left out.
    pub(crate) pipeline: Vec<Speed>,
    /// Time spent waiting for others to leave the machine alone.
    pub(crate) waited_s: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine {
            kernel,
            processor,
            processors,
        } = &self.machine;
        writeln!(f, "kernel {kernel}, {processors} processors, {processor}")?;
        writeln!(f, "figures are min / median / max over the rounds\n")?;
        self.write_comparisons(f)?;
        self.write_losses(f)?;
        self.write_kernel_programs(f)?;
        self.write_latency(f)?;
        self.write_pipeline(f)
    }
}

impl Report {
    fn write_comparisons(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = |cell: &dyn Fn(&Comparison) -> String| -> String {
            let cells = self
                .comparisons
                .iter()
                .map(|it| format!("{:>27}", cell(it)));
            cells.collect()
        };
        let mut row = |label: &str, cell: &dyn Fn(&Comparison) -> String| {
            writeln!(f, "{label:<32}{}", columns(cell))
        };
        row("exec cost", &|it| it.name.clone())?;
        row("throughput, with / without", &|it| {
            ratio(it.with_agent.throughput_ratio)
        })?;
        row("  control, without / without", &|it| {
            ratio(it.control.throughput_ratio)
        })?;
        row("added wall time, ns an exec", &|it| {
            whole(it.with_agent.added_wall_ns_per_exec)
        })?;
        row("  control", &|it| whole(it.control.added_wall_ns_per_exec))?;
        row("added CPU time, ns an exec", &|it| {
            whole(it.with_agent.added_cpu_ns_per_exec)
        })?;
        row("  control", &|it| whole(it.control.added_cpu_ns_per_exec))?;
        row("agent's own CPU, ns an exec", &|it| {
            whole(it.agent_cpu_ns_per_exec)
        })?;
        row("execs a second without", &|it| {
            whole(it.execs_per_s_without)
        })?;
        row("execs a second with", &|it| whole(it.execs_per_s_with))?;
        row("agent's RssAnon, KiB", &|it| whole(it.anonymous_kib))?;
        row("agent's VmRSS, KiB", &|it| whole(it.resident_kib))?;
        row("rounds, thrown away", &|it| rounds(&it.with_agent))?;
        row("  control", &|it| rounds(&it.control))
    }

    fn write_losses(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut totals = Totals::default();
        for comparison in &self.comparisons {
            totals.add(comparison.totals);
        }
        let Totals {
            seen,
            received,
            dropped,
            missed,
        } = totals;
        writeln!(
            f,
            "\nrecords: {seen} execs seen, {received} received, {dropped} dropped, {missed} missed; \
             waited {} s for a quiet machine",
            self.waited_s
        )
    }

    fn write_kernel_programs(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let programs = match &self.kernel_programs {
            Ok(programs) => programs,
            Err(reason) => return writeln!(f, "kernel programs: left out: {reason}"),
        };
        let sum: f64 = programs.iter().map(|program| program.ns_per_exec).sum();
        write!(
            f,
            "kernel programs: {sum:.0} ns an exec, its fork and its exit included;"
        )?;
        for (index, program) in programs.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(
                f,
                "{comma} {} {:.0} ns a run",
                program.name, program.ns_per_run
            )?;
        }
        writeln!(f)
    }

    fn write_latency(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Latency {
            exec_to_alert_us,
            samples,
        } = self.latency;
        writeln!(
            f,
            "urgent exec to its alert in the log: {} µs, {samples} samples",
            whole(exec_to_alert_us)
        )
    }

    fn write_pipeline(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.pipeline.is_empty() {
            return writeln!(f, "\npipeline: left out");
        }
        writeln!(
            f,
            "\n{:<32}{:>12}{:>16}{:>16}{:>18}",
            "pipeline, at the median", "ns", "records/s", "allocations", "bytes allocated"
        )?;
        for speed in &self.pipeline {
            let Speed {
                name,
                ns,
                items_per_s,
                allocations,
                allocated_bytes,
            } = speed;
            writeln!(
                f,
                "{name:<32}{ns:>12.0}{items_per_s:>16.0}{allocations:>16.1}{allocated_bytes:>18.0}"
            )?;
        }
        Ok(())
    }
}

fn ratio(spread: Option<Spread>) -> String {
    spread.map_or_else(nothing, |spread| format!("{spread:.3}"))
}

fn whole(spread: Option<Spread>) -> String {
    spread.map_or_else(nothing, |spread| format!("{spread:.0}"))
}

/// Every round was disturbed.
fn nothing() -> String {
    "-".to_owned()
}

fn rounds(effect: &Effect) -> String {
    format!("{}, {}", effect.rounds, effect.rounds_disturbed)
}
