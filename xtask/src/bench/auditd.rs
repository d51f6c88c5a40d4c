//! auditd, with its configuration and log in a folder of the measurement.
//!
//! The kernel has one audit, which is the host's. It is used only when nobody uses it: no daemon has
//! it, and there are no rules that would have to be put back. What is changed is changed back at the end.
//!
//! One thing cannot be: once audit has been enabled, each new process gets an audit context and pays for
//! it at every system call, until the next boot (`audit_ever_enabled`, `kernel/audit.c`; 195 ns became
//! 360 for `getppid` where this was written). The rule `never,task` spares new processes that. So that
//! bursts without auditd stay what they were, it is in force between those with it.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};

use super::peer::{apart, wait_until_armed};
use super::process::{self, Process};
use super::workload::Bench;
use crate::cmd;

const STOP_MAX: Duration = Duration::from_secs(60);

/// What is measured.
const EXEC_RULE: &str = "always,exit -F arch=b64 -S execve -S execveat -F key=wallwatch-bench";

/// By which it is found again.
const KEY: &str = "wallwatch-bench";

/// As `auditctl -l` shows it.
const NEVER_TASK: &str = "-a never,task";

/// Of Debian's `/etc/audit/rules.d/audit.rules`; the kernel's 64 would lose all but everything.
const BACKLOG: &str = "8192";

/// Where it writes its process id is the same everywhere, and must not be the host's.
const WITH_OWN_RUN: &str = "mount -t tmpfs tmpfs /run || exit; exec \"$@\"";

pub(crate) struct Auditd {
    process: Process,
    /// The kernel's thread that hands events over.
    kernel_thread: Option<u32>,
    folder: PathBuf,
    before: Status,
}

