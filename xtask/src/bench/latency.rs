//! How long after an exec it was seen, and its alert can be read and is safe.
//!
//! The tiny program is started as `sh` with the command lines that the rule counts, each for another
//! port, so that no firewall is touched. Each sample is another file, and so another group: its third
//! exec opens an alert. The clock runs from that exec's own time, as the kernel program took it and the
//! alert tells it.
//!
//! When the agent has the alert on disk it does not say. So this program syncs the log itself as soon as
//! the line is in it, and takes the end of that: the line is on disk then, be it by the agent's `fsync`
//! or by this one. It is later than the truth, never earlier.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::{sleep, yield_now};
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Serialize;
use serde_json::Value;

use super::agent::Agent;
use super::machine::Gate;
use super::spread::Percentiles;
use super::tiny_elf;
use super::workload::Bench;
use crate::time;

const PORTS: [&str; 3] = ["636", "989", "995"];

/// Samples of one agent. It brings all its alerts up to date when it stops, and they must find room.
const SAMPLES_PER_AGENT: u32 = 250;

/// Samples between two looks at what others do on the machine.
const SAMPLES_PER_GLANCE: u32 = 25;

/// An alert that is not there by then does not come.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Longer than the 10 ms for which the agent lets what is not urgent gather: each sample finds an agent
/// that has gone to sleep.
const PAUSE: Duration = Duration::from_millis(15);

/// Microseconds from the third urgent exec of a group.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Latency {
    /// Until the agent had seen it, judged it, handed over the alert and told that in its own log.
    pub(crate) exec_to_seen_us: Option<Percentiles>,
    /// Until the alert could be read in the alert log.
    pub(crate) exec_to_log_us: Option<Percentiles>,
    /// Until the alert was on disk for certain.
    pub(crate) exec_to_disk_us: Option<Percentiles>,
}

/// The same of one exec, in nanoseconds since 1970.
#[derive(Clone, Copy, Debug)]
struct Sample {
    exec_ns: u64,
    seen_ns: Option<u64>,
    log_ns: u64,
    disk_ns: u64,
}

impl Latency {
    pub(crate) fn measure(bench: &Bench, samples: u32, gate: &mut Gate) -> anyhow::Result<Self> {
        let mut taken = Vec::new();
        for first in (0..samples).step_by(SAMPLES_PER_AGENT as usize) {
            let mut agent = Agent::start(bench)?;
            let mut log = AlertLog::open(agent.alerts())?;
            for number in first..samples.min(first + SAMPLES_PER_AGENT) {
                if number % SAMPLES_PER_GLANCE == 0 {
                    gate.wait()?;
                }
                let folder = bench.folder.join(format!("latency-{number}"));
                fs::create_dir(&folder).context("create a folder for a sample")?;
                taken.push(sample(&folder, &mut agent, &mut log)?);
                fs::remove_dir_all(&folder).context("remove the folder of a sample")?;
            }
            agent.stop()?;
        }
        Ok(Self::of(&taken))
    }

    fn of(samples: &[Sample]) -> Self {
        let since = |then: &dyn Fn(&Sample) -> Option<u64>| {
            let us = samples.iter().filter_map(|sample| {
                let ns = then(sample)?.saturating_sub(sample.exec_ns);
                Some(ns as f64 / 1e3)
            });
            Percentiles::of(us)
        };
        Self {
            exec_to_seen_us: since(&|sample| sample.seen_ns),
            exec_to_log_us: since(&|sample| Some(sample.log_ns)),
            exec_to_disk_us: since(&|sample| Some(sample.disk_ns)),
        }
    }
}

fn sample(folder: &Path, agent: &mut Agent, log: &mut AlertLog) -> anyhow::Result<Sample> {
    let program = folder.join("sh");
    tiny_elf::write(&program).context("write the tiny program")?;
    let [first, second, third] = PORTS;
    start(&program, first)?.wait().context("wait for an exec")?;
    start(&program, second)?
        .wait()
        .context("wait for an exec")?;
    sleep(PAUSE);
    let mut last = start(&program, third)?;
    let (alert, log_ns) = log.wait_for_alert(&program)?;
    log.file.sync_data().context("sync the alert log")?;
    let disk_ns = time::now_utc_ns()?;
    last.wait().context("wait for an exec")?;
    let seen = agent.said(&format!(" alert id={} revision=0 ", alert.id), WAIT_MAX);
    Ok(Sample {
        exec_ns: alert.exec_ns,
        seen_ns: seen.and_then(line_time_ns),
        log_ns,
        disk_ns,
    })
}

/// Returns as soon as the program runs.
fn start(program: &Path, port: &str) -> anyhow::Result<std::process::Child> {
    Command::new(program)
        .arg0("sh")
        .arg("-c")
        .arg(format!(
            "iptables -I OUTPUT -p tcp --dport {port} -j ACCEPT &>/dev/null"
        ))
        .stdin(Stdio::null())
        .spawn()
        .context("start the tiny program")
}

