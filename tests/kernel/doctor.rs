//! `wallwatch doctor` with a real canary.

use std::process::{Command, Output, Stdio};

use crate::harness::wallwatch;

use super::*;

/// Guests are slow, and a test must not be slower than it has to.
const TIMEOUT_S: &str = "60";

/// `wallwatch doctor --json`, with an alert log in `folder`; not started.
fn doctor(folder: &Path) -> Command {
    let config = folder.join("wallwatch.toml");
    let log = folder.join("log/alerts.jsonl");
    fs::create_dir_all(folder.join("log")).unwrap();
    fs::write(&config, format!("[alerts]\npath = {log:?}\n")).unwrap();
    let mut command = wallwatch();
    command.arg("--config").arg(config);
    command.args(["doctor", "--json", "--timeout", TIMEOUT_S]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!(
            "{error}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )
    })
}

fn check<'a>(report: &'a Value, name: &str) -> &'a Value {
    let checks = report["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["name"] == name);
    check.unwrap_or_else(|| panic!("no check {name} in {report}"))
}

#[test]
fn the_canary_goes_through_sensor_pipeline_and_log_and_leaves_nothing() {
    if !can_run("the_canary_goes_through_sensor_pipeline_and_log_and_leaves_nothing") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let output = doctor(folder.path()).output().unwrap();
    let report = report(&output);
    assert_eq!(output.status.code(), Some(0), "{report}");
    assert_eq!(report["verdict"], "works");

    let canary = check(&report, "canary");
    assert_eq!(canary["status"], "ok", "{canary}");
    let values = &canary["values"];
    assert_eq!(
        (&values["seen"], &values["sight"]),
        (&3.into(), &"btf".into())
    );
    let log_folder = folder.path().join("log");
    assert_eq!(values["written_to"].as_str(), log_folder.to_str());
    let us = |leg: &str| values[leg].as_u64().unwrap();
    let legs = ["exec_to_record_us", "exec_to_alert_us", "exec_to_disk_us"].map(us);
    assert!(legs.is_sorted() && legs[2] > 0, "{legs:?}");
    assert_eq!(fs::read_dir(log_folder).unwrap().count(), 0);

    let counters = check(&report, "counters");
    let values = &counters["values"];
    assert_eq!(values["balanced"], true, "{counters}");
    assert!(values["execs_urgent"].as_u64().unwrap() >= 3, "{counters}");
    assert!(
        values["forks_received"].as_u64().unwrap() >= 3,
        "{counters}"
    );
}

#[test]
fn doctors_and_an_agent_do_not_disturb_each_other() {
    if !can_run("doctors_and_an_agent_do_not_disturb_each_other") {
        return;
    }
    let agent = Agent::run("");
    // In a guest each of them takes its time to load the programs.
    let doctors = if in_guest() { 1 } else { 2 };
    let folders: Vec<TempDir> = (0..doctors).map(|_| tempfile::tempdir().unwrap()).collect();
    let children: Vec<_> = folders
        .iter()
        .map(|folder| doctor(folder.path()).spawn().unwrap())
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        let report = report(&output);
        assert_eq!(output.status.code(), Some(0), "{report}");
        assert_eq!(check(&report, "canary")["values"]["seen"], 3, "{report}");
        let pids = check(&report, "agents")["values"]["pids"]
            .as_array()
            .unwrap();
        assert!(pids.contains(&agent.pid().into()), "{report}");
    }
    // The agent sees the whole host, and may well have something to say about others.
    let stopped = agent.stop();
    for alert in &stopped.alerts {
        let commands = strings(&alert["processes_exec"]);
        let is_canary = commands.iter().any(|command| command.contains("canary"));
        assert!(!is_canary, "{alert}");
    }
}

#[test]
fn without_btf_the_doctor_says_so_and_finds_the_canary_in_proc() {
    if !can_run("without_btf_the_doctor_says_so_and_finds_the_canary_in_proc") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let doctor = doctor(folder.path());
    let mut arguments = vec![doctor.get_program()];
    arguments.extend(doctor.get_args());
    let script = "mount -t tmpfs none /sys/kernel/btf
        grep -q ' /sys/kernel/tracing ' /proc/mounts || mount -t tracefs none /sys/kernel/tracing
        \"$@\" || echo \"status $?\" >&2";
    let output = in_namespaces(script, &arguments);
    let report = report(&output);
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "status 69\n",
        "{report}"
    );
    let btf = check(&report, "btf");
    assert_eq!(
        (&btf["status"], &report["verdict"]),
        (&"fail".into(), &"kernel".into())
    );
    let canary = check(&report, "canary");
    assert_eq!(canary["status"], "warn", "{canary}");
    assert_eq!(canary["values"]["sight"], "classic");
    assert_eq!(canary["values"]["seen"], 3);
    assert!(canary["remedy"].as_str().unwrap().contains("btf"));
}