impl Auditd {
    pub(crate) fn start(bench: &Bench) -> anyhow::Result<Self> {
        let before = Status::read()?;
        before.check_unused()?;
        check_rules(&auditctl("-l")?)?;
        let folder = bench.folder.join("auditd");
        let log = write_configuration(&folder)?;
        let mut command = apart(WITH_OWN_RUN, "auditd")?;
        command
            .args(["-n", "-c"])
            .arg(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        // From here on, dropping it puts back what was there.
        let mut auditd = Self {
            process: Process::start(&mut command)?,
            kernel_thread: process::named("kauditd")?,
            folder,
            before,
        };
        auditctl(&format!("-b {BACKLOG}"))?;
        if has_never_task()? {
            auditctl("-d never,task")?;
        }
        auditctl(&format!("-a {EXEC_RULE}"))?;
        auditctl("-e 1")?;
        wait_until_armed(&mut auditd.process, bench.canary(), &log)
            .context("start auditd (why it failed is in the system's log)")?;
        Ok(auditd)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// All that works for it.
    pub(crate) fn pids(&self) -> Vec<u32> {
        std::iter::once(self.pid())
            .chain(self.kernel_thread)
            .collect()
    }

    /// Ends it, and gives the number of events that the kernel lost.
    pub(crate) fn stop(self) -> anyhow::Result<u64> {
        let lost = Status::read()?.lost - self.before.lost;
        drop(self);
        let after = auditctl("-l")?;
        if after.contains(KEY) {
            bail!("the audit rule is still there: auditctl -d {EXEC_RULE}");
        }
        Ok(lost)
    }

    /// In this order, so that nothing is left that nobody reads. Goes on after a failure, and tells the
    /// first.
    fn put_back(&mut self) -> anyhow::Result<()> {
        let Status {
            enabled,
            backlog_limit,
            ..
        } = self.before;
        let results = [
            auditctl(&format!("-d {EXEC_RULE}")).map(drop),
            self.process.stop(libc::SIGTERM, STOP_MAX).map(drop),
            auditctl(&format!("-e {enabled}")).map(drop),
            auditctl(&format!("-b {backlog_limit}")).map(drop),
            auditctl("-a never,task").map(drop),
            fs::remove_dir_all(&self.folder).context("remove auditd's folder"),
        ];
        results.into_iter().collect()
    }
}

impl Drop for Auditd {
    fn drop(&mut self) {
        if let Err(error) = self.put_back() {
            eprintln!("audit is not quite as it was: {error:#}");
        }
    }
}

/// Puts audit back at the end of a measurement, whatever end that is: a shell does it as soon as the
/// other end of its standard input is closed.
pub(crate) struct Janitor {
    shell: Child,
    had_never_task: bool,
}

impl Janitor {
    /// `None` when there is no audit that could be used, and so nothing that could be changed.
    pub(crate) fn start() -> Option<Self> {
        let before = Status::read().ok()?;
        before.check_unused().ok()?;
        let had_never_task = has_never_task().ok()?;
        let program = cmd::find("auditctl")?;
        let mut shell = Command::new("/bin/sh");
        shell
            .args(["-c", &restoring(before, had_never_task), "sh"])
            .arg(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Some(Self {
            shell: shell.spawn().ok()?,
            had_never_task,
        })
    }

    fn finish(&mut self) -> anyhow::Result<()> {
        drop(self.shell.stdin.take());
        self.shell.wait().context("wait for a shell")?;
        let rules = auditctl("-l")?;
        if rules.contains(KEY) || rules.contains(NEVER_TASK) != self.had_never_task {
            bail!("the rules are now: {rules}");
        }
        Ok(())
    }
}

impl Drop for Janitor {
    fn drop(&mut self) {
        if let Err(error) = self.finish() {
            eprintln!("audit is not quite as it was: {error:#}");
        }
    }
}

/// A command of these fails when there is nothing to do for it.
fn restoring(before: Status, had_never_task: bool) -> String {
    let Status {
        enabled,
        backlog_limit,
        ..
    } = before;
    let again = if had_never_task {
        "\n\"$1\" -a never,task"
    } else {
        ""
    };
    format!(
        "trap '' HUP INT QUIT TERM\nread -r _\n\"$1\" -d {EXEC_RULE}\n\"$1\" -e {enabled}\n\
         \"$1\" -b {backlog_limit}\n\"$1\" -d never,task{again}"
    )
}

/// What `auditctl -s` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Status {
    /// 2 when nobody may change it until the next boot.
    enabled: u64,
    /// Of the daemon, or 0.
    pid: u64,
    backlog_limit: u64,
    lost: u64,
}

impl Status {
    fn read() -> anyhow::Result<Self> {
        let text = auditctl("-s")?;
        parse_status(&text).with_context(|| format!("understand the state of audit: {text}"))
    }

    fn check_unused(self) -> anyhow::Result<()> {
        if self.pid != 0 {
            bail!("a daemon has the kernel's audit already (pid {})", self.pid);
        }
        if self.enabled == 2 {
            bail!("the kernel's audit is locked until the next boot");
        }
        Ok(())
    }
}

fn parse_status(text: &str) -> Option<Status> {
    let number = |name: &str| {
        let words = text.lines().filter_map(|line| line.split_once(' '));
        let mut values = words.filter(|(key, _)| *key == name);
        values.next()?.1.trim().parse().ok()
    };
    Some(Status {
        enabled: number("enabled")?,
        pid: number("pid")?,
        backlog_limit: number("backlog_limit")?,
        lost: number("lost")?,
    })
}

/// Rules of the host are not touched, and beside them nothing could be compared.
fn check_rules(list: &str) -> anyhow::Result<()> {
    let mut rules = list
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && *line != "No rules" && *line != NEVER_TASK);
    match rules.next() {
        Some(rule) => bail!("this host has audit rules of its own: {rule}"),
        None => Ok(()),
    }
}

fn has_never_task() -> anyhow::Result<bool> {
    Ok(auditctl("-l")?
        .lines()
        .any(|line| line.trim() == NEVER_TASK))
}

/// The words of `arguments` are separated by spaces and hold none.
fn auditctl(arguments: &str) -> anyhow::Result<String> {
    let program = cmd::find("auditctl").context("find auditctl (package auditd)")?;
    cmd::output(Command::new(program).args(arguments.split(' ')))
}

/// Debian's `auditd.conf`, but for where the log goes and that a full disk is nobody's concern. Gives the
/// path of the log.
fn write_configuration(folder: &Path) -> anyhow::Result<PathBuf> {
    let (log, plugins) = (folder.join("audit.log"), folder.join("plugins.d"));
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&plugins)
        .context("create a folder for auditd")?;
    let text = format!(
        "local_events = yes\nwrite_logs = yes\nlog_file = {}\nlog_group = root\n\
         log_format = ENRICHED\nflush = INCREMENTAL_ASYNC\nfreq = 50\nmax_log_file = 8\n\
         num_logs = 5\npriority_boost = 4\nname_format = NONE\nmax_log_file_action = ROTATE\n\
         space_left = 75\nspace_left_action = IGNORE\nadmin_space_left = 50\n\
         admin_space_left_action = IGNORE\ndisk_full_action = IGNORE\ndisk_error_action = IGNORE\n\
         use_libwrap = no\ndistribute_network = no\nq_depth = 2000\noverflow_action = IGNORE\n\
         plugin_dir = {}\n",
        log.display(),
        plugins.display()
    );
    fs::write(folder.join("auditd.conf"), text).context("write auditd's configuration")?;
    Ok(log)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "enabled 1\nfailure 1\npid 77\nrate_limit 0\nbacklog_limit 64\nlost 3\n\
                          backlog 0\nbacklog_wait_time 15000\nloginuid_immutable 0 unlocked\n";

    #[test]
    fn an_audit_that_somebody_has_is_refused() {
        let status = parse_status(STATUS).unwrap();
        let expected = Status {
            enabled: 1,
            pid: 77,
            backlog_limit: 64,
            lost: 3,
        };
        assert_eq!(status, expected);
        assert!(status.check_unused().is_err());
        let unused = Status { pid: 0, ..status };
        assert!(unused.check_unused().is_ok());
        let locked = Status {
            enabled: 2,
            ..unused
        };
        assert!(locked.check_unused().is_err());
        assert_eq!(parse_status("enabled 1\n"), None);
    }

    #[test]
    fn what_is_put_back_is_what_was_there() {
        let status = parse_status(STATUS).unwrap();
        let script = restoring(status, false);
        assert!(
            script.contains("-e 1\n") && script.contains("-b 64\n"),
            "{script}"
        );
        assert!(script.ends_with("-d never,task"), "{script}");
        assert!(restoring(status, true).ends_with("-a never,task"));
    }

    #[test]
    fn rules_of_the_host_are_left_alone() {
        assert!(check_rules("No rules\n").is_ok());
        assert!(check_rules("-a never,task\n").is_ok());
        let error = check_rules("-a never,task\n-w /etc -p wa\n").unwrap_err();
        assert!(error.to_string().contains("-w /etc -p wa"), "{error}");
    }
}
