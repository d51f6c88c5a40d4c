//! The processes that run, on demand: a record for each, made as an exec record is made, from the same
//! members. So what ran before the agent came, and what it missed, is known by the kernel's own word.

use aya_ebpf::helpers::generated::{bpf_ktime_get_boot_ns, bpf_seq_write};
use wallwatch_common::{ExecFlags, ExecRecord, Member, PathState, SECTIONS_BYTES_MAX};

use crate::{
    exec, file,
    maps::LISTING_SCRATCH,
    path::{self, Walk},
    task::{has, load},
};

/// Steps beyond the near ones: enough for most paths. The agent asks `/proc` for one that is deeper.
const FAR_STEPS: usize = 16;

/// What an iterator over tasks is given (`struct bpf_iter__task`, `kernel/bpf/task_iter.c`).
#[repr(C)]
pub(crate) struct TaskContext {
    meta: *const u8,
    task: *const u8,
}

/// Writes the record of a thread-group leader. argv is in memory that cannot be reached from here, and the
/// parent's path is in the parent's own record.
///
/// # Safety
/// `ctx` is what the kernel gave the iterator.
#[inline(always)]
pub(crate) unsafe fn try_list(ctx: *const TaskContext) {
    // SAFETY: by the caller's promise.
    let (meta, task) = unsafe {
        (
            (&raw const (*ctx).meta).read_volatile(),
            (&raw const (*ctx).task).read_volatile(),
        )
    };
    // The last call has none.
    if task.is_null() {
        return;
    }
    // SAFETY: the kernel gave the task.
    let (tgid, pid): (u32, u32) =
        unsafe { (load(task, Member::TaskTgid), load(task, Member::TaskPid)) };
    if tgid != pid {
        return;
    }
    let Some(scratch) = LISTING_SCRATCH.get_ptr_mut(0) else {
        return;
    };
    let scratch: *mut u8 = scratch.cast();
    // SAFETY: the scratch is larger than the record's head and aligned for it, and only the agent runs this
    // program, one reader at a time.
    let record = unsafe { &mut *scratch.cast::<ExecRecord>() };
    // SAFETY: the helper has no preconditions.
    let now_ns = unsafe { bpf_ktime_get_boot_ns() };
    // SAFETY: the kernel gave the task, and a plain load from it gives the parent.
    unsafe {
        let parent: *const u8 = load(task, Member::TaskRealParent);
        exec::identify(record, task, parent, cgroup_id(task), now_ns);
    }
    record.tid = pid;
    record.sequence = 0;
    record.cpu = 0;
    record.lane = 0;
    record.filename_bytes = 0;
    record.interp_bytes = 0;
    record.parent_path_bytes = 0;
    record.parent_state = PathState::Unsupported as u8;
    record.argv_bytes = 0;
    record.argv_bytes_full = 0;
    record.flags |= ExecFlags::ARGV_FAULT;
    // SAFETY: the kernel gave the task.
    let walk = unsafe { walk_exe(record, scratch, task) };
    path::go_on::<FAR_STEPS>(walk, scratch);
    exec::settle_exe(record, walk);
    let bytes = walk.end() & (SECTIONS_BYTES_MAX - 1);
    record.header.bytes = bytes as u32;
    // SAFETY: the kernel gave `meta`, whose first member is the file to write to; the verifier checks that
    // `bytes` lie within the scratch. What does not fit is asked for again by the kernel.
    unsafe {
        let seq: *mut u8 = meta.cast::<*mut u8>().read_volatile();
        bpf_seq_write(seq.cast(), scratch.cast(), bytes as u32);
    }
}

/// Begins the walk to the executable, and describes its file. A kernel thread and a zombie have none.
///
/// # Safety
/// `task` is a task the verifier knows by type.
#[inline(always)]
unsafe fn walk_exe(record: &mut ExecRecord, scratch: *mut u8, task: *const u8) -> Walk {
    let at = size_of::<ExecRecord>();
    file::forget(record);
    // SAFETY: every load is from the task, or from a pointer that a plain load gave.
    unsafe {
        let mm: *const u8 = load(task, Member::TaskMm);
        if mm.is_null() {
            return Walk::none(scratch, at, PathState::Absent);
        }
        let exe_file: *const u8 = load(mm, Member::MmExeFile);
        if exe_file.is_null() {
            return Walk::none(scratch, at, PathState::Absent);
        }
        file::describe(record, exe_file);
        Walk::begin(scratch, at, exe_file)
    }
}

/// # Safety
/// `task` is a task the verifier knows by type.
#[inline(always)]
unsafe fn cgroup_id(task: *const u8) -> u64 {
    if !has([
        Member::TaskCgroups,
        Member::CssSetCgroup,
        Member::CgroupKn,
        Member::KernfsId,
    ]) {
        return 0;
    }
    // SAFETY: every load is from the task, or from a pointer that a plain load gave.
    unsafe {
        let css_set: *const u8 = load(task, Member::TaskCgroups);
        let cgroup: *const u8 = load(css_set, Member::CssSetCgroup);
        let node: *const u8 = load(cgroup, Member::CgroupKn);
        load(node, Member::KernfsId)
    }
}