/// What is needed of an alert.
#[derive(Debug, PartialEq, Eq)]
struct Alert {
    id: String,
    /// The time of its last exec, which opened it.
    exec_ns: u64,
}

/// The alert log, as somebody reads it who follows it.
struct AlertLog {
    file: File,
    /// Read already: a line of which the end is not there yet.
    torn: Vec<u8>,
}

impl AlertLog {
    /// At its beginning.
    fn open(path: &Path) -> anyhow::Result<Self> {
        Ok(Self {
            file: File::open(path).context("open the alert log")?,
            torn: Vec::new(),
        })
    }

    /// The alert about `program`, and when it could be read. Looks again and again, for being woken up
    /// would be part of the time.
    fn wait_for_alert(&mut self, program: &Path) -> anyhow::Result<(Alert, u64)> {
        let begin = time::now();
        loop {
            let lines = self.read_lines()?;
            let now_ns = time::now_utc_ns()?;
            if let Some(alert) = find_alert(&lines, program)? {
                return Ok((alert, now_ns));
            }
            if time::now() - begin > WAIT_MAX {
                bail!("no alert came for three execs that the rule counts");
            }
            yield_now();
        }
    }

    /// All lines that are whole by now.
    fn read_lines(&mut self) -> anyhow::Result<String> {
        self.file
            .read_to_end(&mut self.torn)
            .context("read the alert log")?;
        let is_end = |byte: &u8| *byte == b'\n';
        let whole = self.torn.iter().rposition(is_end).map_or(0, |end| end + 1);
        let lines = self.torn.drain(..whole).collect();
        String::from_utf8(lines).context("read the alert log")
    }
}

/// There may be alerts about others: somebody may test something else on this machine.
fn find_alert(text: &str, program: &Path) -> anyhow::Result<Option<Alert>> {
    for line in text.lines() {
        let alert: Value = serde_json::from_str(line).context("read an alert")?;
        if alert["process_path"].as_str() == program.to_str() {
            let word = |key| alert[key].as_str().unwrap_or_default();
            return Ok(Some(Alert {
                id: word("id").to_owned(),
                exec_ns: time::parse_utc_ns(word("last_seen"))?,
            }));
        }
    }
    Ok(None)
}

/// A line of the agent's own log begins with its time. `None` when it does not.
fn line_time_ns(line: &str) -> Option<u64> {
    time::parse_utc_ns(line.split_whitespace().next()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = concat!(
        r#"{"id": "a", "process_path": "/tmp/0/sh", "last_seen": "1970-01-01T00:00:01.000000002Z"}"#,
        "\n",
        r#"{"id": "b", "process_path": "/tmp/1/sh", "last_seen": "1970-01-01T00:00:02.000000003Z"}"#,
        "\n"
    );

    fn check(program: &str, expected: Option<(&str, u64)>) {
        let alert = find_alert(TEXT, Path::new(program)).unwrap();
        let alert = alert.as_ref().map(|it| (it.id.as_str(), it.exec_ns));
        assert_eq!(alert, expected, "{program}");
    }

    #[test]
    fn the_alert_about_the_program_is_found_among_others() {
        check("/tmp/0/sh", Some(("a", 1_000_000_002)));
        check("/tmp/1/sh", Some(("b", 2_000_000_003)));
        check("/tmp/2/sh", None);
    }

    #[test]
    fn a_line_is_read_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alerts.jsonl");
        fs::write(&path, "{}\n{\"a\"").unwrap();
        let mut log = AlertLog::open(&path).unwrap();
        assert_eq!(log.read_lines().unwrap(), "{}\n");
        assert_eq!(log.read_lines().unwrap(), "");
        fs::write(&path, "{}\n{\"a\":1}\n").unwrap();
        assert_eq!(log.read_lines().unwrap(), "{\"a\":1}\n");
    }

    #[test]
    fn what_was_not_told_is_no_sample() {
        let sample = |seen_ns| Sample {
            exec_ns: 1_000,
            seen_ns,
            log_ns: 4_000,
            disk_ns: 9_000,
        };
        let latency = Latency::of(&[sample(Some(2_000)), sample(None)]);
        let seen = latency.exec_to_seen_us.unwrap();
        assert_eq!((seen.max, seen.samples), (1.0, 1));
        let disk = latency.exec_to_disk_us.unwrap();
        assert_eq!((disk.max, disk.samples), (8.0, 2));
    }

    #[test]
    fn a_line_of_the_log_has_its_time() {
        let line = "1970-01-01T00:00:01.000002Z  INFO wallwatch::run: alert id=a revision=0";
        assert_eq!(line_time_ns(line), Some(1_000_002_000));
        assert_eq!(line_time_ns("INFO alert id=a"), None);
    }
}
