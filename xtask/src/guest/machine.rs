//! A container that systemd boots, from a Debian that was put together once.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};

use crate::{cmd, time};

const SUITE: &str = "bookworm";
const PACKAGES: &str = "systemd,systemd-sysv,dbus,iptables,nftables,procps,iproute2";
const BOOT_MAX: Duration = Duration::from_secs(180);
const STOP_MAX: Duration = Duration::from_secs(20);
const LOOK_AGAIN: Duration = Duration::from_millis(200);

pub(super) struct Machine {
    nspawn: Child,
    /// Its first process, as this host numbers it.
    leader: u32,
    root: PathBuf,
}

impl Machine {
    /// A fresh guest, of which `prepare` changes the files first. `folder` keeps what was downloaded.
    pub(super) fn boot(
        folder: &Path,
        prepare: impl FnOnce(&Path) -> anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
        let pristine = pristine(folder)?;
        let root = folder.join("running");
        remove(&root)?;
        let mut copy = Command::new("cp");
        cmd::run(copy.args(["-a", "--reflink=auto"]).args([&pristine, &root]))?;
        prepare(&root)?;
        let nspawn = Command::new("systemd-nspawn")
            .env("SYSTEMD_NSPAWN_API_VFS_WRITABLE", "yes")
            .args([
                "--quiet",
                "--boot",
                "--register=no",
                "--keep-unit",
                "--resolv-conf=off",
            ])
            .args([
                "--timezone=off",
                "--link-journal=no",
                "--private-network",
                "--console=pipe",
            ])
            .args([
                "--capability=all",
                "--system-call-filter=bpf perf_event_open @keyring",
            ])
            .args(["--bind=/sys/kernel/tracing", "--bind=/sys/fs/bpf"])
            .arg("--directory")
            .arg(&root)
            .stdin(Stdio::null())
            .stdout(fs::File::create(folder.join("boot.log")).context("create the boot log")?)
            .stderr(Stdio::null())
            .spawn()
            .context("start systemd-nspawn")?;
        let mut machine = Self {
            nspawn,
            leader: 0,
            root,
        };
        let nspawn = machine.nspawn.id();
        machine.leader = machine.wait_for("the guest's first process", BOOT_MAX, || {
            let children = fs::read_to_string(format!("/proc/{nspawn}/task/{nspawn}/children"));
            let first = children.context("has systemd-nspawn ended? its words are in boot.log")?;
            Ok(first
                .split_whitespace()
                .next()
                .and_then(|pid| pid.parse().ok()))
        })?;
        machine.wait_for("the end of the boot", BOOT_MAX, || {
            // It fails while systemd is not there, and when a unit failed; its word is what counts.
            let state = machine.command("systemctl is-system-running").output()?;
            let state = String::from_utf8_lossy(&state.stdout);
            Ok(matches!(state.trim(), "running" | "degraded").then_some(()))
        })?;
        Ok(machine)
    }

    /// What a shell in the guest says to a command that must succeed.
    pub(super) fn run(&self, script: &str) -> anyhow::Result<String> {
        cmd::output(&mut self.command(script))
    }

    /// Of the service.
    pub(super) fn property(&self, name: &str) -> anyhow::Result<String> {
        let script = format!("systemctl show wallwatch --value -p {name}");
        Ok(self.run(&script)?.trim().to_owned())
    }

    /// Looks again and again.
    pub(super) fn wait_for<T>(
        &self,
        what: &str,
        patience: Duration,
        look: impl Fn() -> anyhow::Result<Option<T>>,
    ) -> anyhow::Result<T> {
        let begin = time::now();
        loop {
            if let Some(found) = look()? {
                return Ok(found);
            }
            if begin.elapsed() > patience {
                bail!("{what}: not within {} s", patience.as_secs());
            }
            thread::sleep(LOOK_AGAIN);
        }
    }

    fn command(&self, script: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.leader.to_string(), "--all"]);
        command.args(["sh", "-c", script]).stdin(Stdio::null());
        command
    }
}

impl Drop for Machine {
    /// systemd-nspawn has its guest shut down at SIGTERM.
    fn drop(&mut self) {
        let mut kill = Command::new("kill");
        kill.arg(self.nspawn.id().to_string());
        if let Err(error) = cmd::run(&mut kill) {
            eprintln!("the guest is not told to end: {error:#}");
        }
        let begin = time::now();
        while begin.elapsed() < STOP_MAX {
            if !matches!(self.nspawn.try_wait(), Ok(None)) {
                break;
            }
            thread::sleep(LOOK_AGAIN);
        }
        // Of one that has ended, nothing is killed.
        drop(self.nspawn.kill());
        drop(self.nspawn.wait());
        if let Err(error) = remove(&self.root) {
            eprintln!("{} is left over: {error:#}", self.root.display());
        }
    }
}

/// Put together once.
fn pristine(folder: &Path) -> anyhow::Result<PathBuf> {
    let pristine = folder.join(SUITE);
    if pristine.exists() {
        return Ok(pristine);
    }
    let unfinished = folder.join("unfinished");
    remove(&unfinished)?;
    let mut debootstrap = Command::new("debootstrap");
    debootstrap.arg("--variant=minbase");
    debootstrap.arg(format!("--include={PACKAGES}"));
    cmd::run(debootstrap.arg(SUITE).arg(&unfinished))?;
    fs::rename(&unfinished, &pristine).context("keep the guest")?;
    Ok(pristine)
}

fn remove(folder: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}
