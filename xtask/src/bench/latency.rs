//! How long after an exec its alert can be read.
//!
//! The tiny program is started as `sh` with the command lines that the rule counts, each for another
//! port, so that no firewall is touched. Each sample is another file, and so another group: its third
//! exec opens an alert. The clock runs from that exec's own time, as the kernel program took it and the
//! alert tells it, until the line is in the alert log; its way to the disk (`fsync`) begins then.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::yield_now;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Serialize;
use serde_json::Value;

use super::agent::Agent;
use super::machine::Gate;
use super::spread::Spread;
use super::tiny_elf;
use super::workload::Bench;
use crate::time;

const SAMPLES: usize = 50;
const PORTS: [&str; 3] = ["636", "989", "995"];

/// An alert that is not there by then does not come.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Microseconds from an urgent exec to its alert; each finds an agent that has gone to sleep.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Latency {
    pub(crate) exec_to_alert_us: Option<Spread>,
    pub(crate) samples: usize,
}

impl Latency {
    pub(crate) fn measure(bench: &Bench, gate: &mut Gate) -> anyhow::Result<Self> {
        let agent = Agent::start(bench)?;
        let mut samples_us = Vec::new();
        for number in 0..SAMPLES {
            let folder = bench.folder.join(format!("latency-{number}"));
            fs::create_dir(&folder).context("create a folder for a sample")?;
            let program = folder.join("sh");
            tiny_elf::write(&program).context("write the tiny program")?;
            gate.wait()?;
            samples_us.push(sample(&program, agent.alerts())?);
        }
        agent.stop()?;
        Ok(Self {
            samples: samples_us.len(),
            exec_to_alert_us: Spread::of(samples_us),
        })
    }
}

fn sample(program: &Path, alerts: &Path) -> anyhow::Result<f64> {
    let mut log = File::open(alerts).context("open the alert log")?;
    log.seek(SeekFrom::End(0)).context("go to the log's end")?;
    let [first, second, third] = PORTS;
    start(program, first)?.wait().context("wait for an exec")?;
    start(program, second)?.wait().context("wait for an exec")?;
    let mut last = start(program, third)?;
    let us = wait_for_alert(&mut log, program)?;
    last.wait().context("wait for an exec")?;
    Ok(us)
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

/// Microseconds from the exec to the alert that it opened. Looks again and again, for being woken up
/// would be part of the time.
fn wait_for_alert(log: &mut File, program: &Path) -> anyhow::Result<f64> {
    let begin = time::now();
    let mut text = String::new();
    loop {
        log.read_to_string(&mut text)
            .context("read the alert log")?;
        let now_ns = time::now_utc_ns()?;
        if text.ends_with('\n')
            && let Some(exec_ns) = exec_time_ns(&text, program)?
        {
            return Ok(now_ns.saturating_sub(exec_ns) as f64 / 1e3);
        }
        if time::now() - begin > WAIT_MAX {
            bail!("no alert came for three execs that the rule counts");
        }
        yield_now();
    }
}

/// The time of the exec that opened the alert about `program`, which is its last. There may be alerts
/// about others: somebody may test something else on this machine.
fn exec_time_ns(text: &str, program: &Path) -> anyhow::Result<Option<u64>> {
    for line in text.lines() {
        let alert: Value = serde_json::from_str(line).context("read an alert")?;
        if alert["process_path"].as_str() == program.to_str() {
            let time = alert["last_seen"].as_str().unwrap_or_default();
            return time::parse_utc_ns(time).map(Some);
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = concat!(
        r#"{"process_path": "/tmp/0/sh", "last_seen": "1970-01-01T00:00:01.000000002Z"}"#,
        "\n",
        r#"{"process_path": "/tmp/1/sh", "last_seen": "1970-01-01T00:00:02.000000003Z"}"#,
        "\n"
    );

    fn check(program: &str, expected: Option<u64>) {
        let time = exec_time_ns(TEXT, Path::new(program)).unwrap();
        assert_eq!(time, expected, "{program}");
    }

    #[test]
    fn the_alert_about_the_program_is_found_among_others() {
        check("/tmp/0/sh", Some(1_000_000_002));
        check("/tmp/1/sh", Some(2_000_000_003));
        check("/tmp/2/sh", None);
    }
}
