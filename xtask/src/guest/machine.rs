//! A Debian of its own that is booted by `systemd-nspawn`: this machine's kernel, and everything else apart, the
//! network too.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail, ensure};

use crate::cmd;

/// What the guest has beside `minbase`.
const PACKAGES: &str = "systemd,systemd-sysv,dbus,iptables,nftables,procps,iproute2,rsyslog";
/// Where the machine's own release is not Debian's.
const RELEASE: &str = "bookworm";

const PAUSE: Duration = Duration::from_millis(50);
/// For booting, and for whatever should happen at once.
const PATIENCE: Duration = Duration::from_secs(60);

/// An installation that nobody boots: each run gets a copy. Made when it is missing, which takes a minute or two.
pub(super) fn installation() -> anyhow::Result<PathBuf> {
    let folder = cmd::target().join("guest");
    let release = release();
    let installed = folder.join(&release);
    if installed.exists() {
        return Ok(installed);
    }
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    // One that was interrupted is not taken for a whole one.
    let partial = folder.join(format!("{release}.partial"));
    remove(&partial)?;
    let mut debootstrap = Command::new("debootstrap");
    debootstrap.args(["--variant=minbase", &format!("--include={PACKAGES}")]);
    cmd::run(debootstrap.arg(&release).arg(&partial))?;
    fs::rename(&partial, &installed).context("put the installation in its place")?;
    Ok(installed)
}

fn release() -> String {
    let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key));
    match (value("ID="), value("VERSION_CODENAME=")) {
        (Some("debian"), Some(codename)) => codename.to_owned(),
        _ => RELEASE.to_owned(),
    }
}

fn remove(folder: &Path) -> anyhow::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("remove {}", folder.display()))?;
    }
    Ok(())
}

/// What is left of runs that were interrupted: each is named by the process, which is gone.
fn remove_interrupted(runs: &Path) -> anyhow::Result<()> {
    let Ok(entries) = fs::read_dir(runs) else {
        return Ok(());
    };
    for entry in entries {
        let entry = entry.context("list the runs")?;
        if !Path::new("/proc").join(entry.file_name()).exists() {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

/// The files of one run, which are removed in the end.
pub(super) struct Root {
    /// Holds all of it: the guest's files, the log of its boot, and what systemd-nspawn puts beside them.
    run: PathBuf,
    files: PathBuf,
}

impl Root {
    pub(super) fn copy_of(installation: &Path) -> anyhow::Result<Self> {
        let runs = cmd::target().join("guest/runs");
        remove_interrupted(&runs)?;
        let run = runs.join(std::process::id().to_string());
        fs::create_dir_all(&run).with_context(|| format!("create {}", run.display()))?;
        let files = run.join("root");
        let root = Self { run, files };
        let mut copy = Command::new("cp");
        copy.args(["--archive", "--reflink=auto"]);
        cmd::run(copy.arg(installation).arg(&root.files))?;
        Ok(root)
    }

    /// Where this machine finds an absolute path of the guest.
    pub(super) fn path(&self, of_guest: &str) -> PathBuf {
        self.files.join(of_guest.trim_start_matches('/'))
    }

    /// Puts a file there; the folders above it are made.
    pub(super) fn install(&self, from: &Path, to: &str, mode: &str) -> anyhow::Result<()> {
        let mut install = Command::new("install");
        install.args(["-D", "--mode", mode]);
        cmd::run(install.arg(from).arg(self.path(to)))
    }

    pub(super) fn write(&self, path: &str, text: &str) -> anyhow::Result<()> {
        let path = self.path(path);
        let folder = path.parent().context("find the folder of a file")?;
        fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))
    }

    /// Boots it, and waits until all has been started.
    pub(super) fn boot(&self) -> anyhow::Result<Machine> {
        let log = self.run.join("boot.log");
        let file = fs::File::create(&log).context("make the log of the boot")?;
        let errors = file.try_clone().context("share the log of the boot")?;
        let mut nspawn = Command::new("systemd-nspawn");
        nspawn.arg("--directory").arg(&self.files);
        nspawn.args(["--boot", "--quiet", "--register=no", "--keep-unit"]);
        nspawn.args(["--resolv-conf=off", "--timezone=off", "--link-journal=no"]);
        // The firewall of this machine is none of its business.
        nspawn.args(["--private-network", "--console=pipe"]);
        // What the kernel programs need, which nspawn keeps from its guests.
        nspawn.args([
            "--capability=all",
            "--system-call-filter=bpf perf_event_open",
        ]);
        nspawn.env("SYSTEMD_NSPAWN_API_VFS_WRITABLE", "yes");
        nspawn.stdin(Stdio::null()).stdout(file).stderr(errors);
        let child = nspawn.spawn().context("start systemd-nspawn")?;
        let mut machine = Machine {
            child,
            init: 0,
            log,
        };
        machine.wait_for_init()?;
        Ok(machine)
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.run) {
            eprintln!("{} is left behind: {error}", self.run.display());
        }
    }
}

