use super::*;
use crate::doctor::facts::agents::Agent;
use crate::doctor::judge::host::{EXEC_BYTES, HOLD_MS_MIN, STORM_PER_CPU};
use crate::host::capabilities::{CAP_BPF, CAP_PERFMON};

#[test]
fn a_configuration_that_cannot_be_used_is_named_with_its_first_problems() {
    check(
        "configuration",
        |facts| facts.configuration.is_there = false,
        Ok,
        "the defaults hold",
    );
    let problems = ["a:1", "a:2", "a:3", "a:4", "a:5"]
        .map(str::to_owned)
        .to_vec();
    let broken = |facts: &mut Facts| facts.configuration.problems = problems;
    let check = check("configuration", broken, Fail, "a:1; a:2; a:3; and 2 more");
    assert_eq!(check.cause, Some(Cause::Other));
    assert_eq!(check.values["problems"].as_array().unwrap().len(), 5);
}

#[test]
fn a_ring_too_small_for_a_storm_is_told_with_the_size_that_is_not() {
    let check_ok = check("rings", |_| {}, Ok, "8192 KiB");
    let execs = check_ok.values["execs_held"].as_u64().unwrap();
    assert_eq!(execs, (8 << 20) / EXEC_BYTES as u64);
    let many = |facts: &mut Facts| facts.cpus_online = Some(64);
    let warned = check("rings", many, Warn, "s in a storm");
    let remedy = warned.remedy.unwrap();
    let wanted: u64 = remedy
        .split(' ')
        .find_map(|word| word.parse().ok())
        .unwrap();
    assert!(wanted.is_power_of_two());
    let set = |facts: &mut Facts| {
        many(facts);
        facts.sensor.bulk_ring_bytes = u32::try_from(wanted).unwrap();
    };
    let better = check("rings", set, Ok, "storm");
    assert!(better.values["storm_held_ms"].as_u64().unwrap() >= HOLD_MS_MIN);
    let unknown = |facts: &mut Facts| (facts.cpus_online, facts.cpus_possible) = (None, None);
    let one = check("rings", unknown, Ok, "storm");
    assert_eq!(one.values["storm_held_ms"], execs * 1000 / STORM_PER_CPU);
}

#[test]
fn clocks_that_are_slow_unset_or_adrift_are_told() {
    for slow in ["hpet", "acpi_pm", "refined-jiffies"] {
        let source = |facts: &mut Facts| facts.clocksource = Some(slow.to_owned());
        check("clocksource", source, Warn, slow);
    }
    for fast in [
        "kvm-clock",
        "hyperv_clocksource_tsc_page",
        "arch_sys_counter",
    ] {
        let source = |facts: &mut Facts| facts.clocksource = Some(fast.to_owned());
        check("clocksource", source, Ok, fast);
    }
    check(
        "clocksource",
        |facts| facts.clocksource = None,
        Skip,
        "sysfs",
    );
    check(
        "clock",
        |facts| facts.is_synchronised = Some(false),
        Warn,
        "not synchronised",
    );
    check(
        "clock",
        |facts| facts.is_synchronised = None,
        Ok,
        "not told",
    );
    check("clock", |facts| facts.time.wall_ns = 1, Warn, "never set");
    check(
        "clock",
        |facts| facts.time.wall_ns = 0,
        Fail,
        "cannot both be read",
    );
    check(
        "clock",
        |facts| facts.time.boot_ns = 0,
        Fail,
        "cannot both be read",
    );
}

#[test]
fn the_layout_of_control_groups_is_told() {
    let mounted = |kinds: &'static [&'static str]| {
        let lines: String = kinds
            .iter()
            .map(|kind| format!("1 2 0:3 / /sys/fs/cgroup rw - {kind} x rw\n"))
            .collect();
        move |facts: &mut Facts| facts.mounts = Some(mounts::parse(&lines))
    };
    for (kinds, status, layout) in [
        (&["cgroup2"][..], Ok, "unified"),
        (&["cgroup", "cgroup2"], Warn, "hybrid"),
        (&["cgroup"], Warn, "legacy"),
        (&["ext4"], Warn, "none"),
    ] {
        let check = check("cgroup", mounted(kinds), status, "");
        assert_eq!(check.values["layout"], layout);
    }
    check("cgroup", |facts| facts.mounts = None, Skip, "mountinfo");
}

#[test]
fn what_proc_hides_is_told_to_those_from_whom_it_is_hidden() {
    let hidden = |facts: &mut Facts| {
        let mountinfo = MOUNTS.replace("proc proc rw", "proc proc rw,hidepid=invisible");
        facts.mounts = Some(mounts::parse(&mountinfo));
    };
    check("proc", hidden, Ok, "CAP_SYS_PTRACE sees");
    let hidden_from = |facts: &mut Facts| {
        hidden(facts);
        facts.capabilities = Some(1 << CAP_BPF | 1 << CAP_PERFMON);
    };
    check("proc", hidden_from, Warn, "hidepid=invisible");
    let off = |facts: &mut Facts| {
        let mountinfo = MOUNTS.replace("proc proc rw", "proc proc rw,hidepid=off");
        facts.mounts = Some(mounts::parse(&mountinfo));
    };
    check("proc", off, Ok, "no process is hidden");
    check(
        "proc",
        |facts| facts.is_in_first_pid_ns = Some(false),
        Warn,
        "namespace",
    );
    check("proc", |facts| facts.mounts = None, Fail, "cannot be read");
}

#[test]
fn agents_beside_this_one_are_told_and_old_ones_named() {
    let running = |is_deleted: bool| {
        move |facts: &mut Facts| {
            facts.agents.push(Agent {
                pid: 7,
                command: "run".to_owned(),
                is_deleted,
            });
        }
    };
    let check_ok = check("agents", running(false), Ok, "7 (run)");
    assert_eq!(check_ok.values["pids"][0], 7);
    check(
        "agents",
        running(true),
        Warn,
        "the program of 7 has been replaced",
    );
}

#[test]
fn an_alert_log_without_a_place_room_or_group_is_told() {
    let place = |place: Place| move |facts: &mut Facts| facts.alert_log.place = place;
    check("alert_log", place(Place::Directory), Ok, "to be created");
    check(
        "alert_log",
        place(Place::WillBeMade),
        Ok,
        "with its directory",
    );
    for (is_permission, cause) in [(true, Cause::Permission), (false, Cause::Other)] {
        let why = "/var/log: no".to_owned();
        let unusable = Place::Unusable { why, is_permission };
        let check = check("alert_log", place(unusable), Fail, "/var/log: no");
        assert_eq!(check.cause, Some(cause));
    }
    let free = |bytes| move |facts: &mut Facts| facts.alert_log.free_bytes = Some(bytes);
    check("alert_log", free(1000), Fail, "0 KiB");
    check("alert_log", free(20 << 20), Warn, "20 MiB");
    check("alert_log", free(64 << 20), Ok, "alerts.jsonl");
    let group = |known| move |facts: &mut Facts| facts.alert_log.is_group_known = known;
    check("alert_log", group(Some(false)), Warn, "no group `adm`");
    check("alert_log", group(None), Ok, "alerts.jsonl");
}
