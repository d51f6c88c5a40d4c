//! `cargo xtask demo`: the main job on this machine's real kernel, from nothing to an alert.
//!
//! The agent is started with every path in a temporary folder; a stand-in for malware runs Cyclops
//! Blink's `iptables` commands in a network namespace that is gone afterwards, so that the firewall of
//! the machine is never touched; the alert is shown; the agent is stopped.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail, ensure};

use crate::setup::{self, IPTABLES, UNSHARE};
use crate::{cmd, time};

/// The recording that shows the same without root.
const RECORDING: &str = "tests/data/cyclops_blink.exec.jsonl";

/// How long the agent may take to start, and an alert to come.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only say what is missing on this machine
    #[arg(long)]
    no_install: bool,

    /// The programs are built already, in this folder; what a demo that became root gets
    #[arg(long, hide = true, value_name = "DIR")]
    built: Option<PathBuf>,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let built = match &options.built {
        Some(folder) => folder.clone(),
        None => {
            setup::ensure(&[IPTABLES, UNSHARE], !options.no_install)?;
            build()?
        }
    };
    if !cmd::is_root() {
        return become_root(&built);
    }
    let folder = TemporaryFolder::make()?;
    let malware = folder.0.join("cpd");
    fs::copy(built.join("examples/malware-stub"), &malware)
        .context("copy the stand-in for malware")?;

    println!("\n== the agent starts");
    let mut agent = Agent::start(&built.join("wallwatch"), &folder.0)?;
    println!(
        "\n== {} runs Cyclops Blink's commands, in a network namespace of its own",
        malware.display()
    );
    cmd::run(
        Command::new("unshare")
            .args(["--net", "--mount", "--"])
            .arg(&malware)
            .arg("cyclops"),
    )?;
    let first = agent.next_alert()?;
    let third_port_ns = last_seen_ns(&folder.0.join("alerts.jsonl"))?;
    let last = agent.latest_alert(first.text.clone());
    println!("\n== the alert, as a person reads it\n\n{last}");
    println!("== as a program reads it: its last line in alerts.jsonl\n");
    let lines = fs::read_to_string(folder.0.join("alerts.jsonl")).context("read the alerts")?;
    println!("{}", lines.lines().rfind(is_alert).unwrap_or_default());
    let after = Duration::from_nanos(first.wall_ns.saturating_sub(third_port_ns));
    println!(
        "\n== {:.1} ms after the exec with the third port the alert was here",
        after.as_secs_f64() * 1e3
    );
    ensure!(after < Duration::from_secs(1), "the alert came too late");
    ensure!(
        last.contains("(6 distinct)"),
        "the alert does not show the six ports"
    );
    agent.stop()
}

/// Folder of the programs.
fn build() -> anyhow::Result<PathBuf> {
    println!("== the agent is built");
    cmd::build_agent()
}

/// Loading programs into the kernel wants root; building them did not.
fn become_root(built: &Path) -> anyhow::Result<()> {
    let Some(sudo) = cmd::find("sudo") else {
        bail!(
            "watching the kernel wants root, and there is no sudo here; the same alert from a recording: \
             {} replay --human {RECORDING}",
            built.join("wallwatch").display()
        );
    };
    println!("watching the kernel wants root: sudo is asked");
    let this = std::env::current_exe().context("find this program")?;
    cmd::run(
        Command::new(sudo)
            .arg(this)
            .arg("demo")
            .arg("--built")
            .arg(built),
    )
}

/// When the exec happened that opened the alert, from the first line of the log.
fn last_seen_ns(alerts: &Path) -> anyhow::Result<u64> {
    let text = fs::read_to_string(alerts).context("read the alerts")?;
    let line = text.lines().find(is_alert);
    let line = line.context("find the first alert")?;
    let alert: serde_json::Value =
        serde_json::from_str(line).context("understand the first alert")?;
    let execs = alert["execs"]
        .as_array()
        .context("find the alert's execs")?;
    let last = execs.last().and_then(|exec| exec["time"].as_str());
    time::parse_utc_ns(last.context("find the time of the last exec")?)
}

/// The log has signs of life too.
fn is_alert(line: &&str) -> bool {
    line.contains(r#""kind":"alert""#)
}

/// A folder that is removed in the end.
struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    fn make() -> anyhow::Result<Self> {
        let made = cmd::output(Command::new("mktemp").args([
            "--directory",
            "--tmpdir",
            "wallwatch-demo.XXXXXXXX",
        ]))?;
        Ok(Self(PathBuf::from(made.trim_end())))
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("{} is left behind: {error}", self.0.display());
        }
    }
}

/// The running agent, and what it shows.
struct Agent {
    child: Child,
    shown: Receiver<String>,
}

/// An alert, and when it was here.
struct Shown {
    text: String,
    wall_ns: u64,
}

impl Agent {
    fn start(binary: &Path, folder: &Path) -> anyhow::Result<Self> {
        let config = folder.join("wallwatch.toml");
        fs::write(&config, "# all defaults\n").context("write the configuration")?;
        let mut command = Command::new(binary);
        command
            .arg("--config")
            .arg(config)
            .args(["run", "--human", "--alerts"])
            .arg(folder.join("alerts.jsonl"))
            .arg("--state")
            .arg(folder.join("state"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().context("start the agent")?;
        let stdout = child.stdout.take().context("read the agent's output")?;
        let stderr = child.stderr.take().context("read the agent's log")?;
        let log = lines_of(stderr);
        let shown = lines_of(stdout);
        let agent = Self { child, shown };
        loop {
            let line = log
                .recv_timeout(PATIENCE)
                .context("wait for the agent to be armed")?;
            println!("{line}");
            if line.contains("armed") {
                break;
            }
        }
        thread::spawn(move || log.iter().for_each(drop));
        Ok(agent)
    }

    /// Waits for the first alert.
    fn next_alert(&mut self) -> anyhow::Result<Shown> {
        let first = self
            .shown
            .recv_timeout(PATIENCE)
            .context("wait for the alert")?;
        let wall_ns = time::now_utc_ns()?;
        Ok(Shown {
            text: self.rest_of_alert(first),
            wall_ns,
        })
    }

    /// The last update that comes before it is quiet for longer than updates are apart.
    fn latest_alert(&mut self, mut latest: String) -> String {
        while let Ok(line) = self.shown.recv_timeout(Duration::from_millis(1500)) {
            latest = self.rest_of_alert(line);
        }
        latest
    }

    /// An alert's lines come at once.
    fn rest_of_alert(&mut self, first: String) -> String {
        let mut text = first + "\n";
        loop {
            match self.shown.recv_timeout(Duration::from_millis(100)) {
                Ok(line) => text = text + &line + "\n",
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return text,
            }
        }
    }

    fn stop(mut self) -> anyhow::Result<()> {
        cmd::run(Command::new("kill").arg(self.child.id().to_string()))?;
        let status = self.child.wait().context("wait for the agent")?;
        ensure!(status.success(), "the agent ended with {status}");
        println!("the agent has stopped; nothing of this is left on the machine");
        Ok(())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It has ended already unless something went wrong.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn lines_of(stream: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}
