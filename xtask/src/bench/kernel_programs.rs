//! What the kernel says about the time that the agent's programs take.
//!
//! Its statistics cost two readings of the clock for each run, so these are bursts of their own. They are
//! on for as long as a descriptor is open (`BPF_ENABLE_STATS`, since Linux 5.8), so that nothing has to
//! be put back.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, bail};
use serde::Serialize;

use super::agent::Agent;
use super::bpf;
use super::burst::{self, Burst};
use super::machine::Gate;
use super::observer::Watch;
use super::spread::Spread;
use super::workload::{Bench, Workload};

/// The agent's programs, and what all of them together take.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct KernelPrograms {
    /// The time of all runs, shared out over the burst's execs, each with its fork and its exit.
    pub(crate) ns_per_exec: Option<Spread>,
    pub(crate) programs: Vec<KernelProgram>,
}

/// One of the agent's programs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct KernelProgram {
    pub(crate) name: String,
    /// In all bursts.
    pub(crate) runs: u64,
    pub(crate) ns_per_run: Option<Spread>,
}

/// Bursts of the tiny program, with the statistics on.
pub(crate) fn measure(
    bench: &Bench,
    rounds: u32,
    gate: &mut Gate,
) -> anyhow::Result<KernelPrograms> {
    let agent = Agent::start(bench)?;
    let pid = agent.pid();
    let watch = Watch::Wallwatch(Box::new(agent));
    let _statistics =
        bpf::enable_statistics().context("switch the kernel's statistics of programs on")?;
    let mut sums = Vec::new();
    let mut by_id: BTreeMap<u32, Vec<Runs>> = BTreeMap::new();
    for _ in 0..rounds {
        let Some((steps, during)) = burst(bench, pid, &watch, gate)? else {
            continue;
        };
        sums.push(during.iter().map(|it| it.time_ns).sum::<u64>() as f64 / steps as f64);
        for runs in during {
            by_id.entry(runs.id).or_default().push(runs);
        }
    }
    if sums.is_empty() {
        bail!("others used the machine all the time");
    }
    let programs = by_id.into_iter().map(|(id, runs)| {
        Ok(KernelProgram {
            name: bpf::program_name(id).context("ask for a program's name")?,
            runs: runs.iter().map(|it| it.count).sum(),
            ns_per_run: Spread::of(runs.iter().map(|it| it.time_ns as f64 / it.count as f64)),
        })
    });
    let programs = programs.collect::<anyhow::Result<_>>()?;
    // A program is gone with the agent, and its name with it.
    watch.stop()?;
    Ok(KernelPrograms {
        ns_per_exec: Spread::of(sums),
        programs,
    })
}

/// The execs of one burst that nobody disturbed, and the runs of each program that they led to. A try
/// that was disturbed counts in neither.
fn burst(
    bench: &Bench,
    pid: u32,
    watch: &Watch,
    gate: &mut Gate,
) -> anyhow::Result<Option<(u64, Vec<Runs>)>> {
    for _ in 0..burst::TRIES_MAX {
        gate.wait()?;
        let before = runs(pid)?;
        let burst = Burst::measure(bench, Workload::OneWorker, watch, burst::DURATION)?;
        let after = runs(pid)?;
        if gate.is_quiet(burst.others) {
            let during = before.iter().zip(&after).map(|(b, a)| a.since(*b));
            let during = during.filter(|runs| runs.count > 0).collect();
            return Ok(Some((burst.steps, during)));
        }
        if gate.has_lost_patience() {
            break;
        }
    }
    Ok(None)
}

/// How often a program has run, as its descriptor's `fdinfo` tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Runs {
    id: u32,
    count: u64,
    time_ns: u64,
}

impl Runs {
    fn since(self, before: Self) -> Self {
        Self {
            id: self.id,
            count: self.count - before.count,
            time_ns: self.time_ns - before.time_ns,
        }
    }
}

/// The programs that a process holds, by id.
fn runs(pid: u32) -> anyhow::Result<Vec<Runs>> {
    let folder = format!("/proc/{pid}/fdinfo");
    let mut programs = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("list {folder}"))? {
        let path = entry.context("list the agent's descriptors")?.path();
        // A descriptor may be closed meanwhile.
        let info = fs::read_to_string(path).unwrap_or_default();
        programs.extend(parse(&info));
    }
    programs.sort();
    programs.dedup_by_key(|program| program.id);
    if programs.is_empty() {
        bail!("this kernel does not tell the run time of programs");
    }
    Ok(programs)
}

/// `None` when it is no program's, or of a kernel before 5.1.
fn parse(fdinfo: &str) -> Option<Runs> {
    let number = |name: &str| {
        let line = fdinfo.lines().find(|line| line.starts_with(name))?;
        line.split_once(':')?.1.trim().parse::<u64>().ok()
    };
    Some(Runs {
        id: number("prog_id:")?.try_into().ok()?,
        count: number("run_cnt:")?,
        time_ns: number("run_time_ns:")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_run_time_of_a_program_is_read() {
        let fdinfo = "pos:\t0\nflags:\t02000002\nprog_type:\t26\nprog_jited:\t1\n\
                      prog_tag:\t0123456789abcdef\nmemlock:\t8192\nprog_id:\t42\n\
                      run_time_ns:\t9000\nrun_cnt:\t5\nrecursion_misses:\t0\n";
        let expected = Runs {
            id: 42,
            count: 5,
            time_ns: 9000,
        };
        assert_eq!(parse(fdinfo), Some(expected));
    }

    #[test]
    fn what_is_no_program_has_no_run_time() {
        assert_eq!(parse("pos:\t0\nlink_type:\ttracing\nprog_id:\t42\n"), None);
        assert_eq!(parse(""), None);
    }
}