/// A booted guest. It ends when this goes.
pub(super) struct Machine {
    child: Child,
    /// The first process of the guest, by its number here; 0, which no process has, until it is known.
    init: u32,
    log: PathBuf,
}

impl Machine {
    fn wait_for_init(&mut self) -> anyhow::Result<()> {
        let nspawn = self.child.id();
        let children = format!("/proc/{nspawn}/task/{nspawn}/children");
        wait("the guest to have started everything", || {
            if let Some(status) = self.child.try_wait().context("ask for systemd-nspawn")? {
                let log = fs::read_to_string(&self.log).unwrap_or_default();
                bail!("systemd-nspawn ended with {status}: {log}");
            }
            // For a moment the only child is one that makes the guest's first process, and ends. It is on this
            // machine still, and what were run beside it would be, too.
            let text = fs::read_to_string(&children).unwrap_or_default();
            let mut pids = text.split_whitespace().filter_map(|pid| pid.parse().ok());
            let Some(init) = pids.find(|pid| is_first_of_its_own(*pid)) else {
                return Ok(None);
            };
            self.init = init;
            // It fails while the guest is on its way.
            let state = self.command(&["systemctl", "is-system-running"]).output();
            let state = state.context("start nsenter")?.stdout;
            Ok((state.starts_with(b"running") || state.starts_with(b"degraded")).then_some(()))
        })
    }

    /// A program in the guest.
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.init.to_string(), "--all", "--"]);
        command.args(words).stdin(Stdio::null());
        command
    }

    /// Runs a program in the guest and gives what it wrote to standard output.
    pub(super) fn output(&self, words: &[&str]) -> anyhow::Result<String> {
        cmd::output(&mut self.command(words))
    }

    /// The same for one that must fail.
    pub(super) fn refuses(&self, words: &[&str]) -> anyhow::Result<()> {
        let output = self.command(words).output().context("start nsenter")?;
        ensure!(!output.status.success(), "{} succeeded", words.join(" "));
        Ok(())
    }

    /// A property of a unit.
    pub(super) fn property(&self, unit: &str, name: &str) -> anyhow::Result<String> {
        let value = self.output(&["systemctl", "show", "--value", "--property", name, unit])?;
        Ok(value.trim_end().to_owned())
    }

    /// Shuts it down in order.
    pub(super) fn shut_down(mut self) -> anyhow::Result<()> {
        let pid = self.child.id().to_string();
        cmd::run(Command::new("kill").arg(pid))?;
        wait("the guest to end", || {
            self.child.try_wait().context("wait for systemd-nspawn")
        })?;
        // Its number may be another's from now on.
        self.init = 0;
        Ok(())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // It has ended already when it was shut down. The guest outlives systemd-nspawn; its first process takes all
        // others along.
        if !has_ended(self.init)
            && let Err(error) =
                cmd::output(Command::new("kill").args(["-s", "KILL", &self.init.to_string()]))
        {
            eprintln!("{error:#}");
        }
        drop(self.child.kill());
        drop(self.child.wait());
        // Until then something of it may write.
        let gone = wait("the guest to be gone", || {
            Ok(has_ended(self.init).then_some(()))
        });
        if let Err(error) = gone {
            eprintln!("{error:#}");
        }
    }
}

/// Whether a process is the first in a namespace of processes that is not this one (`NSpid`,
/// `proc_pid_status(5)`).
fn is_first_of_its_own(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    let numbers: Vec<&str> = numbers.unwrap_or_default().split_whitespace().collect();
    numbers.len() > 1 && numbers.last() == Some(&"1")
}

/// Whether no process has that number, or one that only waits for its parent to notice (`proc_pid_status(5)`).
fn has_ended(pid: u32) -> bool {
    match fs::read_to_string(format!("/proc/{pid}/status")) {
        Ok(status) => status.lines().any(|line| line.starts_with("State:\tZ")),
        Err(_) => true,
    }
}

/// Asks again and again until there is an answer.
pub(super) fn wait<T>(
    what: &str,
    mut ask: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    for _ in 0..PATIENCE.as_millis() / PAUSE.as_millis() {
        if let Some(answer) = ask().with_context(|| format!("wait for {what}"))? {
            return Ok(answer);
        }
        thread::sleep(PAUSE);
    }
    bail!("waited in vain for {what}")
}
