//! What the host gives the agent to work with: room, clocks, `/proc`, a place for the alerts.

use wallwatch_common::{ExecRecord, ExitRecord, ForkRecord};

use crate::config::AlertsSettings;
use crate::doctor::check::{Cause, Check};
use crate::doctor::facts::agents::Agent;
use crate::doctor::facts::alert_log::{AlertLog, Place};
use crate::doctor::facts::mounts::Mount;
use crate::doctor::facts::{Configuration, Facts};
use crate::host::capabilities::CAP_SYS_PTRACE;
use crate::pipeline::exec::Time;

/// Problems that are shown; `check` names all.
const PROBLEMS_MAX: usize = 3;

/// What an exec puts beside its fixed part into the ring: two paths, a file name and a short command
/// line.
const SECTIONS_BYTES: usize = 128;

/// The kernel's own head of a record (`BPF_RINGBUF_HDR_SZ`, `include/uapi/linux/bpf.h`).
const HEAD_BYTES: usize = 8;

/// Bytes of one exec in the rings, with the fork before it and the exit after it.
pub(super) const EXEC_BYTES: usize = size_of::<ExecRecord>()
    + SECTIONS_BYTES
    + size_of::<ForkRecord>()
    + size_of::<ExitRecord>()
    + 3 * HEAD_BYTES;

/// Execs that one processor can do in a second when it does nothing else: a static program that ends at
/// once takes about 100 µs.
pub(super) const STORM_PER_CPU: u64 = 10_000;

/// What the bulk ring should hold of a storm on all processors. The agent lets a record wait for 10 ms at
/// most; the rest is for an agent that is not given a processor at once.
pub(super) const HOLD_MS_MIN: u64 = 50;

/// Clock sources that are read through a device: microseconds, where the others take some 20 ns.
const SLOW_CLOCKS: [&str; 5] = ["acpi_pm", "hpet", "jiffies", "refined-jiffies", "pit"];

/// 2020-01-01; a wall clock that shows less was never set.
const YEAR_2020_NS: u64 = 1_577_836_800 * 1_000_000_000;

/// A line is 64 KiB at most: room for a thousand of the longest.
const FREE_BYTES_ENOUGH: u64 = 64 << 20;
const FREE_BYTES_MIN: u64 = 1 << 20;

pub(super) fn configuration(configuration: &Configuration) -> Check {
    let Configuration {
        path,
        is_there,
        problems,
    } = configuration;
    let name = "configuration";
    let path = path.display().to_string();
    let check = if problems.is_empty() {
        Check::ok(
            name,
            match is_there {
                true => path.clone(),
                false => format!("{path} does not exist: the defaults hold"),
            },
        )
    } else {
        let shown = &problems[..problems.len().min(PROBLEMS_MAX)];
        let more = problems.len() - shown.len();
        let mut found = format!(
            "cannot be used, so the defaults were examined: {}",
            shown.join("; ")
        );
        if more > 0 {
            found += &format!("; and {more} more");
        }
        Check::fail(name, Cause::Other, found)
            .remedy("correct it; `wallwatch check` names all that is wrong")
    };
    check
        .value("path", path)
        .value("problems", problems.clone())
}

pub(super) fn rings(facts: &Facts) -> Check {
    let bulk = u64::from(facts.sensor.bulk_ring_bytes);
    let execs = bulk / EXEC_BYTES as u64;
    let cpus = facts.cpus_online.or(facts.cpus_possible);
    let storm = STORM_PER_CPU * cpus.unwrap_or(1) as u64;
    let hold_ms = execs * 1000 / storm;
    let found = format!(
        "the bulk ring of {} KiB holds about {execs} execs: {} at 1,000 a second, {} in a storm on all \
         processors",
        bulk >> 10,
        seconds(execs),
        seconds(hold_ms),
    );
    let check = if hold_ms < HOLD_MS_MIN {
        let wanted = (storm * HOLD_MS_MIN / 1000 * EXEC_BYTES as u64).next_power_of_two();
        Check::warn("rings", found).remedy(format!(
            "set bulk_ring_bytes to {wanted} under [sensor]; what finds no room is lost, and counted"
        ))
    } else {
        Check::ok("rings", found)
    };
    check
        .value("bulk_ring_bytes", bulk)
        .value("urgent_ring_bytes", facts.sensor.urgent_ring_bytes)
        .value("exec_bytes_assumed", EXEC_BYTES)
        .value("execs_per_cpu_assumed", STORM_PER_CPU)
        .value("execs_held", execs)
        .value("storm_held_ms", hold_ms)
        .value("cpus_online", facts.cpus_online)
        .value("cpus_possible", facts.cpus_possible)
}

fn seconds(ms: u64) -> String {
    format!("{}.{:02} s", ms / 1000, ms % 1000 / 10)
}

pub(super) fn clocksource(source: Option<&str>) -> Check {
    let name = "clocksource";
    match source {
        None => Check::skip(name, "not told: sysfs cannot be read"),
        Some(source) if SLOW_CLOCKS.contains(&source) => Check::warn(
            name,
            format!("{source}: slow to read, and every record reads the clock"),
        )
        .remedy(
            "see what /sys/devices/system/clocksource/clocksource0/available_clocksource offers (tsc, \
             kvm-clock), and the kernel's log for why it was not taken",
        ),
        Some(source) => Check::ok(name, source),
    }
    .value("current", source)
}

