//! A running agent, as an operator would run it, with every path in a folder of its own.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{ChildStderr, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, sleep};
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Serialize;

use super::process::{self, Memory, Process};
use super::workload::Bench;
use crate::time;

/// How long it may take to load its programs, and to stop.
const START_MAX: Duration = Duration::from_secs(30);
const STOP_MAX: Duration = Duration::from_secs(30);

/// After it is armed: its start has left nothing behind that would be taken for its work.
const SETTLE: Duration = Duration::from_millis(50);

pub(crate) struct Agent {
    process: Process,
    alerts: PathBuf,
    log: Receiver<String>,
    said: Vec<String>,
    armed_after: Duration,
}

/// Execs in the agent's last words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Totals {
    pub(crate) seen: u64,
    pub(crate) received: u64,
    pub(crate) dropped: u64,
    /// Runs of a program that the kernel skipped.
    pub(crate) missed: u64,
}

impl Totals {
    /// Execs that happened and did not arrive.
    pub(crate) fn lost(&self) -> u64 {
        self.dropped + self.missed
    }

    pub(crate) fn add(&mut self, other: Self) {
        let Self {
            seen,
            received,
            dropped,
            missed,
        } = other;
        self.seen += seen;
        self.received += received;
        self.dropped += dropped;
        self.missed += missed;
    }
}

impl Agent {
    /// Starts the agent and waits until it is armed.
    pub(crate) fn start(bench: &Bench) -> anyhow::Result<Self> {
        let config = bench.folder.join("wallwatch.toml");
        let alerts = bench.folder.join("alerts.jsonl");
        fs::write(&config, "").context("write an empty configuration")?;
        let mut command = Command::new(&bench.agent);
        command
            .arg("--config")
            .arg(config)
            .arg("run")
            .arg("--alerts")
            .arg(&alerts)
            .arg("--state")
            .arg(bench.folder.join("state"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let begin = time::now();
        let mut process = Process::start(&mut command)?;
        let stderr = process.0.stderr.take().context("open the agent's log")?;
        let mut agent = Self {
            process,
            alerts,
            log: lines(stderr),
            said: Vec::new(),
            armed_after: Duration::ZERO,
        };
        agent.wait_until_armed()?;
        agent.armed_after = time::now() - begin;
        sleep(SETTLE);
        Ok(agent)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Its log of alerts.
    pub(crate) fn alerts(&self) -> &Path {
        &self.alerts
    }

    /// From its start until it said that it was armed.
    pub(crate) fn armed_after(&self) -> Duration {
        self.armed_after
    }

    pub(crate) fn memory(&self) -> anyhow::Result<Memory> {
        process::memory(self.pid())
    }

    /// The line of its log that holds `words`, once it has come. `None` when it does not come for
    /// `wait_max`.
    pub(crate) fn said(&mut self, words: &str, wait_max: Duration) -> Option<&str> {
        while !self.said.iter().any(|line| line.contains(words)) {
            let line = self.log.recv_timeout(wait_max).ok()?;
            self.said.push(line);
        }
        let line = self.said.iter().find(|line| line.contains(words));
        line.map(String::as_str)
    }

    /// Ends the agent as an operator does, and gives its last words.
    pub(crate) fn stop(mut self) -> anyhow::Result<Totals> {
        let status = match self.process.stop(libc::SIGTERM, STOP_MAX) {
            Ok(status) => status,
            Err(error) => bail!("{error:#}; {}", self.log_text()),
        };
        if !status.success() {
            bail!("the agent ended with {status}; {}", self.log_text());
        }
        self.said.extend(self.log.iter());
        let last_words = self.said.iter().rev().find_map(|line| totals(line));
        last_words.with_context(|| format!("find the totals; {}", self.log_text()))
    }

    fn wait_until_armed(&mut self) -> anyhow::Result<()> {
        let begin = time::now();
        loop {
            let left = START_MAX.saturating_sub(time::now() - begin);
            let Ok(line) = self.log.recv_timeout(left) else {
                bail!("the agent did not start; {}", self.log_text());
            };
            let is_armed = line.contains(" armed ");
            self.said.push(line);
            if is_armed {
                return Ok(());
            }
        }
    }

    fn log_text(&mut self) -> String {
        self.said.extend(self.log.try_iter());
        format!("it said:\n{}", self.said.join("\n"))
    }
}

fn lines(stderr: ChildStderr) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// The agent's last words: `… totals execs_seen=12 execs_received=12 …`.
fn totals(line: &str) -> Option<Totals> {
    let fields: BTreeMap<&str, &str> = line
        .split_once(" totals ")?
        .1
        .split_whitespace()
        .filter_map(|word| word.split_once('='))
        .collect();
    let number = |name| fields.get(name)?.parse().ok();
    Some(Totals {
        seen: number("execs_seen")?,
        received: number("execs_received")?,
        dropped: number("execs_dropped")?,
        missed: number("execs_missed")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_words_are_read() {
        let line = "2026-01-01T00:00:00.000001Z  INFO totals execs_seen=12 execs_urgent=1 \
                    execs_dropped=2 execs_missed=0 execs_received=10 reconciled=true \
                    detector=DetectorCounters { execs: 5 }";
        let expected = Totals {
            seen: 12,
            received: 10,
            dropped: 2,
            missed: 0,
        };
        assert_eq!(totals(line), Some(expected));
        assert_eq!(totals("INFO armed kernel=\"6.1\""), None);
        assert_eq!(totals("INFO totals execs_seen=12"), None);
    }
}
