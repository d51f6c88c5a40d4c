//! What the kernel programs need. Not called `kernel`: by that word tests are chosen that run them.

use wallwatch_common::{MEMBERS, MemberSpec};

use super::*;
use crate::host::capabilities::{
    CAP_BPF, CAP_PERFMON, CAP_SYS_ADMIN, CAP_SYS_PTRACE, CAP_SYS_RESOURCE,
};

#[test]
fn kernels_before_5_10_and_other_machines_are_told() {
    let release =
        |release: &'static str| move |facts: &mut Facts| facts.release = release.to_owned();
    for old in ["5.9.16", "4.18.0-553.el8", "3.10"] {
        let check = check("kernel", release(old), Fail, old);
        assert_eq!(check.cause, Some(Cause::Kernel));
    }
    for new in ["5.10.0-46-cloud-amd64", "6.1", "10.0-rc1"] {
        check("kernel", release(new), Ok, new);
    }
    check("kernel", release("unknown"), Warn, "not understood");
    check(
        "kernel",
        |facts| facts.machine.name = "aarch64",
        Warn,
        "on aarch64",
    );
    let big_endian = |facts: &mut Facts| facts.machine.takes_object = false;
    check("kernel", big_endian, Fail, "Linux");
}

#[test]
fn capabilities_are_named_that_are_missing() {
    let has = |capabilities: &'static [u32]| {
        let set = capabilities.iter().fold(0, |set, bit| set | 1 << bit);
        move |facts: &mut Facts| facts.capabilities = Some(set)
    };
    let none = check(
        "capabilities",
        has(&[]),
        Fail,
        "CAP_BPF and CAP_PERFMON missing",
    );
    assert_eq!(none.cause, Some(Cause::Permission));
    check("capabilities", has(&[CAP_BPF]), Fail, "CAP_PERFMON missing");
    check(
        "capabilities",
        has(&[CAP_BPF, CAP_PERFMON]),
        Warn,
        "CAP_SYS_PTRACE missing",
    );
    check(
        "capabilities",
        has(&[CAP_SYS_ADMIN]),
        Warn,
        "CAP_SYS_PTRACE missing",
    );
    check(
        "capabilities",
        has(&[CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE]),
        Ok,
        "CAP_BPF, CAP_PERFMON",
    );
    check(
        "capabilities",
        |facts| facts.capabilities = None,
        Skip,
        "/proc/self/status",
    );
}

#[test]
fn members_that_a_kernel_lacks_are_named_by_their_weight() {
    let lacking = |required: bool| -> Vec<&'static MemberSpec> {
        MEMBERS
            .iter()
            .filter(|spec| spec.required == required)
            .collect()
    };
    let read = |lacking| move |facts: &mut Facts| facts.btf = BtfFile::Read { bytes: 1, lacking };
    let optional = check("btf", read(lacking(false)), Warn, "upid, ");
    assert_eq!(
        optional.values["lacking_required"]
            .as_array()
            .unwrap()
            .len(),
        0
    );
    let all = [lacking(true), lacking(false)].concat();
    let required = check("btf", read(all), Fail, "task_struct.mm, ");
    assert_eq!(required.cause, Some(Cause::Kernel));
    assert!(!required.found.contains("upid"));
}

#[test]
fn btf_that_is_not_there_or_not_right_is_told_apart() {
    let file = |file: BtfFile| move |facts: &mut Facts| facts.btf = file;
    let cause = |check: Check| check.cause.unwrap();
    let absent = check("btf", file(BtfFile::Absent), Fail, "no BTF");
    assert_eq!(cause(absent), Cause::Kernel);
    let error = || "why".to_owned();
    let damaged = check(
        "btf",
        file(BtfFile::Damaged { error: error() }),
        Fail,
        "why",
    );
    assert_eq!(cause(damaged), Cause::Kernel);
    for (is_permission, expected) in [(true, Cause::Permission), (false, Cause::Other)] {
        let unreadable = BtfFile::Unreadable {
            error: error(),
            is_permission,
        };
        assert_eq!(cause(check("btf", file(unreadable), Fail, "why")), expected);
    }
}

#[test]
fn only_confidentiality_keeps_the_sensor_out() {
    let level =
        |level: &'static str| move |facts: &mut Facts| facts.lockdown = Some(level.to_owned());
    check("lockdown", level("none"), Ok, "none");
    check("lockdown", level("integrity"), Ok, "integrity");
    let check_closed = check("lockdown", level("confidentiality"), Fail, "no BPF program");
    assert_eq!(check_closed.cause, Some(Cause::Kernel));
    check("lockdown", level("paranoia"), Warn, "paranoia");
    check("lockdown", |facts| facts.lockdown = None, Skip, "not told");
}

#[test]
fn tracefs_matters_without_btf_alone() {
    let without = |facts: &mut Facts| facts.mounts = Some(Vec::new());
    check("tracefs", without, Ok, "not needed");
    let absent = |facts: &mut Facts| facts.btf = BtfFile::Absent;
    check("tracefs", absent, Ok, "mounted at /sys/kernel/tracing");
    let both = |facts: &mut Facts| {
        without(facts);
        absent(facts);
    };
    check("tracefs", both, Fail, "not mounted");
    check("tracefs", |facts| facts.mounts = None, Skip, "mountinfo");
}

#[test]
fn the_memory_limit_matters_before_5_11_without_the_capability_to_lift_it() {
    let old = |limit: Option<&'static str>, capabilities: u64| {
        move |facts: &mut Facts| {
            facts.release = "5.10.0".to_owned();
            facts.memory_lock = limit.map(str::to_owned);
            facts.capabilities = Some(capabilities);
        }
    };
    let small = check("memory_lock", old(Some("65536"), 0), Fail, "65536");
    assert_eq!(small.cause, Some(Cause::Permission));
    check(
        "memory_lock",
        old(Some("65536"), 1 << CAP_SYS_RESOURCE),
        Ok,
        "lifts",
    );
    check("memory_lock", old(Some("unlimited"), 0), Ok, "unlimited");
    check("memory_lock", old(Some("67108864"), 0), Ok, "67108864");
    check("memory_lock", old(None, 0), Skip, "not told");
    let new = |facts: &mut Facts| facts.memory_lock = Some("0".to_owned());
    check("memory_lock", new, Ok, "5.11");
}

#[test]
fn an_interpreter_and_statistics_are_told_for_what_they_cost() {
    check(
        "bpf_jit",
        |facts| facts.bpf_jit_enable = Some(0),
        Warn,
        "interpreted",
    );
    check("bpf_jit", |facts| facts.bpf_jit_enable = Some(2), Ok, "on");
    check("bpf_jit", |facts| facts.bpf_jit_enable = None, Skip, "root");
    check(
        "bpf_statistics",
        |facts| facts.bpf_stats_enabled = Some(1),
        Warn,
        "clock",
    );
    check(
        "bpf_statistics",
        |facts| facts.bpf_stats_enabled = None,
        Skip,
        "not told",
    );
}
