//! Each branch of the judgement, with made-up facts.

mod flight;
mod host;
mod programs;

use std::path::Path;
use std::sync::LazyLock;

use uuid::Uuid;
use wallwatch_common::MEMBERS;

use super::*;
use crate::config::{self, Settings};
use crate::doctor::canary::{Books, Flight, Landed, Landing, Times};
use crate::doctor::check::{Cause, Report, Status};
use crate::doctor::facts::alert_log::{AlertLog, Place};
use crate::doctor::facts::{BtfFile, Configuration, Machine, mounts};
use crate::exit_code::ExitCode;
use crate::host::sensor::Sight;
use crate::pipeline::exec::Time;

use Status::{Fail, Ok, Skip, Warn};

const ALL_CAPABILITIES: u64 = 0x1ff_ffff_ffff;

const MOUNTS: &str = "22 27 0:21 / /proc rw - proc proc rw\n\
    31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n\
    40 23 0:11 / /sys/kernel/tracing rw - tracefs tracefs rw\n";

static DEFAULTS: LazyLock<Settings> =
    LazyLock::new(|| config::parse(Path::new("x").into(), "").unwrap());

/// A host with nothing to complain about.
fn healthy() -> Facts {
    let settings = DEFAULTS.clone();
    Facts {
        configuration: Configuration {
            path: "/etc/wallwatch/wallwatch.toml".into(),
            is_there: true,
            problems: Vec::new(),
        },
        release: "6.12.3-amd64".to_owned(),
        machine: Machine {
            name: "x86_64",
            takes_object: true,
        },
        capabilities: Some(ALL_CAPABILITIES),
        seccomp: Some(false),
        btf: BtfFile::Read {
            bytes: 5_000_000,
            lacking: Vec::new(),
        },
        object_sha256: "00ff".to_owned(),
        lockdown: Some("none".to_owned()),
        memory_lock: Some("unlimited".to_owned()),
        bpf_jit_enable: Some(1),
        bpf_stats_enabled: Some(0),
        cpus_possible: Some(4),
        cpus_online: Some(2),
        clocksource: Some("tsc".to_owned()),
        time: Time {
            boot_ns: 1,
            wall_ns: 1_800_000_000_000_000_000,
        },
        is_synchronised: Some(true),
        mounts: Some(mounts::parse(MOUNTS)),
        is_in_first_pid_ns: Some(true),
        agents: Vec::new(),
        alert_log: AlertLog {
            place: Place::Log,
            free_bytes: Some(1 << 40),
            is_group_known: Some(true),
        },
        sensor: settings.sensor,
        alerts: settings.alerts,
    }
}

fn landed() -> Landed {
    Landed {
        id: Uuid::nil(),
        directory: "/var/log/wallwatch".into(),
        substitute: None,
        times: Times {
            exec_ns: 1_000_000,
            record_ns: 1_250_000,
            alert_ns: 1_300_000,
            disk_ns: 4_000_000,
        },
        differences: Vec::new(),
    }
}

fn flight() -> Flight {
    Flight {
        sight: Sight::Btf {
            missing: Vec::new(),
        },
        seen: 3,
        landing: Landing::Landed(landed()),
        books: Result::Ok(Books {
            execs_seen: 3,
            execs_received: 3,
            is_balanced: true,
            ..Books::default()
        }),
    }
}

fn flown(change: impl FnOnce(&mut Flight)) -> Outcome {
    let mut flight = flight();
    change(&mut flight);
    Outcome::Flown(Box::new(flight))
}

fn judged(facts: &Facts, outcome: &Outcome, name: &str) -> Check {
    let mut found = checks(facts, outcome);
    found.retain(|check| check.name == name);
    assert_eq!(found.len(), 1, "{name}");
    found.remove(0)
}

/// The check `name` of a host that is healthy but for the change has that status and says that part; and
/// whoever is warned is told what to do.
#[track_caller]
fn check(name: &str, change: impl FnOnce(&mut Facts), status: Status, part: &str) -> Check {
    let mut facts = healthy();
    change(&mut facts);
    let check = judged(&facts, &flown(|_| {}), name);
    assert_said(&check, status, part);
    check
}

#[track_caller]
fn check_flight(name: &str, outcome: &Outcome, status: Status, part: &str) -> Check {
    let check = judged(&healthy(), outcome, name);
    assert_said(&check, status, part);
    check
}

#[track_caller]
fn assert_said(check: &Check, status: Status, part: &str) {
    assert_eq!(check.status, status, "{check:?}");
    assert!(check.found.contains(part), "{check:?}");
    assert_eq!(
        check.cause.is_some(),
        status == Fail || check.name == "canary" && status == Skip
    );
    match status {
        Ok => assert_eq!(check.remedy, None),
        Warn | Fail => assert!(check.remedy.is_some(), "{check:?}"),
        Skip => {}
    }
}

#[test]
fn a_healthy_host_is_called_so_check_by_check() {
    let checks = checks(&healthy(), &flown(|_| {}));
    let told: Vec<String> = checks
        .iter()
        .map(|check| format!("{} {}: {}", check.status.as_str(), check.name, check.found))
        .collect();
    expect_test::expect![[r"
        ok configuration: /etc/wallwatch/wallwatch.toml
        ok kernel: Linux 6.12.3-amd64 on x86_64
        ok capabilities: all that is needed, by way of CAP_SYS_ADMIN
        ok btf: all N members found
        ok lockdown: none
        ok tracefs: mounted at /sys/kernel/tracing; with BTF it is not needed
        ok memory_lock: RLIMIT_MEMLOCK does not bound maps since Linux 5.11
        ok bpf_jit: on
        ok bpf_statistics: off
        ok clocksource: tsc
        ok clock: both clocks are read; wall time is synchronised
        ok cgroup: version 2
        ok proc: mounted; no process is hidden
        ok agents: none is running
        ok alert_log: /var/log/wallwatch/alerts.jsonl
        ok canary: exec to record 0.25 ms, to alert 0.30 ms, to disk 3.00 ms
        ok counters: 3 execs seen, 0 rescued, 3 received, 0 lost"]]
    .assert_eq(
        &told
            .iter()
            .filter(|line| !line.contains("rings"))
            .map(|line| line.replace(&format!("all {} members", MEMBERS.len()), "all N members"))
            .collect::<Vec<_>>()
            .join("\n"),
    );
    assert!(checks.iter().all(|check| check.remedy.is_none()));
    assert_eq!(Report { checks }.exit_code(), ExitCode::Success);
}
