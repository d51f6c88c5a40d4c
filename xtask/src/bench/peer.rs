//! Other programs that tell execs, as their packages bring them.
//!
//! Each runs in a mount namespace of its own, so that what it needs mounted and where it keeps its
//! process id changes nothing on the host. Its output goes to a file, with the buffering that it chooses
//! itself.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, bail};

use super::process::Process;
use super::workload::Bench;
use crate::{cmd, setup, time};

/// bpftrace compiles its script first.
const ARMED_MAX: Duration = Duration::from_secs(30);
const STOP_MAX: Duration = Duration::from_secs(30);

/// Between two canaries. An observer that buffers its output shows the first when many have run.
const CANARY_EVERY: Duration = Duration::from_millis(2);

/// Its start, and the canaries that it saw, are not part of what is measured.
const SETTLE: Duration = Duration::from_millis(200);

/// Where the tools look for tracepoints; not mounted everywhere.
const WITH_TRACEFS: &str = "[ -e /sys/kernel/tracing/events ] || \
     mount -t tracefs tracefs /sys/kernel/tracing || exit; exec \"$@\"";

pub(crate) struct Peer {
    process: Process,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Peer {
    pub(crate) fn bpftrace(bench: &Bench) -> anyhow::Result<Self> {
        let script = cmd::find("execsnoop.bt").context("find execsnoop.bt (package bpftrace)")?;
        let mut command = apart(WITH_TRACEFS, "bpftrace")?;
        command.arg(script);
        Self::start(command, bench)
    }

    pub(crate) fn execsnoop(bench: &Bench) -> anyhow::Result<Self> {
        Self::start(apart(WITH_TRACEFS, "execsnoop")?, bench)
    }

    fn start(mut command: Command, bench: &Bench) -> anyhow::Result<Self> {
        let (stdout, stderr) = (bench.folder.join("peer.out"), bench.folder.join("peer.err"));
        let create =
            |path: &Path| File::create(path).with_context(|| format!("create {}", path.display()));
        command
            .stdin(Stdio::null())
            .stdout(create(&stdout)?)
            .stderr(create(&stderr)?);
        let mut peer = Self {
            process: Process::start(&mut command)?,
            stdout,
            stderr,
        };
        let (process, output) = (&mut peer.process, &peer.stdout);
        if let Err(error) = wait_until_armed(process, bench.canary(), output) {
            let said = fs::read_to_string(&peer.stderr).unwrap_or_default();
            bail!("{error:#}; it said: {}", said.trim());
        }
        Ok(peer)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Ends it, and gives the number of events that it says it has lost.
    pub(crate) fn stop(mut self) -> anyhow::Result<u64> {
        self.process.stop(libc::SIGINT, STOP_MAX)?;
        let mut lost = 0;
        for path in [&self.stdout, &self.stderr] {
            let text = fs::read(path).with_context(|| format!("read {}", path.display()))?;
            lost += lost_events(&String::from_utf8_lossy(&text));
            fs::remove_file(path).with_context(|| format!("remove {}", path.display()))?;
        }
        Ok(lost)
    }
}

/// Of which packages the peers are, and of which versions, as far as this system tells.
pub(crate) fn versions() -> Vec<String> {
    let packages = setup::PEERS.iter().flat_map(setup::Need::packages);
    let version = |package: &str| {
        let mut query = Command::new("dpkg-query");
        cmd::output(query.args(["--show", "--showformat=${Package} ${Version}", package])).ok()
    };
    packages.filter_map(version).collect()
}

/// A program, to run after `script` in a mount namespace of its own. It keeps the process id.
pub(crate) fn apart(script: &str, program: &str) -> anyhow::Result<Command> {
    let path = cmd::find(program).with_context(|| format!("find {program}"))?;
    let mut command = Command::new("unshare");
    command.args(["--mount", "--", "/bin/sh", "-c", script, "sh"]);
    command.arg(path);
    Ok(command)
}

/// Runs a program that nobody else runs until its path stands in what the observer writes.
pub(crate) fn wait_until_armed(
    process: &mut Process,
    canary: &Path,
    output: &Path,
) -> anyhow::Result<()> {
    let begin = time::now();
    while time::now() - begin < ARMED_MAX {
        if process.has_ended()? {
            bail!("it ended by itself");
        }
        Command::new(canary)
            .status()
            .context("run the program that an observer must see")?;
        // It may not have made the file yet.
        let written = fs::read(output).unwrap_or_default();
        if contains(&written, canary.as_os_str().as_encoded_bytes()) {
            sleep(SETTLE);
            return Ok(());
        }
        sleep(CANARY_EVERY);
    }
    bail!("it showed no exec within {} s", ARMED_MAX.as_secs())
}

fn contains(text: &[u8], words: &[u8]) -> bool {
    text.windows(words.len()).any(|part| part == words)
}

/// Both say `Lost 12 events`, with a small or a capital letter and perhaps on which processor.
fn lost_events(text: &str) -> u64 {
    let number = |line: &str| {
        let line = line.strip_prefix('L').or(line.strip_prefix('l'))?;
        let (number, rest) = line.strip_prefix("ost ")?.split_once(' ')?;
        rest.starts_with("events")
            .then(|| number.parse::<u64>().ok())?
    };
    text.lines().filter_map(number).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_events_are_added_up() {
        let text =
            "TIME PID ARGS\nLost 12 events\n1 2 echo Lost 7 events\nlost 3 events on CPU #1\n";
        assert_eq!(lost_events(text), 15);
        assert_eq!(lost_events("lost sight\nLost many events\n"), 0);
    }

    #[test]
    fn a_path_is_found_among_bytes() {
        assert!(contains(b"\xff /tmp/canary\n", b"/tmp/canary"));
        assert!(!contains(b"/tmp/canar", b"/tmp/canary"));
        assert!(!contains(b"", b"/tmp/canary"));
    }
}
