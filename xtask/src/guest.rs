//! `cargo xtask guest`: a Debian that systemd has booted in a container, in which wallwatch is installed as a service,
//! sees an attack, tells the journal, is reloaded, killed, and stopped.
//!
//! The kernel is this machine's, so its programs see the execs of everybody; what is looked for happened in the guest.

mod machine;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use self::machine::Machine;
use crate::{cmd, setup};

/// `agent/src/delivery/sinks/journald/entry.rs` has its name.
const FIND_IN_JOURNAL: &str =
    "journalctl --no-pager -o json SYSLOG_IDENTIFIER=wallwatch WALLWATCH_KIND=finding";
const LOG: &str = "/var/log/wallwatch/alerts.jsonl";
const CONFIG: &str = "[[sinks]]\nname = \"journal\"\ntype = \"journald\"\n";
const PORT: &str = "3269";
/// For what happens at once on a machine that has nothing else to do.
const PATIENCE: Duration = Duration::from_secs(60);

type Check = fn(&Machine) -> anyhow::Result<()>;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only say what is missing on this machine
    #[arg(long)]
    no_install: bool,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    check(!options.no_install)
}

/// Boots the guest and checks the service in it.
pub(crate) fn check(install: bool) -> anyhow::Result<()> {
    if !cmd::is_root() {
        bail!("a container that systemd boots needs root");
    }
    setup::ensure(&[setup::DEBOOTSTRAP, setup::NSPAWN], install)?;
    cmd::run(cmd::cargo().args(["build", "--locked", "-p", "wallwatch"]))?;
    let machine = Machine::boot(&cmd::target().join("guest"), install_service)?;
    let checks: [(&str, Check); 6] = [
        ("the service starts, and is not root", starts),
        (
            "an attack is in the log and in the journal, field by field",
            attack,
        ),
        ("it is reloaded", reload),
        ("killed, it is started again and its numbers go on", kill),
        ("it stops at once and is not started again", stop),
        ("what it keeps is its own", keeps),
    ];
    for (what, check) in checks {
        check(&machine).with_context(|| format!("in the guest: {what}"))?;
        println!("guest: {what}");
    }
    Ok(())
}

fn install_service(root: &Path) -> anyhow::Result<()> {
    let packaging = cmd::root().join("agent/packaging");
    let binary = cmd::target().join("debug/wallwatch");
    for (from, to) in [
        (binary.as_path(), "usr/bin/wallwatch"),
        (
            &packaging.join("wallwatch.service"),
            "usr/lib/systemd/system/wallwatch.service",
        ),
        (
            &packaging.join("wallwatch.sysusers.conf"),
            "usr/lib/sysusers.d/wallwatch.conf",
        ),
    ] {
        let to = root.join(to);
        if let Some(folder) = to.parent() {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("create {}", folder.display()))?;
        }
        std::fs::copy(from, &to).with_context(|| format!("copy {}", from.display()))?;
    }
    let folder = root.join("etc/wallwatch");
    std::fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    std::fs::write(folder.join("wallwatch.toml"), CONFIG).context("write the configuration")
}

fn starts(machine: &Machine) -> anyhow::Result<()> {
    machine.run("systemd-sysusers")?;
    machine.run("systemctl daemon-reload")?;
    // It returns when the agent says that it is armed.
    machine.run("systemctl enable --now wallwatch")?;
    let user = machine.run("ps -o user:20= -C wallwatch")?;
    ensure!(user.trim() == "wallwatch", "it runs as {user:?}");
    let status = machine.property("StatusText")?;
    ensure!(status.starts_with("armed"), "its status is {status:?}");
    Ok(())
}

fn attack(machine: &Machine) -> anyhow::Result<()> {
    machine.run(&format!(
        "iptables -I INPUT -p tcp --dport {PORT} -j ACCEPT"
    ))?;
    let logged = machine.wait_for("the finding in the log", PATIENCE, || {
        let log = machine.run(&format!("cat {LOG}"))?;
        Ok(lines(&log).find(|event| event["kind"] == "finding"))
    })?;
    let entry = machine.wait_for("the finding in the journal", PATIENCE, || {
        let journal = machine.run(FIND_IN_JOURNAL)?;
        Ok(lines(&journal).find(|entry| entry["WALLWATCH_ALERT_ID"] == logged["id"]))
    })?;
    ensure!(entry["WALLWATCH_RULE"] == "accept-opened", "{entry}");
    ensure!(entry["_SYSTEMD_UNIT"] == "wallwatch.service", "{entry}");
    ensure!(
        entry["PRIORITY"].is_string() && entry["MESSAGE_ID"].is_string(),
        "{entry}"
    );
    let message = entry["MESSAGE"].as_str().unwrap_or_default();
    ensure!(
        message.contains(PORT),
        "{message:?} does not say which port"
    );
    Ok(())
}

fn reload(machine: &Machine) -> anyhow::Result<()> {
    let before = machine.property("MainPID")?;
    machine.run("systemctl reload wallwatch")?;
    let (pid, state) = (
        machine.property("MainPID")?,
        machine.property("ActiveState")?,
    );
    ensure!(
        pid == before && state == "active",
        "{pid} was {before}, and is {state}"
    );
    Ok(())
}

fn kill(machine: &Machine) -> anyhow::Result<()> {
    let before = last_seq(machine)?;
    machine.run("systemctl kill -s KILL wallwatch")?;
    machine.wait_for("another start", PATIENCE, || {
        let is_up = machine.property("ActiveState")? == "active";
        Ok((is_up && machine.property("NRestarts")? == "1").then_some(()))
    })?;
    machine.wait_for("numbers that go on", PATIENCE, || {
        let now = last_seq(machine)?;
        Ok((now > before).then_some(()))
    })
}

fn stop(machine: &Machine) -> anyhow::Result<()> {
    machine.run("systemctl stop wallwatch")?;
    let (state, result) = (
        machine.property("ActiveState")?,
        machine.property("Result")?,
    );
    ensure!(
        state == "inactive" && result == "success",
        "it is {state}: {result}"
    );
    let log = machine.run(&format!("cat {LOG}"))?;
    let last = lines(&log).last().context("an empty log")?;
    ensure!(last["state"] == "stopping", "the last word is {last}");
    Ok(())
}

fn keeps(machine: &Machine) -> anyhow::Result<()> {
    let spool =
        machine.run("stat -c '%U %a' /var/lib/wallwatch/spool /var/log/wallwatch/alerts.jsonl")?;
    ensure!(spool == "wallwatch 700\nwallwatch 640\n", "{spool:?}");
    Ok(())
}

fn last_seq(machine: &Machine) -> anyhow::Result<u64> {
    let log = machine.run(&format!("cat {LOG}"))?;
    let seqs = lines(&log).filter_map(|event| event["seq"].as_u64());
    seqs.max().context("a log without numbers")
}

fn lines(text: &str) -> impl Iterator<Item = Value> {
    text.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
}
