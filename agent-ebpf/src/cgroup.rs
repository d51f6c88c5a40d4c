//! The path of a cgroup, sent once, before the first exec from it. An identifier alone would say nothing
//! when the cgroup is gone by the time somebody asks.

use aya_ebpf::{
    bindings::BPF_NOEXIST,
    helpers::generated::{bpf_ktime_get_boot_ns, bpf_probe_read_kernel_str},
};
use wallwatch_common::{
    CGROUP_STEPS, COMPONENT_BYTES_MAX, CgroupRecord, Counter, ExecRecord, Member, PATH_BYTES_MAX,
    PathState, RECORD_VERSION, RecordHeader, RecordKind, SCRATCH_BYTES, SECTIONS_BYTES_MAX,
};

use crate::{
    maps::{CGROUPS, Lane, count},
    ring::{self, Class, Ring},
    task::{has, load, offset, read},
};

/// Where the record is made: in the second half of the scratch, whose first half the exec record needs.
const CGROUP_AT: usize = SCRATCH_BYTES / 2 + SECTIONS_BYTES_MAX / 2;

const _: () = assert!(
    CGROUP_AT + size_of::<CgroupRecord>() + PATH_BYTES_MAX + 2 * COMPONENT_BYTES_MAX
        < SCRATCH_BYTES - 256
);

/// Where the scratch keeps the cgroup of the exec before: most execs come from the same one as the last.
const LAST_AT: usize = SCRATCH_BYTES - 200;

/// Whether the path of `cgroup_id` has yet to be sent.
#[inline(always)]
pub(crate) fn is_new(scratch: *mut u8, cgroup_id: u64) -> bool {
    // SAFETY: the place is within the scratch, aligned, and behind all that a record can fill.
    let last = unsafe { scratch.add(LAST_AT).cast::<u64>() };
    // SAFETY: as above.
    if unsafe { last.read_volatile() } == cgroup_id {
        return false;
    }
    // SAFETY: the value is not used, so that a concurrent removal does no harm.
    let known = unsafe { CGROUPS.get(&cgroup_id) }.is_some();
    if known {
        // SAFETY: as above.
        unsafe { last.write_volatile(cgroup_id) };
    }
    !known
}

/// Sends the path of the task's cgroup. If that fails, the next exec from it tries again.
///
/// # Safety
/// `task` is the tracepoint's.
#[inline(always)]
pub(crate) unsafe fn send(lane: &Lane, scratch: *mut u8, task: *const u8) {
    // SAFETY: the scratch holds the head of the exec's record.
    let exec = unsafe { &*scratch.cast::<ExecRecord>() };
    let (id, share) = (exec.cgroup_id, exec.header.share);
    if CGROUPS.insert(&id, &0, BPF_NOEXIST as u64).is_err() {
        // Another processor was faster.
        return;
    }
    // SAFETY: by the caller's promise.
    let (state, bytes) = unsafe { walk(scratch, task) };
    let record = CgroupRecord {
        header: RecordHeader {
            // SAFETY: the helper has no preconditions.
            time_ns: unsafe { bpf_ktime_get_boot_ns() },
            bytes: (size_of::<CgroupRecord>() + bytes) as u32,
            kind: RecordKind::Cgroup as u8,
            version: RECORD_VERSION,
            share,
        },
        cgroup_id: id,
        bytes: bytes as u32,
        state: state as u8,
        padding: [0; 3],
    };
    // SAFETY: the place is within the scratch, and aligned.
    let at = unsafe { scratch.add(CGROUP_AT) };
    // SAFETY: as above.
    unsafe { at.cast::<CgroupRecord>().write(record) };
    let length = size_of::<CgroupRecord>() + (bytes & (2 * PATH_BYTES_MAX - 1));
    if !ring::output(Ring::Bulk, at, length, share, Class::Urgent).is_sent() {
        count(lane.counters, Counter::CgroupDropped);
        // It is tried again; if it cannot be removed, it was removed by the map itself.
        let _ = CGROUPS.remove(&id);
    }
}

/// Copies the names from the task's cgroup up to the root; what became of it, and the bytes.
///
/// # Safety
/// `task` is the tracepoint's.
#[inline(always)]
unsafe fn walk(scratch: *mut u8, task: *const u8) -> (PathState, usize) {
    if !has([
        Member::TaskCgroups,
        Member::CssSetCgroup,
        Member::CgroupKn,
        Member::KernfsName,
        Member::KernfsParent,
    ]) {
        return (PathState::Unsupported, 0);
    }
    // SAFETY: every load is from the task, or from a pointer that a plain load gave.
    let mut node: u64 = unsafe {
        let css_set: *const u8 = load(task, Member::TaskCgroups);
        let cgroup: *const u8 = load(css_set, Member::CssSetCgroup);
        load(cgroup, Member::CgroupKn)
    };
    let mut bytes = 0;
    let mut step = 0;
    while step < CGROUP_STEPS {
        step += 1;
        let Some(parent) = read::<u64>(node + offset(Member::KernfsParent)) else {
            return (PathState::Fault, 0);
        };
        // The root has no parent, and no name that counts.
        if parent == 0 {
            return (PathState::Known, bytes);
        }
        if bytes > PATH_BYTES_MAX {
            return (PathState::Unfinished, 0);
        }
        let Some(name) = read::<u64>(node + offset(Member::KernfsName)) else {
            return (PathState::Fault, 0);
        };
        let at = CGROUP_AT + size_of::<CgroupRecord>() + (bytes & (2 * PATH_BYTES_MAX - 1));
        // SAFETY: the mask keeps it within the scratch, which goes on for longer than a component.
        let target = unsafe { scratch.add(at) };
        // SAFETY: the helper writes at most `COMPONENT_BYTES_MAX` bytes, or fails.
        let length = unsafe {
            bpf_probe_read_kernel_str(target.cast(), COMPONENT_BYTES_MAX as u32, name as *const _)
        };
        if length <= 0 {
            return (PathState::Fault, 0);
        }
        bytes += length as usize & (2 * COMPONENT_BYTES_MAX - 1);
        node = parent;
    }
    (PathState::Unfinished, 0)
}
