//! What was measured, for a reader (Markdown) and for a machine (JSON).

use std::fmt;

use serde::Serialize;

use super::agent::Totals;
use super::goals::{Goal, goals};
use super::kernel_programs::KernelPrograms;
use super::latency::Latency;
use super::machine::Machine;
use super::memory::LongRun;
use super::observer::Observer;
use super::pairing::{Comparison, Observed};
use super::pipeline::Speed;
use super::process::Memory;
use super::spread::{Percentiles, Spread};
use super::start_up::StartUp;
use super::table::Table;

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) rounds: u32,
    /// Packages of the other observers, with their versions.
    pub(crate) peers: Vec<String>,
    pub(crate) comparisons: Vec<Comparison>,
    /// Or why they were left out.
    pub(crate) kernel_programs: Result<KernelPrograms, String>,
    pub(crate) latency: Latency,
    pub(crate) long_run: LongRun,
    pub(crate) start_up: StartUp,
    /// Empty when it was left out.
    pub(crate) pipeline: Vec<Speed>,
    /// Processors that others were allowed to use.
    pub(crate) others_max: f64,
    /// Time spent waiting for others to leave the machine alone.
    pub(crate) waited_s: u64,
}

impl Report {
    pub(crate) fn goals(&self) -> Vec<Goal> {
        goals(self)
    }

    /// Of all runs of the agent in which every exec was counted, and how many runs these were.
    pub(crate) fn totals(&self) -> (Totals, u32) {
        let mut totals = self.long_run.totals;
        let mut stops = 1;
        for observed in self.comparisons.iter().flat_map(|it| &it.observed) {
            totals.add(observed.totals.unwrap_or_default());
            stops += observed.stops;
        }
        (totals, stops)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine {
            kernel,
            processor,
            processors,
        } = &self.machine;
        writeln!(f, "# What wallwatch costs\n")?;
        writeln!(
            f,
            "Linux {kernel}, {processors} processors, {processor}. Rounds: {}; figures are min / \
             median / max over them. Others may have used {} processors during a burst; waited {} s \
             for a quiet machine.",
            self.rounds, self.others_max, self.waited_s
        )?;
        if !self.peers.is_empty() {
            writeln!(f, "\nOthers: {}.", self.peers.join(", "))?;
        }
        self.write_goals(f)?;
        self.write_refusals(f)?;
        for comparison in &self.comparisons {
            write_comparison(f, comparison)?;
        }
        self.write_losses(f)?;
        self.write_kernel_programs(f)?;
        self.write_latency(f)?;
        self.write_memory(f)?;
        self.write_start_up(f)?;
        self.write_pipeline(f)
    }
}

impl Report {
    fn write_goals(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n## Goals\n")?;
        let mut table = Table::new(["goal", "limit", "measured", ""]);
        for goal in self.goals() {
            let Goal {
                what,
                limit,
                measured,
                verdict,
            } = goal;
            table.row([what, limit, measured, verdict.describe().to_owned()]);
        }
        write!(f, "{table}")
    }

    /// Loud, for a table that lacks a row looks complete.
    fn write_refusals(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines: Vec<String> = Vec::new();
        for comparison in &self.comparisons {
            for observed in &comparison.observed {
                if let Some(reason) = &observed.refusal {
                    let observer = observed.observer.name();
                    lines.push(format!("- {observer}, {}: {reason}", comparison.name));
                }
            }
        }
        if self.has_run(Observer::Auditd) {
            lines.push(
                "- Audit has been enabled. The kernel does not forget that: until the next boot each \
                 new process pays for it at every system call, unless the rule `auditctl -a \
                 never,task` spares it."
                    .to_owned(),
            );
        }
        if self.peers.is_empty() {
            lines.push("- Other observers: `--peers` measures them as well.".to_owned());
        }
        if lines.is_empty() {
            return Ok(());
        }
        writeln!(f, "\n**Not measured, or to be known:**\n")?;
        lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }

    fn has_run(&self, observer: Observer) -> bool {
        let mut observed = self.comparisons.iter().filter_map(|it| it.of(observer));
        observed.any(|it| it.rounds + it.rounds_disturbed > 0)
    }

    fn write_losses(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (totals, stops) = self.totals();
        let Totals {
            seen,
            received,
            dropped,
            missed,
        } = totals;
        writeln!(f, "\n## Loss\n")?;
        writeln!(
            f,
            "{stops} runs of the agent, bursts and the long run: {seen} execs seen, {received} \
             received, {dropped} dropped, {missed} missed."
        )
    }

    fn write_kernel_programs(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n## Kernel programs\n")?;
        let programs = match &self.kernel_programs {
            Ok(programs) => programs,
            Err(reason) => return writeln!(f, "**Not measured**: {reason}."),
        };
        writeln!(
            f,
            "{} ns an exec with its fork and its exit, the kernel's own measuring included.\n",
            whole(programs.ns_per_exec)
        )?;
        let mut table = Table::new(["program", "runs", "ns a run"]);
        for program in &programs.programs {
            table.row([
                program.name.clone(),
                program.runs.to_string(),
                whole(program.ns_per_run),
            ]);
        }
        write!(f, "{table}")
    }

