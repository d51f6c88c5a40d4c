//! Who watches the execs while a burst runs.

use anyhow::Context;
use serde::Serialize;

use super::agent::{Agent, Totals};
use super::auditd::Auditd;
use super::bpf::EmptyProgram;
use super::peer::Peer;
use super::process::{self, Memory};
use super::workload::Bench;

/// What can stand in the middle burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Observer {
    /// The control: it shows what the method itself makes of noise.
    Nobody,
    /// A BPF program at the same tracepoint that does nothing.
    EmptyProgram,
    Wallwatch,
    /// `auditd` as Debian configures it, with one rule for `execve` and `execveat`.
    Auditd,
    /// bpftrace's `execsnoop.bt`.
    Bpftrace,
    /// `execsnoop` of Debian's `libbpf-tools`.
    Execsnoop,
}

impl Observer {
    /// Those that need nothing installed.
    pub(crate) const OWN: [Self; 3] = [Self::Nobody, Self::EmptyProgram, Self::Wallwatch];
    pub(crate) const PEERS: [Self; 3] = [Self::Auditd, Self::Bpftrace, Self::Execsnoop];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nobody => "nobody (control)",
            Self::EmptyProgram => "empty program",
            Self::Wallwatch => "wallwatch",
            Self::Auditd => "auditd",
            Self::Bpftrace => "bpftrace execsnoop",
            Self::Execsnoop => "libbpf-tools execsnoop",
        }
    }

    /// A failure of one of these leaves the rest of the measurement whole.
    pub(crate) fn is_peer(self) -> bool {
        Self::PEERS.contains(&self)
    }

    /// Starts it, and returns when it is seen to be armed.
    pub(crate) fn start(self, bench: &Bench) -> anyhow::Result<Watch> {
        Ok(match self {
            Self::Nobody => Watch::Nobody,
            Self::EmptyProgram => {
                let program = EmptyProgram::attach().context("attach an empty program")?;
                Watch::EmptyProgram(program)
            }
            Self::Wallwatch => Watch::Wallwatch(Box::new(Agent::start(bench)?)),
            Self::Auditd => Watch::Auditd(Auditd::start(bench)?),
            Self::Bpftrace => Watch::Peer(Peer::bpftrace(bench)?),
            Self::Execsnoop => Watch::Peer(Peer::execsnoop(bench)?),
        })
    }
}

/// An observer at work.
pub(crate) enum Watch {
    Nobody,
    /// Held, for it ends with its descriptor.
    EmptyProgram(#[expect(dead_code, reason = "it works by being there")] EmptyProgram),
    Wallwatch(Box<Agent>),
    Auditd(Auditd),
    Peer(Peer),
}

/// What an observer says of itself at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LastWords {
    None,
    Wallwatch(Totals),
    /// Events that it says it has lost.
    Lost(u64),
}

impl Watch {
    /// Whether it has a process, which reads what the kernel hands over.
    pub(crate) fn has_process(&self) -> bool {
        !self.pids().is_empty()
    }

    /// Processor time that it has used, in nanoseconds; what is done within the exec is not in it.
    pub(crate) fn cpu_ns(&self) -> anyhow::Result<u64> {
        process::cpu_ns(&self.pids())
    }

    /// `None` when it has no process of its own.
    pub(crate) fn memory(&self) -> anyhow::Result<Option<Memory>> {
        let pid = match self {
            Self::Nobody | Self::EmptyProgram(_) => return Ok(None),
            Self::Wallwatch(agent) => agent.pid(),
            Self::Auditd(auditd) => auditd.pid(),
            Self::Peer(peer) => peer.pid(),
        };
        process::memory(pid).map(Some)
    }

    pub(crate) fn stop(self) -> anyhow::Result<LastWords> {
        Ok(match self {
            Self::Nobody | Self::EmptyProgram(_) => LastWords::None,
            Self::Wallwatch(agent) => LastWords::Wallwatch(agent.stop()?),
            Self::Auditd(auditd) => LastWords::Lost(auditd.stop()?),
            Self::Peer(peer) => LastWords::Lost(peer.stop()?),
        })
    }

    fn pids(&self) -> Vec<u32> {
        match self {
            Self::Nobody | Self::EmptyProgram(_) => Vec::new(),
            Self::Wallwatch(agent) => vec![agent.pid()],
            Self::Auditd(auditd) => auditd.pids(),
            Self::Peer(peer) => vec![peer.pid()],
        }
    }
}