pub(super) fn clock(time: Time, is_synchronised: Option<bool>) -> Check {
    let name = "clock";
    let check = if time.boot_ns == 0 || time.wall_ns == 0 {
        Check::fail(
            name,
            Cause::Other,
            "boot time and wall time cannot both be read",
        )
        .remedy("allow clock_gettime with CLOCK_BOOTTIME and CLOCK_REALTIME")
    } else if time.wall_ns < YEAR_2020_NS {
        Check::warn(
            name,
            "the wall clock was never set: alerts will bear wrong times",
        )
        .remedy("set it, and start a time service (chrony, systemd-timesyncd)")
    } else {
        match is_synchronised {
            Some(true) => Check::ok(name, "both clocks are read; wall time is synchronised"),
            Some(false) => Check::warn(
                name,
                "wall time is not synchronised: alerts of two hosts may not fit together",
            )
            .remedy("start a time service (chrony, systemd-timesyncd)"),
            None => Check::ok(
                name,
                "both clocks are read; whether wall time is synchronised is not told",
            ),
        }
    };
    check
        .value("boot_ns", time.boot_ns)
        .value("wall_ns", time.wall_ns)
        .value("synchronised", is_synchronised)
}

pub(super) fn cgroup(mounts: Option<&[Mount]>) -> Check {
    let name = "cgroup";
    let Some(mounts) = mounts else {
        return Check::skip(name, "not told: /proc/self/mountinfo cannot be read");
    };
    let has = |kind| mounts.iter().any(|mount| mount.kind == kind);
    let (layout, found) = match (has("cgroup2"), has("cgroup")) {
        (true, false) => return Check::ok(name, "version 2").value("layout", "unified"),
        (true, true) => ("hybrid", "versions 1 and 2 side by side"),
        (false, true) => ("legacy", "version 1 alone"),
        (false, false) => ("none", "not mounted"),
    };
    Check::warn(
        name,
        format!(
            "{found}: a record bears the group of version 2, which a container may share with others"
        ),
    )
    .remedy("boot with systemd.unified_cgroup_hierarchy=1; no exec is missed for it")
    .value("layout", layout)
}

pub(super) fn proc(facts: &Facts) -> Check {
    let name = "proc";
    let Some(mounts) = &facts.mounts else {
        return Check::fail(name, Cause::Other, "/proc cannot be read")
            .remedy("mount it: mount -t proc proc /proc");
    };
    let hidepid = mounts
        .iter()
        .filter(|mount| mount.kind == "proc")
        .find_map(|mount| mount.option("hidepid"))
        .filter(|&hidepid| hidepid != "0" && hidepid != "off");
    let can_look = facts.has_capability(CAP_SYS_PTRACE) == Some(true);
    let check = if facts.is_in_first_pid_ns == Some(false) {
        Check::warn(
            name,
            "this process counts pids in a namespace of its own, the kernel programs do not: what is \
             looked up in /proc may be another process",
        )
        .remedy("start it in the host's pid namespace (--pid=host, hostPID: true)")
    } else if let Some(hidepid) = hidepid
        && !can_look
    {
        Check::warn(
            name,
            format!("hidepid={hidepid} hides other users' processes"),
        )
        .remedy("give its service CAP_SYS_PTRACE, which sees them all the same")
    } else {
        Check::ok(
            name,
            match hidepid {
                None => "mounted; no process is hidden",
                Some(_) => "mounted with hidepid, through which CAP_SYS_PTRACE sees",
            },
        )
    };
    check
        .value("hidepid", hidepid)
        .value("first_pid_namespace", facts.is_in_first_pid_ns)
}

pub(super) fn agents(agents: &[Agent]) -> Check {
    let name = "agents";
    let told: Vec<String> = agents
        .iter()
        .map(|Agent { pid, command, .. }| format!("{pid} ({command})"))
        .collect();
    let old: Vec<String> = agents
        .iter()
        .filter(|agent| agent.is_deleted)
        .map(|agent| agent.pid.to_string())
        .collect();
    let check = if agents.is_empty() {
        Check::ok(name, "none is running")
    } else if old.is_empty() {
        Check::ok(name, format!("running: {}", told.join(", ")))
    } else {
        Check::warn(
            name,
            format!(
                "running: {}; the program of {} has been replaced since",
                told.join(", "),
                old.join(", ")
            ),
        )
        .remedy("start them anew")
    };
    check.value(
        "pids",
        agents.iter().map(|agent| agent.pid).collect::<Vec<_>>(),
    )
}

pub(super) fn alert_log(log: &AlertLog, settings: &AlertsSettings) -> Check {
    let name = "alert_log";
    let path = settings.path.display().to_string();
    let check = match (&log.place, log.free_bytes) {
        (Place::Unusable { why, is_permission }, _) => {
            let cause = match is_permission {
                true => Cause::Permission,
                false => Cause::Other,
            };
            Check::fail(name, cause, format!("{path} cannot be written: {why}"))
                .remedy("correct that, or set another path under [alerts]")
        }
        (_, Some(free)) if free < FREE_BYTES_MIN => Check::fail(
            name,
            Cause::Other,
            format!("{path}: {} KiB are free there", free >> 10),
        )
        .remedy("make room: alerts that find none are lost"),
        (_, Some(free)) if free < FREE_BYTES_ENOUGH => {
            Check::warn(name, format!("{path}: {} MiB are free there", free >> 20))
                .remedy("make room: alerts that find none are lost")
        }
        _ if log.is_group_known == Some(false) => Check::warn(
            name,
            format!(
                "{path}: there is no group `{}`, so only the owner can read it",
                settings.group
            ),
        )
        .remedy("make that group, or set another one under [alerts]"),
        (Place::Log, _) => Check::ok(name, path.clone()),
        (Place::Directory, _) => Check::ok(name, format!("{path}, to be created")),
        (Place::WillBeMade, _) => {
            Check::ok(name, format!("{path}, to be created with its directory"))
        }
    };
    check
        .value("path", path)
        .value("free_bytes", log.free_bytes)
        .value("group", settings.group.as_str())
}
