//! `wallwatch doctor` for a caller who may do nothing, and on hosts that are made up. Where it has a
//! real canary is in the kernel tests.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{copy_for_nobody, wallwatch};

/// Every check, in the order in which it is shown.
const CHECKS: [&str; 18] = [
    "configuration",
    "kernel",
    "capabilities",
    "btf",
    "lockdown",
    "tracefs",
    "memory_lock",
    "bpf_jit",
    "bpf_statistics",
    "rings",
    "clocksource",
    "clock",
    "cgroup",
    "proc",
    "agents",
    "alert_log",
    "canary",
    "counters",
];

/// A folder with a configuration whose alert log would stand in it.
fn folder(config: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("alerts.jsonl");
    let config = format!("[alerts]\npath = {log:?}\n{config}");
    fs::write(folder.path().join("wallwatch.toml"), config).unwrap();
    folder
}

/// Runs doctor as a user without any capability.
fn as_nobody(folder: &Path, arguments: &[&str]) -> Output {
    let binary = wallwatch().get_program().to_owned();
    let mut command = if nix::unistd::geteuid().is_root() {
        let mut command = Command::new("setpriv");
        command
            .args(["--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"])
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(copy_for_nobody(&binary, folder));
        command
    } else {
        Command::new(binary)
    };
    command
        .arg("--config")
        .arg(folder.join("wallwatch.toml"))
        .arg("doctor")
        .args(arguments);
    command.output().unwrap()
}

fn report(output: &Output) -> Value {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(stderr, "", "everything is in the report");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn check<'a>(report: &'a Value, name: &str) -> &'a Value {
    let checks = report["checks"].as_array().unwrap();
    checks.iter().find(|check| check["name"] == name).unwrap()
}

#[test]
fn without_the_capabilities_it_says_what_is_missing_and_examines_the_rest() {
    let folder = folder("");
    let output = as_nobody(folder.path(), &["--json"]);
    let report = report(&output);
    assert_eq!(output.status.code(), Some(77), "{report}");
    assert_eq!(report["schema"], "wallwatch.doctor/1");
    assert_eq!(
        (&report["verdict"], &report["exit_status"]),
        (&"permission".into(), &77.into())
    );
    let names: Vec<_> = report["checks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|check| check["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, CHECKS);

    let capabilities = check(&report, "capabilities");
    assert_eq!(capabilities["status"], "fail");
    let missing = &capabilities["values"]["missing"];
    assert_eq!(missing, &Value::from(vec!["CAP_BPF", "CAP_PERFMON"]));
    let canary = check(&report, "canary");
    assert_eq!(canary["status"], "skip");
    assert!(
        canary["remedy"].as_str().unwrap().contains("root"),
        "{canary}"
    );
    assert_eq!(check(&report, "counters")["status"], "skip");
    assert_eq!(check(&report, "configuration")["status"], "ok");
    for name in CHECKS {
        let check = check(&report, name);
        let is_told = check["status"] == "ok" || check["status"] == "skip";
        assert!(is_told || check["remedy"].is_string(), "{check}");
    }
}

#[test]
fn a_person_gets_a_line_a_check_and_a_verdict() {
    let folder = folder("");
    let output = as_nobody(folder.path(), &[]);
    assert_eq!(output.status.code(), Some(77));
    let text = String::from_utf8(output.stdout).unwrap();
    let words = |line: &str| -> Vec<String> {
        line.split_ascii_whitespace()
            .take(2)
            .map(str::to_owned)
            .collect()
    };
    let names: Vec<String> = text
        .lines()
        .filter(|line| {
            ["ok ", "warn ", "fail ", "skip "]
                .iter()
                .any(|word| line.starts_with(word))
        })
        .map(|line| words(line)[1].clone())
        .collect();
    assert_eq!(names, CHECKS, "{text}");
    let verdict = text.lines().last().unwrap();
    assert!(verdict.contains("permission is missing: "), "{verdict}");
    assert!(text.contains("-> run doctor as root"), "{text}");
}

#[test]
fn a_kernel_that_lets_nobody_look_is_named_whatever_the_caller_may_do() {
    let folder = folder("");
    let root = folder.path().join("host");
    for (path, text) in [
        ("proc/sys/kernel/osrelease", "6.1.0\u{1b}[2J-amd64\n"),
        (
            "sys/kernel/security/lockdown",
            "none integrity [confidentiality]\n",
        ),
        (
            "sys/devices/system/clocksource/clocksource0/current_clocksource",
            "hpet\n",
        ),
        (
            "proc/self/status",
            "Name:\tx\nCapEff:\t000001ffffffffff\nSeccomp:\t2\n",
        ),
        ("proc/self/mountinfo", "1 2 0:3 / /proc rw - proc proc rw\n"),
    ] {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let arguments = ["--json", "--root", root.to_str().unwrap()];
    let output = as_nobody(folder.path(), &arguments);
    let report = report(&output);
    assert_eq!(output.status.code(), Some(69), "{report}");
    for (name, status, part) in [
        ("lockdown", "fail", "confidentiality"),
        ("btf", "fail", "no BTF"),
        ("tracefs", "fail", "not mounted"),
        ("clocksource", "warn", "hpet"),
        ("kernel", "ok", "6.1.0\u{1b}[2J-amd64"),
        ("capabilities", "ok", "CAP_SYS_ADMIN"),
        ("cgroup", "warn", "not mounted"),
        ("canary", "skip", "CAP_BPF"),
    ] {
        let check = check(&report, name);
        assert_eq!(check["status"], status, "{check}");
        assert!(check["found"].as_str().unwrap().contains(part), "{check}");
    }
    let text = as_nobody(folder.path(), &arguments[1..]);
    for output in [output, text] {
        assert!(
            !output.stdout.contains(&0x1b),
            "the host's name acts on the terminal"
        );
    }
}

#[test]
fn a_configuration_that_cannot_be_used_is_one_finding_among_the_others() {
    let folder = folder("stdout = 7\n[sensor]\ndrain_delay_ms = 99\n");
    let report = report(&as_nobody(folder.path(), &["--json"]));
    let configuration = check(&report, "configuration");
    assert_eq!(configuration["status"], "fail");
    let problems = configuration["values"]["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 2, "{configuration}");
    assert!(problems[0].as_str().unwrap().contains("wallwatch.toml:3:"));
    // The rest was examined, with the defaults.
    assert_eq!(
        check(&report, "rings")["values"]["bulk_ring_bytes"],
        8 << 20
    );
    assert_eq!(report["checks"].as_array().unwrap().len(), CHECKS.len());
}

#[test]
fn an_alert_log_that_the_caller_may_not_write_is_told() {
    let folder = folder("");
    let closed = folder.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o500)).unwrap();
    let log = closed.join("alerts.jsonl");
    let config = format!("[alerts]\npath = {log:?}\n");
    fs::write(folder.path().join("wallwatch.toml"), config).unwrap();
    let report = report(&as_nobody(folder.path(), &["--json"]));
    let check = check(&report, "alert_log");
    assert_eq!(check["status"], "fail", "{check}");
    assert!(
        check["found"]
            .as_str()
            .unwrap()
            .contains("Permission denied"),
        "{check}"
    );
}

#[test]
fn the_time_that_the_canary_gets_is_bounded() {
    for timeout in ["0", "601", "x"] {
        let mut command = wallwatch();
        let output = command
            .args(["doctor", "--timeout", timeout])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(64), "{timeout}");
    }
}
