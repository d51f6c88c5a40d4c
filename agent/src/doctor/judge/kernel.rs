//! What the kernel has, and what it lets this process do.
//!
//! Two settings that are often asked for are not here, because the capabilities that the sensor needs
//! stand above them: `kernel.unprivileged_bpf_disabled` (`bpf_capable`, `kernel/bpf/syscall.c`) and
//! `kernel.perf_event_paranoid` (`perfmon_capable`, `include/linux/perf_event.h`).

use wallwatch_common::{MEMBERS, MemberSpec, RECORD_VERSION, SCRATCH_BYTES};

use crate::doctor::check::{Cause, Check};
use crate::doctor::facts::{BtfFile, Facts, Machine};
use crate::host::capabilities::{CAP_SYS_ADMIN, CAP_SYS_PTRACE, CAP_SYS_RESOURCE, missing_of};

/// The oldest kernel on which the programs are tested.
const OLDEST: (u32, u32) = (5, 10);

/// From here on maps count as memory of the control group, not against `RLIMIT_MEMLOCK`.
const WITHOUT_MEMORY_LOCK: (u32, u32) = (5, 11);

/// The architecture on which the kernel tests run.
const TESTED: &str = "x86_64";

/// Beside rings and scratch: the programs and the small maps. They have some 200 KiB.
const REST_BYTES: u64 = 1 << 20;

pub(super) fn kernel(facts: &Facts) -> Check {
    let Machine { name, takes_object } = facts.machine;
    let found = format!("Linux {} on {name}", facts.release);
    let check = if !takes_object {
        Check::fail("kernel", Cause::Kernel, found)
            .remedy("the kernel programs are for 64-bit little-endian machines only")
    } else if let Some(version) = facts.version() {
        if version < OLDEST {
            Check::fail("kernel", Cause::Kernel, found)
                .remedy("boot a kernel from 5.10 on; older ones lack what the programs use")
        } else if name != TESTED {
            Check::warn("kernel", found).remedy(format!(
                "the kernel programs are tested on {TESTED} alone; what the canary says counts"
            ))
        } else {
            Check::ok("kernel", found)
        }
    } else {
        Check::warn("kernel", format!("{found}; its version is not understood"))
            .remedy("5.10 and newer are supported; what the canary says counts")
    };
    check
        .value("release", facts.release.as_str())
        .value("machine", name)
}

pub(super) fn capabilities(facts: &Facts) -> Check {
    let name = "capabilities";
    let Some(effective) = facts.capabilities else {
        return Check::skip(name, "not told: /proc/self/status cannot be read");
    };
    let has = |capability: u32| effective >> capability & 1 == 1;
    let missing = missing_of(effective);
    let check = if !missing.is_empty() {
        Check::fail(
            name,
            Cause::Permission,
            format!(
                "{} missing: the sensor cannot be loaded",
                missing.join(" and ")
            ),
        )
        .remedy(
            "start it as root, or give its service CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE \
             (AmbientCapabilities= in a unit)",
        )
    } else if !has(CAP_SYS_PTRACE) {
        Check::warn(
            name,
            "CAP_SYS_PTRACE missing: the executables of other users' processes that ran before the \
             agent are not known",
        )
        .remedy("give its service CAP_SYS_PTRACE as well")
    } else if has(CAP_SYS_ADMIN) {
        Check::ok(name, "all that is needed, by way of CAP_SYS_ADMIN")
    } else {
        Check::ok(name, "CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE")
    };
    check
        .value("effective", format!("{effective:016x}"))
        .value("missing", missing)
        .value("seccomp", facts.seccomp)
}

pub(super) fn btf(file: &BtfFile, object_sha256: &str) -> Check {
    let name = "btf";
    let use_another = "use a kernel that is built with CONFIG_DEBUG_INFO_BTF=y";
    let check = match file {
        BtfFile::Absent => Check::fail(
            name,
            Cause::Kernel,
            "this kernel has no BTF: an exec that is over at once is seen without its command line",
        )
        .remedy(use_another),
        BtfFile::Unreadable {
            error,
            is_permission,
        } => {
            let cause = match is_permission {
                true => Cause::Permission,
                false => Cause::Other,
            };
            Check::fail(name, cause, format!("cannot be read: {error}"))
                .remedy("let the agent read /sys/kernel/btf/vmlinux")
        }
        BtfFile::Damaged { error } => {
            Check::fail(name, Cause::Kernel, format!("cannot be used: {error}"))
                .remedy("report this kernel, and until then use another one")
        }
        BtfFile::Read { bytes, lacking } => members(lacking).value("bytes", *bytes),
    };
    check
        .value("members", MEMBERS.len())
        .value("record_version", RECORD_VERSION)
        .value("object_sha256", object_sha256)
}

fn members(lacking: &[&MemberSpec]) -> Check {
    let name = "btf";
    let names = |required| -> Vec<String> {
        let lacking = lacking.iter().filter(|spec| spec.required == required);
        lacking
            .map(|spec| match spec.path {
                "" => spec.structure.to_owned(),
                path => format!("{}.{path}", spec.structure),
            })
            .collect()
    };
    let (required, optional) = (names(true), names(false));
    let check = if !required.is_empty() {
        Check::fail(
            name,
            Cause::Kernel,
            format!(
                "this kernel lacks {}, which the sensor cannot do without",
                required.join(", ")
            ),
        )
        .remedy("report this kernel, and until then use another one")
    } else if !optional.is_empty() {
        Check::warn(
            name,
            format!(
                "this kernel lacks {}; what they feed is unknown in every record",
                optional.join(", ")
            ),
        )
        .remedy("report this kernel; a member may have another name there")
    } else {
        Check::ok(name, format!("all {} members found", MEMBERS.len()))
    };
    check
        .value("lacking_required", required)
        .value("lacking_optional", optional)
}

