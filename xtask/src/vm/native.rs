//! The same tests on the kernel that runs here: the same programs, started the same way, in no guest.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::console::Console;
use super::payload::{PROBE, PROBE_NAME, Payload};
use super::report::Report;
use super::subject::NATIVE;
use crate::time;

/// The status of `timeout` when the time was up.
const TIMED_OUT: i32 = 124;
const RELEASE: &str = "/proc/sys/kernel/osrelease";

pub(crate) fn run(payload: &Payload, timeout_s: u64) -> Result<Report> {
    let folder = tempfile::tempdir().context("make a folder for the programs")?;
    let script = lay_out(payload, folder.path()).context("lay out the programs")?;
    let release = fs::read_to_string(RELEASE).with_context(|| format!("read {RELEASE}"))?;
    let release = release.trim();

    let mut console = Console::default();
    console.read_line(&format!("WALLWATCH-VM-KERNEL {release}"));
    let start = time::now();
    // `timeout` ends the whole group of processes, whatever the tests have started.
    let mut child = Command::new("timeout")
        .args(["--kill-after=5", &timeout_s.to_string()])
        .args(["sh", "-c", "exec \"$0\" 2>&1"])
        .arg(&script)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("start timeout (coreutils)")?;
    let output = child.stdout.take().context("open the tests' output")?;
    for line in BufReader::new(output).split(b'\n') {
        let line = line.context("read the tests' output")?;
        let line = String::from_utf8_lossy(&line);
        eprintln!("[{NATIVE}] {line}");
        console.read_line(&line);
    }
    let status = child.wait().context("wait for the tests")?;
    // What was cut short has no verdict.
    if let Some(status) = status.code().filter(|status| *status != TIMED_OUT) {
        console.read_line(&format!("WALLWATCH-VM-EXIT {status}"));
    }
    Ok(Report::of_native(release, console, time::now() - start))
}

/// Links the programs into the folder, as a guest has them in `/wallwatch`; gives the script to run.
fn lay_out(payload: &Payload, folder: &Path) -> Result<PathBuf> {
    for program in &payload.programs {
        symlink(&program.file, folder.join(&program.name))?;
    }
    fs::write(folder.join(PROBE_NAME), PROBE)?;
    let script = folder.join("run");
    fs::write(&script, payload.script(&folder.to_string_lossy(), false))?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    Ok(script)
}
