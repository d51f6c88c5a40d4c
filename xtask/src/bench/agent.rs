//! A running agent, as an operator would run it, with every path in a folder of its own.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, sleep};
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Serialize;

use super::workload::Bench;
use crate::time;

/// How long it may take to load its programs, and to stop.
const START_MAX: Duration = Duration::from_secs(30);
const STOP_MAX: Duration = Duration::from_secs(30);

/// After it is armed: its start has left nothing behind that would be taken for its work.
const SETTLE: Duration = Duration::from_millis(50);

pub(crate) struct Agent {
    child: Child,
    alerts: PathBuf,
    log: Receiver<String>,
    said: Vec<String>,
}

/// Memory of the agent, in KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Memory {
    /// Its own.
    pub(crate) anonymous_kib: u64,
    /// With its program file and the rings, which are mapped twice each.
    pub(crate) resident_kib: u64,
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
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        end_with_me(&mut command);
        let mut child = command
            .spawn()
            .with_context(|| format!("start {}", bench.agent.display()))?;
        let stderr = child.stderr.take().context("open the agent's log")?;
        let mut agent = Self {
            child,
            alerts,
            log: lines(stderr),
            said: Vec::new(),
        };
        agent.wait_until_armed()?;
        sleep(SETTLE);
        Ok(agent)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its log of alerts.
    pub(crate) fn alerts(&self) -> &Path {
        &self.alerts
    }

    /// Processor time of all its threads.
    pub(crate) fn cpu_ns(&self) -> anyhow::Result<u64> {
        let tasks = format!("/proc/{}/task", self.pid());
        let mut sum = 0;
        for task in fs::read_dir(&tasks).with_context(|| format!("list {tasks}"))? {
            let path = task.context("list the agent's threads")?.path();
            // A thread may end meanwhile.
            let schedstat = fs::read_to_string(path.join("schedstat")).unwrap_or_default();
            sum += first_number(&schedstat).unwrap_or(0);
        }
        Ok(sum)
    }

    pub(crate) fn memory(&self) -> anyhow::Result<Memory> {
        let path = format!("/proc/{}/status", self.pid());
        let status = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        memory(&status).with_context(|| format!("find the agent's memory in {path}"))
    }

    /// Ends the agent as an operator does, and gives its last words.
    pub(crate) fn stop(mut self) -> anyhow::Result<Totals> {
        self.terminate()?;
        let begin = time::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().context("wait for the agent")? {
                break status;
            }
            if time::now() - begin > STOP_MAX {
                bail!("the agent does not stop; {}", self.log_text());
            }
            sleep(Duration::from_millis(5));
        };
        if !status.success() {
            bail!("the agent ended with {status}; {}", self.log_text());
        }
        self.said.extend(self.log.iter());
        let last_words = self.said.iter().rev().find_map(|line| totals(line));
        last_words.with_context(|| format!("find the totals; {}", self.log_text()))
    }

    fn terminate(&self) -> anyhow::Result<()> {
        let pid = i32::try_from(self.pid()).context("the agent's process id")?;
        // SAFETY: the call has no preconditions; the process has not been waited for, so that the
        // number is still its own.
        if unsafe { libc::kill(pid, libc::SIGTERM) } != 0 {
            return Err(io::Error::last_os_error()).context("signal the agent");
        }
        Ok(())
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

/// Whatever went wrong, the agent does not outlive the measurement.
impl Drop for Agent {
    fn drop(&mut self) {
        // It has ended already when it was stopped in order.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Also when this program is killed, the agent stops.
fn end_with_me(command: &mut Command) {
    let die = || {
        // SAFETY: the call has no preconditions, and may be made between fork and exec.
        match unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    };
    // SAFETY: the closure calls the kernel and nothing else; it allocates nothing and takes no lock.
    unsafe { command.pre_exec(die) };
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

/// Of `/proc/PID/status`.
fn memory(status: &str) -> Option<Memory> {
    let kib = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name))?;
        first_number(line.split_once(':')?.1)
    };
    Some(Memory {
        anonymous_kib: kib("RssAnon:")?,
        resident_kib: kib("VmRSS:")?,
    })
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

fn first_number(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
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

    #[test]
    fn memory_is_read_from_the_status() {
        let status = "Name:\twallwatch\nVmRSS:\t   21000 kB\nRssAnon:\t    3500 kB\n";
        let expected = Memory {
            anonymous_kib: 3500,
            resident_kib: 21000,
        };
        assert_eq!(memory(status), Some(expected));
        assert_eq!(memory("Name:\tkthreadd\n"), None);
    }

    #[test]
    fn a_schedstat_begins_with_the_time_on_a_processor() {
        assert_eq!(first_number("123456 789 10\n"), Some(123_456));
    }
}
