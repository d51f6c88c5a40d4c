//! `cargo xtask guest`: the service as an operator has it, under a real systemd in a booted guest.
//!
//! The guest has this machine's kernel and nothing else of it: its files, its processes and its network are its own.
//! The kernel programs see the execs of the whole machine all the same, so the attack is told by its path.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;

use self::machine::{Machine, Root, wait};
use crate::setup::{self, DEBOOTSTRAP, NSENTER, NSPAWN};
use crate::{cmd, time};

mod machine;

const UNIT: &str = "wallwatch.service";
const CONFIG: &str = "/etc/wallwatch/wallwatch.toml";
const LOG: &str = "/var/log/wallwatch/alerts.jsonl";
const STATE: &str = "/var/lib/wallwatch";
/// The stand-in for malware, where no exclusion of the rule covers it.
const MALWARE: &str = "/opt/cpd";

/// A sign of life every second, so that numbers go on visibly.
const SETTINGS: &str = r#"
[heartbeat]
interval_s = 1

[[sinks]]
name = "journal"
type = "journald"
kinds = ["alert", "finding"]
"#;

/// What the unit gives, as bits of `include/uapi/linux/capability.h`: `CAP_DAC_READ_SEARCH`, `CAP_NET_BROADCAST`,
/// `CAP_NET_ADMIN`, `CAP_SYS_PTRACE`, `CAP_PERFMON`, `CAP_BPF`.
const CAPABILITIES: [u32; 6] = [2, 11, 12, 19, 38, 39];

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only say what is missing on this machine
    #[arg(long)]
    pub(crate) no_install: bool,
}

/// What the kernel gets to let go of a cgroup hierarchy.
const RELEASE_PAUSE: Duration = Duration::from_secs(2);

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    ensure!(cmd::is_root(), "to boot a guest wants root");
    setup::ensure(&[DEBOOTSTRAP, NSPAWN, NSENTER], !options.no_install)?;
    let programs = cmd::build_agent()?;
    let root = Root::copy_of(&machine::installation()?)?;
    install(&root, &programs)?;

    let guest = Guest::boot(&root)?;
    let checked = guest.check();
    if checked.is_err() {
        guest.say_journal();
    }
    checked?;
    guest.machine.shut_down()?;

    let guest = Guest::boot(&root)?;
    let checked = guest.check_order();
    if checked.is_err() {
        guest.say_journal();
    }
    checked?;
    guest.machine.shut_down()
}

/// What a package would do.
fn install(root: &Root, programs: &Path) -> anyhow::Result<()> {
    let packaging = cmd::root().join("agent/packaging");
    root.install(&programs.join("wallwatch"), "/usr/bin/wallwatch", "755")?;
    let unit = format!("/usr/lib/systemd/system/{UNIT}");
    root.install(&packaging.join(UNIT), &unit, "644")?;
    root.install(
        &packaging.join("wallwatch.sysusers.conf"),
        "/usr/lib/sysusers.d/wallwatch.conf",
        "644",
    )?;
    root.install(&programs.join("examples/malware-stub"), MALWARE, "755")?;
    root.write(CONFIG, SETTINGS)
}

struct Guest<'a> {
    root: &'a Root,
    machine: Machine,
}

impl<'a> Guest<'a> {
    fn boot(root: &'a Root) -> anyhow::Result<Self> {
        println!("\n== a guest boots");
        // A cgroup hierarchy that a kernel test has made goes when the kernel comes to it. Until then nspawn fails to
        // mount it, which brings that about.
        let machine = root.boot().or_else(|error| {
            println!("once more: {error:#}");
            thread::sleep(RELEASE_PAUSE);
            root.boot()
        })?;
        let version = machine.output(&["systemctl", "--version"])?;
        println!("{}", version.lines().next().unwrap_or_default());
        Ok(Self { root, machine })
    }

    /// Everything of one boot.
    fn check(&self) -> anyhow::Result<()> {
        self.check_start()?;
        self.check_privileges()?;
        self.check_attack()?;
        self.check_reload()?;
        self.check_restarts()?;
        self.check_watchdog()?;
        self.check_numbers()?;
        self.check_bad_configuration()?;
        self.check_stop()
    }

