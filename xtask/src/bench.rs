//! `cargo xtask bench`: what the agent costs, and how fast its pipeline is. It measures and judges
//! nothing.
//!
//! ```text
//! worker ── burst ──┐
//! agent ────────────┼─ pairing ──┐
//! machine ──────────┘            ├─ report
//! kernel_programs, latency ──────┤
//! pipeline ──────────────────────┘
//! ```
//!
//! The speed of a machine drifts, most of all that of a virtual one. So a burst of execs with the
//! agent stands between two bursts without it, and is compared with these two alone; the same is done
//! with nothing in the place of the agent, which shows what the method itself makes of noise.

mod agent;
mod burst;
mod kernel_programs;
mod latency;
mod machine;
mod pairing;
mod pipeline;
mod report;
mod spread;
#[path = "../../tests/stub/tiny_elf.rs"]
mod tiny_elf;
pub(crate) mod worker;
mod workload;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use self::latency::Latency;
use self::machine::Gate;
use self::report::Report;
use self::workload::Bench;
use crate::cmd;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Rounds of each comparison; odd numbers have a median
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: u32,

    /// Processors that others may use before a burst counts as disturbed and is tried again
    #[arg(long, value_name = "N", default_value_t = machine::OTHERS_MAX)]
    pub(crate) others_max: f64,

    /// Seconds to wait, altogether, for others to leave the machine alone
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub(crate) patience: u64,

    /// Leave out the speed of the pipeline, which needs no root: `cargo bench -p wallwatch`
    #[arg(long)]
    pub(crate) no_pipeline: bool,
}

/// Measures, prints a table and writes `<target>/bench/summary.json`.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    if !cmd::is_root() {
        bail!(
            "the agent loads programs into the kernel, which needs root; the speed of the pipeline \
             alone does not: cargo bench -p wallwatch --bench pipeline"
        );
    }
    let binary = build_agent()?;
    let pipeline = if options.no_pipeline {
        Vec::new()
    } else {
        pipeline::run()?
    };

    let folder = cmd::target().join("bench");
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    let temporary = tempfile::Builder::new()
        .prefix("run-")
        .tempdir_in(&folder)
        .context("create a temporary folder")?;
    let bench = Bench::prepare(temporary.path(), binary)?;
    let mut gate = Gate::new(options.others_max, options.patience);
    let report = measure(&bench, options.rounds, &mut gate, pipeline)?;

    println!("\n{report}");
    let summary = folder.join("summary.json");
    write_summary(&report, &summary)?;
    println!("written to {}", summary.display());
    Ok(())
}

fn measure(
    bench: &Bench,
    rounds: u32,
    gate: &mut Gate,
    pipeline: Vec<pipeline::Speed>,
) -> anyhow::Result<Report> {
    let comparisons = pairing::compare(bench, rounds, gate)?;
    eprintln!("kernel programs");
    // A kernel before 5.8, or one without the statistics, or others who never rest. All else stands
    // without them.
    let kernel_programs =
        kernel_programs::measure(bench, gate).map_err(|error| format!("{error:#}"));
    eprintln!("latency");
    let latency = Latency::measure(bench, gate)?;
    Ok(Report {
        machine: machine::describe(),
        comparisons,
        kernel_programs,
        latency,
        pipeline,
        waited_s: gate.waited().as_secs(),
    })
}

fn build_agent() -> anyhow::Result<PathBuf> {
    let arguments = ["build", "--locked", "--release", "-p", "wallwatch"];
    cmd::run(cmd::cargo().args(arguments))?;
    Ok(cmd::target().join("release/wallwatch"))
}

fn write_summary(report: &Report, path: &Path) -> anyhow::Result<()> {
    let mut json = serde_json::to_string_pretty(report).context("encode the summary")?;
    json.push('\n');
    fs::write(path, json).with_context(|| format!("write {}", path.display()))
}