/// At the level `confidentiality` the kernel hands no program the helper that reads its memory
/// (`LOCKDOWN_BPF_READ_KERNEL`, `bpf_base_func_proto`, `kernel/bpf/helpers.c`), and opens no tracefs
/// (`LOCKDOWN_TRACEFS`). `integrity` forbids neither.
pub(super) fn lockdown(level: Option<&str>) -> Check {
    let name = "lockdown";
    match level {
        None => Check::skip(
            name,
            "not told: this kernel has no lockdown, or securityfs is not mounted",
        ),
        Some(level @ ("none" | "integrity")) => Check::ok(name, level),
        Some(level @ "confidentiality") => Check::fail(
            name,
            Cause::Kernel,
            format!("{level}: no BPF program may read the kernel's memory"),
        )
        .remedy("boot with lockdown=integrity, which keeps out unsigned code all the same"),
        Some(other) => Check::warn(name, format!("{other}: a level that is not known here"))
            .remedy("what the canary says counts"),
    }
    .value("level", level)
}

pub(super) fn tracefs(facts: &Facts) -> Check {
    let name = "tracefs";
    let Some(mounts) = &facts.mounts else {
        return Check::skip(name, "not told: /proc/self/mountinfo cannot be read");
    };
    let point = mounts
        .iter()
        .find(|mount| mount.kind == "tracefs")
        .map(|mount| mount.point.as_str());
    let check = match (&facts.btf, point) {
        (BtfFile::Absent, None) => Check::fail(
            name,
            Cause::Other,
            "not mounted, and without BTF the sensor needs it",
        )
        .remedy("mount -t tracefs tracefs /sys/kernel/tracing"),
        (BtfFile::Absent, Some(point)) => Check::ok(name, format!("mounted at {point}")),
        (_, Some(point)) => Check::ok(
            name,
            format!("mounted at {point}; with BTF it is not needed"),
        ),
        (_, None) => Check::ok(name, "not mounted; with BTF it is not needed"),
    };
    check.value("mounted_at", point)
}

pub(super) fn memory_lock(facts: &Facts) -> Check {
    let name = "memory_lock";
    let limit = facts.memory_lock.as_deref();
    let needed = u64::from(facts.sensor.bulk_ring_bytes)
        + u64::from(facts.sensor.urgent_ring_bytes)
        + SCRATCH_BYTES as u64 * facts.cpus_possible.unwrap_or(1) as u64
        + REST_BYTES;
    let is_enough = |limit: &str| {
        let bytes = limit.parse::<u64>().ok();
        limit == "unlimited" || bytes.is_some_and(|bytes| bytes >= needed)
    };
    let can_lift = facts.has_capability(CAP_SYS_RESOURCE) == Some(true);
    let check = match (facts.version(), limit) {
        (Some(version), _) if version >= WITHOUT_MEMORY_LOCK => {
            Check::ok(name, "RLIMIT_MEMLOCK does not bound maps since Linux 5.11")
        }
        _ if can_lift => Check::ok(name, "RLIMIT_MEMLOCK, which the agent lifts"),
        (_, Some(limit)) if is_enough(limit) => {
            Check::ok(name, format!("RLIMIT_MEMLOCK is {limit}"))
        }
        (_, Some(limit)) => Check::fail(
            name,
            Cause::Permission,
            format!("RLIMIT_MEMLOCK is {limit} bytes, the sensor needs about {needed}"),
        )
        .remedy("give its service LimitMEMLOCK=infinity or CAP_SYS_RESOURCE"),
        (_, None) => Check::skip(name, "not told: /proc/self/limits cannot be read"),
    };
    check.value("limit", limit).value("needed_bytes", needed)
}

pub(super) fn bpf_jit(enabled: Option<u32>) -> Check {
    let name = "bpf_jit";
    match enabled {
        None => Check::skip(
            name,
            "not told: net.core.bpf_jit_enable is for root to read",
        ),
        Some(0) => Check::warn(
            name,
            "off: the kernel programs are interpreted, and each exec pays for it",
        )
        .remedy("sysctl net.core.bpf_jit_enable=1"),
        Some(_) => Check::ok(name, "on"),
    }
    .value("enabled", enabled.map(|enabled| enabled != 0))
}

pub(super) fn bpf_statistics(enabled: Option<u32>) -> Check {
    let name = "bpf_statistics";
    match enabled {
        None => Check::skip(name, "not told: kernel.bpf_stats_enabled cannot be read"),
        Some(0) => Check::ok(name, "off"),
        Some(_) => Check::warn(
            name,
            "on: the kernel reads the clock twice for each run of each BPF program of this host",
        )
        .remedy("sysctl kernel.bpf_stats_enabled=0, unless somebody measures right now"),
    }
    .value("enabled", enabled.map(|enabled| enabled != 0))
}