    fn check_start(&self) -> anyhow::Result<()> {
        self.machine.output(&["systemd-sysusers"])?;
        // Returns when the agent is armed.
        self.machine
            .output(&["systemctl", "enable", "--now", "wallwatch"])?;
        let status = self.property("StatusText")?;
        ensure!(status.starts_with("armed, "), "its status is `{status}`");
        saw(&format!("enabled and started; its status: {status}"));
        Ok(())
    }

    /// The agent has the capabilities of the unit and no more, and its files are its own.
    fn check_privileges(&self) -> anyhow::Result<()> {
        let passwd = fs::read_to_string(self.root.path("/etc/passwd")).context("read its users")?;
        let line = passwd.lines().find(|line| line.starts_with("wallwatch:"));
        let user = line.and_then(|line| line.split(':').nth(2));
        let uid: u32 = user.context("find its user")?.parse().context("its user")?;
        let status = self.machine.output(&["cat", &self.proc("status")?])?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.map(str::trim).with_context(|| format!("find {name}"))
        };
        let ids = field("Uid:")?;
        let is_its = ids.split_whitespace().all(|id| id.parse() == Ok(uid));
        ensure!(is_its, "it runs as {ids}");
        let wanted: u64 = CAPABILITIES.iter().map(|bit| 1_u64 << bit).sum();
        for set in ["CapEff:", "CapPrm:", "CapBnd:"] {
            let has = u64::from_str_radix(field(set)?, 16).context("read a set")?;
            ensure!(has == wanted, "{set} {has:x}, and not {wanted:x}");
        }
        self.check_owner(STATE, uid, 0o700)?;
        self.check_owner(&format!("{STATE}/spool"), uid, 0o700)?;
        self.check_owner(LOG, uid, 0o640)?;
        let log = self.root.path(LOG).metadata().context("ask for the log")?;
        let groups = fs::read_to_string(self.root.path("/etc/group")).context("read its groups")?;
        let adm = format!("adm:x:{}:", log.gid());
        ensure!(groups.contains(&adm), "the log is for group {}", log.gid());
        saw(&format!(
            "user {uid}, six capabilities, state 0700, log 0640 for adm"
        ));
        Ok(())
    }

    fn check_owner(&self, path: &str, uid: u32, mode: u32) -> anyhow::Result<()> {
        let found = self.root.path(path).metadata();
        let found = found.with_context(|| format!("ask for {path}"))?;
        let has = found.mode() & 0o7777;
        ensure!(found.uid() == uid, "{path} belongs to {}", found.uid());
        ensure!(
            has == mode,
            "the mode of {path} is {has:o}, and not {mode:o}"
        );
        Ok(())
    }

    /// Cyclops Blink's commands, and one of an administrator: in the log, and in the journal by its fields.
    fn check_attack(&self) -> anyhow::Result<()> {
        self.machine.output(&[MALWARE, "cyclops"])?;
        let alert = self.wait_for_event("the alert", |event| {
            event["kind"] == "alert"
                && event["parent_process_path"] == MALWARE
                && event["port_count"] == 6
        })?;
        let entry = self.wait_for_entry("the alert", |entry| {
            entry["WALLWATCH_ALERT_ID"] == alert["id"]
        })?;
        ensure!(entry["_SYSTEMD_UNIT"] == UNIT, "{entry}");
        ensure!(entry["WALLWATCH_KIND"] == "alert", "{entry}");
        let ports = entry["WALLWATCH_PORTS"].as_array();
        let has_port = ports.is_some_and(|ports| ports.contains(&Value::from("3269")));
        ensure!(has_port, "{entry}");
        saw(&format!("in log and journal: {}", entry["MESSAGE"]));

        let rule = [
            "-I", "INPUT", "-p", "tcp", "--dport", "3269", "-j", "ACCEPT",
        ];
        self.machine.output(&[&["iptables"], &rule[..]].concat())?;
        let finding = self.wait_for_event("the finding", |event| {
            event["kind"] == "finding"
                && event["finding"] == "accept-opened"
                && event["changes_made"].as_u64() > Some(0)
                && event.to_string().contains(&rule.join(" "))
        })?;
        let entry = self.wait_for_entry("the finding", |entry| {
            entry["WALLWATCH_ALERT_ID"] == finding["id"]
        })?;
        saw(&format!("in log and journal: {}", entry["MESSAGE"]));
        // Debian's journal hands on to rsyslog what it is given.
        wait("rsyslog to have it", || {
            let text = fs::read_to_string(self.root.path("/var/log/syslog")).unwrap_or_default();
            let is_there = |line: &str| line.contains("wallwatch") && line.contains("3269");
            Ok(text.lines().any(is_there).then_some(()))
        })?;
        saw("rsyslog has it from the journal");
        Ok(())
    }

    fn check_reload(&self) -> anyhow::Result<()> {
        let before = self.pid()?;
        self.machine.output(&["systemctl", "reload", "wallwatch"])?;
        wait("the reload", || {
            let journal = self.journal(&["--output=cat"])?;
            let is_read = journal.contains("certificates and secrets of the sinks are read anew");
            Ok((is_read && self.property("SubState")? == "running").then_some(()))
        })?;
        ensure!(self.pid()? == before, "a reload is no restart");
        saw("reloaded, and the same process runs");
        Ok(())
    }

    /// Whoever ends it, and how: it is started again.
    fn check_restarts(&self) -> anyhow::Result<()> {
        for (signal, restarts) in [("KILL", "1"), ("TERM", "2")] {
            let killed = self.pid()?;
            self.machine.output(&["kill", "-s", signal, &killed])?;
            self.wait_for_restart(&killed)?;
            let counted = self.property("NRestarts")?;
            ensure!(counted == restarts, "{counted} restarts");
            saw(&format!("started again after SIG{signal}"));
        }
        Ok(())
    }

    /// With a shorter interval, for the test's sake.
    fn check_watchdog(&self) -> anyhow::Result<()> {
        let drop_in = "/etc/systemd/system/wallwatch.service.d/watchdog.conf";
        self.root.write(drop_in, "[Service]\nWatchdogSec=3s\n")?;
        self.machine.output(&["systemctl", "daemon-reload"])?;
        self.machine
            .output(&["systemctl", "restart", "wallwatch"])?;
        let stopped = self.pid()?;
        std::thread::sleep(Duration::from_secs(5));
        ensure!(self.pid()? == stopped, "the watchdog bit one that is well");
        self.machine.output(&["kill", "-s", "STOP", &stopped])?;
        self.wait_for_restart(&stopped)?;
        let journal = self.journal(&["--output=cat"])?;
        ensure!(journal.contains("Watchdog timeout"), "{journal}");
        saw("fed for longer than its interval; ended by the watchdog when it stood still");
        Ok(())
    }

    /// Whatever happened to the agents, the numbers have no hole.
    fn check_numbers(&self) -> anyhow::Result<()> {
        let events = self.events()?;
        let epoch = &events.first().context("find an event")?["epoch"];
        ensure!(
            events.iter().all(|event| event["epoch"] == *epoch),
            "the epoch changed"
        );
        let mut seqs: Vec<u64> = events
            .iter()
            .filter_map(|event| event["seq"].as_u64())
            .collect();
        // One that was delivered just before the end may come once more.
        seqs.sort_unstable();
        seqs.dedup();
        let n = seqs.len() as u64;
        ensure!(seqs == (1..=n).collect::<Vec<_>>(), "a hole in {seqs:?}");
        saw(&format!("numbers 1 to {n} without a hole, of one epoch"));
        Ok(())
    }

    /// What another start would not change is not tried again.
    fn check_bad_configuration(&self) -> anyhow::Result<()> {
        self.root.write(CONFIG, "[alerts]\nno_such_key = 1\n")?;
        self.machine
            .refuses(&["systemctl", "restart", "wallwatch"])?;
        // Longer than it would take to be started again.
        std::thread::sleep(Duration::from_secs(3));
        let [state, status, restarts] =
            ["ActiveState", "ExecMainStatus", "NRestarts"].map(|name| self.property(name));
        let told = format!("{} with {}, {} restarts", state?, status?, restarts?);
        ensure!(told == "failed with 78, 0 restarts", "{told}");
        self.root.write(CONFIG, SETTINGS)?;
        self.machine.output(&["systemctl", "start", "wallwatch"])?;
        saw(&format!("a configuration that cannot be used: {told}"));
        Ok(())
    }

    fn check_stop(&self) -> anyhow::Result<()> {
        let before = time::now();
        self.machine.output(&["systemctl", "stop", "wallwatch"])?;
        let took = before.elapsed();
        ensure!(took < Duration::from_secs(1), "stopping took {took:?}");
        let (state, result) = (self.property("ActiveState")?, self.property("Result")?);
        ensure!(
            state == "inactive" && result == "success",
            "{state}, {result}"
        );
        saw(&format!("stopped in {} ms", took.as_millis()));
        Ok(())
    }

    /// After a boot: the watch was on before there could be a network, and the numbers went on.
    fn check_order(&self) -> anyhow::Result<()> {
        let since = |unit: &str| -> anyhow::Result<u64> {
            let since = self
                .machine
                .property(unit, "ActiveEnterTimestampMonotonic")?;
            since.parse().with_context(|| format!("{unit}: {since}"))
        };
        let (armed, network) = (since(UNIT)?, since("network-pre.target")?);
        ensure!(armed > 0, "it was not started");
        ensure!(
            armed <= network,
            "armed at {armed} µs, the network from {network} µs"
        );
        let journal = self.machine.output(&["journalctl", "--output=cat"])?;
        ensure!(!journal.contains("ordering cycle"), "{journal}");
        self.check_numbers()?;
        saw(&format!(
            "after a boot: armed {} ms before network-pre.target",
            (network - armed) / 1000
        ));
        Ok(())
    }

    fn property(&self, name: &str) -> anyhow::Result<String> {
        self.machine.property(UNIT, name)
    }

    /// The agent's number in the guest.
    fn pid(&self) -> anyhow::Result<String> {
        self.property("MainPID")
    }

    fn proc(&self, file: &str) -> anyhow::Result<String> {
        Ok(format!("/proc/{}/{file}", self.pid()?))
    }

    fn wait_for_restart(&self, before: &str) -> anyhow::Result<()> {
        wait("another agent", || {
            let pid = self.pid()?;
            let is_another = pid != before && pid != "0";
            Ok((is_another && self.property("SubState")? == "running").then_some(()))
        })
    }

    fn events(&self) -> anyhow::Result<Vec<Value>> {
        json_lines(&self.root.path(LOG))
    }

    fn wait_for_event(&self, what: &str, fits: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
        wait(what, || {
            Ok(self.events()?.into_iter().rfind(|event| fits(event)))
        })
    }

    fn wait_for_entry(&self, what: &str, fits: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
        wait(&format!("{what} in the journal"), || {
            let entries = self.machine.output(&[
                "journalctl",
                "--output=json",
                "SYSLOG_IDENTIFIER=wallwatch",
                "_TRANSPORT=journal",
            ])?;
            let entries = entries
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok());
            Ok(entries.collect::<Vec<Value>>().into_iter().rfind(&fits))
        })
    }

    fn journal(&self, options: &[&str]) -> anyhow::Result<String> {
        let command = ["journalctl", "--unit", UNIT];
        self.machine.output(&[&command, options].concat())
    }

    fn say_journal(&self) {
        match self.journal(&["--lines=60", "--no-pager"]) {
            Ok(journal) => eprintln!("{journal}"),
            Err(error) => eprintln!("the journal cannot be read: {error:#}"),
        }
    }
}

fn saw(what: &str) {
    println!("SEEN: {what}");
}

/// Every whole line; none when there is no such file.
fn json_lines(path: &Path) -> anyhow::Result<Vec<Value>> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let whole = text
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'));
    whole
        .map(|line| serde_json::from_str(line).with_context(|| format!("understand {line}")))
        .collect()
}
