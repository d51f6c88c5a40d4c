//! `cargo xtask bench`: what the agent costs, and how fast its pipeline is. It measures and judges
//! nothing by its exit status; the report says which goals were met.
//!
//! ```text
//! worker ─── burst ──┐
//! observer ──────────┼─ pairing ──┐
//! machine ───────────┘            │
//! kernel_programs, latency ───────┼─ report, goals, plot
//! memory, start_up ───────────────┤
//! pipeline ───────────────────────┘
//! ```
//!
//! The speed of a machine drifts, most of all that of a virtual one. So a burst of execs with the
//! agent stands between two bursts without it, and is compared with these two alone. The same is done
//! with nothing in the place of the agent, which shows what the method itself makes of noise; with a
//! program that does nothing, which is the least that any sensor costs; and, if asked for, with others.

mod agent;
mod auditd;
mod bpf;
mod burst;
mod delivery;
mod goals;
mod kernel_programs;
mod latency;
mod machine;
mod memory;
mod observer;
mod pairing;
mod peer;
mod pipeline;
mod plot;
mod process;
mod report;
mod spread;
mod start_up;
mod table;
#[path = "../../tests/stub/tiny_elf.rs"]
mod tiny_elf;
pub(crate) mod worker;
mod workload;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use self::agent::Agent;
use self::delivery::Delivery;
use self::latency::Latency;
use self::machine::Gate;
use self::memory::LongRun;
use self::observer::Observer;
use self::plot::Plot;
use self::report::Report;
use self::start_up::StartUp;
use self::workload::{Bench, Workload};
use crate::{cmd, setup};

/// Runs of `configure` from which its execs are counted; somebody else's may fall into one.
const CONFIGURE_RUNS: usize = 3;

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

    /// Compare with auditd, bpftrace's execsnoop and that of libbpf-tools as well. Enables the kernel's
    /// audit, which makes system calls slower until the next boot
    #[arg(long)]
    pub(crate) peers: bool,

    /// Only say what the peers need and is missing
    #[arg(long)]
    pub(crate) no_install: bool,

    /// Execs after which the agent's memory is read
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) execs: u64,

    /// Urgent execs whose way to the alert is timed
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) urgent: u32,

    /// Starts of the agent that are timed
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) starts: u32,

    /// Measure only the way of alerts, from the store to receivers; that needs no root
    #[arg(long)]
    pub(crate) delivery: bool,

    /// Leave out the speed of the pipeline, which needs no root: `cargo bench -p wallwatch`
    #[arg(long)]
    pub(crate) no_pipeline: bool,
}

/// The report for a machine.
#[derive(serde::Serialize)]
struct Summary<'a> {
    goals: Vec<goals::Goal>,
    measured: &'a Report,
}

/// Measures, prints the report and writes it to `<target>/bench/`: `report.md`, `plot.svg` and
/// `summary.json`.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    if options.delivery {
        return delivery();
    }
    if !cmd::is_root() {
        bail!(
            "the agent loads programs into the kernel, which needs root; the speed of the pipeline \
             alone does not: cargo bench -p wallwatch --bench pipeline"
        );
    }
    let mut observers = Observer::OWN.to_vec();
    if options.peers {
        let needs = [setup::PEERS, &[setup::UNSHARE]].concat();
        setup::ensure(&needs, !options.no_install)?;
        observers.extend(Observer::PEERS);
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
    let mut bench = Bench::prepare(temporary.path(), binary)?;
    bench.configure_execs = configure_execs(&bench)?;
    let report = measure(&bench, &observers, options, pipeline)?;

    println!("\n{report}");
    write(&folder.join("report.md"), &report.to_string())?;
    let plot = Plot::of(&report.comparisons);
    write(&folder.join("plot.svg"), &plot.to_string())?;
    let summary = Summary {
        goals: report.goals(),
        measured: &report,
    };
    let summary = serde_json::to_string_pretty(&summary).context("encode the summary")?;
    write(&folder.join("summary.json"), &(summary + "\n"))
}

fn delivery() -> anyhow::Result<()> {
    let folder = cmd::target().join("bench");
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    let temporary = tempfile::Builder::new()
        .prefix("run-")
        .tempdir_in(&folder)
        .context("create a temporary folder")?;
    let measured = Delivery::measure(temporary.path())?;
    println!("\n{measured}");
    let summary = serde_json::to_string_pretty(&measured).context("encode the summary")?;
    write(&folder.join("delivery.json"), &(summary + "\n"))
}

/// What enables audit comes last: it changes what system calls cost.
fn measure(
    bench: &Bench,
    observers: &[Observer],
    options: &Options,
    pipeline: Vec<pipeline::Speed>,
) -> anyhow::Result<Report> {
    let gate = &mut Gate::new(options.others_max, options.patience);
    eprintln!("start-up");
    let start_up = StartUp::measure(bench, options.starts, gate)?;
    eprintln!("latency");
    let latency = Latency::measure(bench, options.urgent, gate)?;
    eprintln!("kernel programs");
    // A kernel before 5.8, or one without the statistics, or others who never rest. All else stands
    // without them.
    let kernel_programs =
        kernel_programs::measure(bench, options.rounds, gate).map_err(|error| format!("{error:#}"));
    eprintln!("memory, over {} execs", options.execs);
    let long_run = LongRun::measure(bench, options.execs)?;
    let comparisons = pairing::compare(bench, observers, options.rounds, gate)?;
    Ok(Report {
        machine: machine::describe(),
        rounds: options.rounds,
        peers: if options.peers {
            peer::versions()
        } else {
            Vec::new()
        },
        comparisons,
        kernel_programs,
        latency,
        long_run,
        start_up,
        pipeline,
        others_max: options.others_max,
        waited_s: gate.waited().as_secs(),
    })
}

/// The execs of one `configure`, as the agent counts them: the least of a few, for it also counts those
/// of others.
fn configure_execs(bench: &Bench) -> anyhow::Result<u64> {
    let words = bench.command(Workload::Configure);
    let [program, arguments @ ..] = words.as_slice() else {
        bail!("there is no command for configure");
    };
    let mut counts = Vec::new();
    for _ in 0..CONFIGURE_RUNS {
        let agent = Agent::start(bench)?;
        let mut command = Command::new(program);
        let result = cmd::output(command.args(arguments).env_clear());
        counts.push(agent.stop()?.seen);
        result.context("run configure; its config.log is gone with its folder")?;
    }
    counts.into_iter().min().context("count the execs")
}

fn build_agent() -> anyhow::Result<PathBuf> {
    let arguments = ["build", "--locked", "--release", "-p", "wallwatch"];
    cmd::run(cmd::cargo().args(arguments))?;
    Ok(cmd::target().join("release/wallwatch"))
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("write {}", path.display()))?;
    println!("written to {}", path.display());
    Ok(())
}
