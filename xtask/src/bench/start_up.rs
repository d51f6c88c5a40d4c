//! How long the agent takes from its exec until it is armed, on a machine with some processes.

use std::process::{Command, Stdio};

use anyhow::Context;
use serde::Serialize;

use super::agent::Agent;
use super::machine::Gate;
use super::process::{self, Process};
use super::spread::Spread;
use super::workload::Bench;

/// Processes that are started for it; the agent looks at each one that lives.
const SLEEPERS: usize = 200;

/// Longer than this takes, should nobody end them.
const SLEEP_S: &str = "600";

#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct StartUp {
    /// Milliseconds from before the fork that leads to the exec until the line `armed` was read here.
    pub(crate) armed_ms: Option<Spread>,
    pub(crate) starts: u32,
    /// All that lived meanwhile, with threads of the kernel.
    pub(crate) processes: usize,
}

impl StartUp {
    pub(crate) fn measure(bench: &Bench, starts: u32, gate: &mut Gate) -> anyhow::Result<Self> {
        let sleepers = (0..SLEEPERS)
            .map(|_| {
                let mut command = Command::new("sleep");
                command.arg(SLEEP_S).stdin(Stdio::null());
                Process::start(&mut command)
            })
            .collect::<anyhow::Result<Vec<_>>>()
            .context("start processes that do nothing")?;
        let processes = process::count()?;
        let mut armed_ms = Vec::new();
        for _ in 0..starts {
            gate.wait()?;
            let agent = Agent::start(bench)?;
            armed_ms.push(agent.armed_after().as_secs_f64() * 1e3);
            agent.stop()?;
        }
        drop(sleepers);
        Ok(Self {
            armed_ms: Spread::of(armed_ms),
            starts,
            processes,
        })
    }
}