    fn write_latency(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n## From an urgent exec to its alert, µs\n")?;
        let Latency {
            exec_to_seen_us,
            exec_to_log_us,
            exec_to_disk_us,
        } = self.latency;
        let mut table = Table::new(["until", "p50", "p99", "p99.9", "max", "samples"]);
        let mut row = |label: &str, percentiles: Option<Percentiles>| {
            let cells = percentiles.map(|it| {
                let Percentiles {
                    p50,
                    p99,
                    p99_9,
                    max,
                    samples,
                } = it;
                let [p50, p99, p99_9, max] = [p50, p99, p99_9, max].map(|us| format!("{us:.0}"));
                [label.to_owned(), p50, p99, p99_9, max, samples.to_string()]
            });
            let none =
                || std::array::from_fn(|i| if i == 0 { label.to_owned() } else { nothing() });
            table.row(cells.unwrap_or_else(none));
        };
        row("seen, judged and told", exec_to_seen_us);
        row("readable in the alert log", exec_to_log_us);
        row("on disk for certain", exec_to_disk_us);
        write!(f, "{table}")
    }

    fn write_memory(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let run = &self.long_run;
        writeln!(f, "\n## Memory over a long run\n")?;
        writeln!(
            f,
            "{} execs, {:.0} a second, on all processors; the agent's own CPU {:.0} ns an exec. \
             VmRSS counts each ring twice, for each is mapped twice.\n",
            run.execs, run.execs_per_s, run.agent_cpu_ns_per_exec
        )?;
        let mut table = Table::new(["", "RssAnon, KiB", "VmRSS, KiB"]);
        for (label, memory) in [
            ("after the start", run.at_start),
            ("at the most", run.at_most),
            ("at the end", run.at_end),
        ] {
            let Memory {
                anonymous_kib,
                resident_kib,
            } = memory;
            table.row([
                label.to_owned(),
                anonymous_kib.to_string(),
                resident_kib.to_string(),
            ]);
        }
        write!(f, "{table}")
    }

    fn write_start_up(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let StartUp {
            armed_ms,
            starts,
            processes,
        } = self.start_up;
        writeln!(f, "\n## Start-up\n")?;
        writeln!(
            f,
            "{} ms from the start until armed, {starts} starts, {processes} processes alive.",
            whole(armed_ms)
        )
    }

    fn write_pipeline(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n## Pipeline, at the median\n")?;
        if self.pipeline.is_empty() {
            return writeln!(f, "Left out.");
        }
        let mut table = Table::new(["", "ns", "records/s", "allocations", "bytes allocated"]);
        for speed in &self.pipeline {
            let Speed {
                name,
                ns,
                items_per_s,
                allocations,
                allocated_bytes,
            } = speed;
            table.row([
                name.clone(),
                format!("{ns:.0}"),
                format!("{items_per_s:.0}"),
                format!("{allocations:.1}"),
                format!("{allocated_bytes:.0}"),
            ]);
        }
        write!(f, "{table}")
    }
}

fn write_comparison(f: &mut fmt::Formatter<'_>, comparison: &Comparison) -> fmt::Result {
    let a_step = comparison.workload.a_step();
    writeln!(f, "\n## {}\n", comparison.name)?;
    writeln!(
        f,
        "Bare: {} a second.\n",
        whole(comparison.bare_steps_per_s)
    )?;
    let mut table = Table::new([
        "observer".to_owned(),
        "throughput with / without".to_owned(),
        format!("added wall time, ns {a_step}"),
        format!("added CPU, ns {a_step}"),
        format!("own CPU, ns {a_step}"),
        "RssAnon, KiB".to_owned(),
        "VmRSS, KiB".to_owned(),
        "lost".to_owned(),
        "rounds, thrown away".to_owned(),
    ]);
    for observed in &comparison.observed {
        let lost = observed.totals.map_or(observed.lost, |it| it.lost());
        table.row([
            observed.observer.name().to_owned(),
            ratio(observed.throughput_ratio),
            tenths(observed.added_wall_ns_per_step),
            tenths(observed.added_cpu_ns_per_step),
            tenths(observed.own_cpu_ns_per_step),
            whole(observed.anonymous_kib),
            whole(observed.resident_kib),
            lost.to_string(),
            rounds(observed),
        ]);
    }
    write!(f, "{table}")
}

fn rounds(observed: &Observed) -> String {
    let refused = if observed.refusal.is_some() {
        ", **refused**"
    } else {
        ""
    };
    format!(
        "{}, {}{refused}",
        observed.rounds, observed.rounds_disturbed
    )
}

fn ratio(spread: Option<Spread>) -> String {
    spread.map_or_else(nothing, |spread| format!("{spread:.3}"))
}

fn whole(spread: Option<Spread>) -> String {
    spread.map_or_else(nothing, |spread| format!("{spread:.0}"))
}

/// A system call takes some hundred nanoseconds; for an exec the tenths say nothing.
fn tenths(spread: Option<Spread>) -> String {
    match spread {
        Some(it) if it.min.abs().max(it.max.abs()) < 100.0 => format!("{it:.1}"),
        spread => whole(spread),
    }
}

/// Every round was disturbed, or there is no such thing.
fn nothing() -> String {
    "-".to_owned()
}
