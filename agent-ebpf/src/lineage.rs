//! Fork and exit records: who started whom, and who is gone.

use aya_ebpf::{
    helpers::generated::{bpf_get_current_cgroup_id, bpf_ktime_get_boot_ns},
    programs::BtfTracePointContext,
};
use wallwatch_common::{
    Counter, ExitRecord, ForkRecord, Member, RECORD_VERSION, RecordHeader, RecordKind,
};

use crate::{
    maps::{COUNTERS, count},
    ring::{self, Class, Ring},
    task::{load, process_start, session_id},
};

/// Sends a record when the new task is a process; a thread shares its creator's group.
#[inline(always)]
pub(crate) fn try_fork(ctx: &BtfTracePointContext) {
    let creator: *const u8 = ctx.arg(0);
    let child: *const u8 = ctx.arg(1);
    // SAFETY: `child` is an argument of the tracepoint.
    let (tgid, pid): (u32, u32) =
        unsafe { (load(child, Member::TaskTgid), load(child, Member::TaskPid)) };
    if tgid != pid {
        return;
    }
    count(&COUNTERS, Counter::ForkSeen);
    // SAFETY: `creator` is an argument of the tracepoint.
    let share = unsafe { share(creator) };
    let Some(mut entry) = ring::reserve::<ForkRecord>(Ring::Bulk, share, Class::Lineage) else {
        count(&COUNTERS, Counter::ForkDropped);
        return;
    };
    // SAFETY: both tasks are arguments of the tracepoint.
    let record = unsafe {
        ForkRecord {
            header: header::<ForkRecord>(RecordKind::Fork, share),
            start_ns: load(child, Member::TaskStartBoottime),
            creator_start_ns: process_start(creator),
            tgid,
            creator_tgid: load(creator, Member::TaskTgid),
        }
    };
    entry.write(record);
    entry.submit(0);
}

/// Sends a record when the last thread of a process is exiting. The tracepoint fires for each thread,
/// after `signal->live` has been counted down (`do_exit`, `kernel/exit.c`).
#[inline(always)]
pub(crate) fn try_exit(ctx: &BtfTracePointContext) {
    let task: *const u8 = ctx.arg(0);
    // SAFETY: `task` is an argument of the tracepoint.
    let signal: *const u8 = unsafe { load(task, Member::TaskSignal) };
    // SAFETY: a plain load gave the pointer.
    let live: u32 = unsafe { load(signal, Member::SignalLive) };
    if live != 0 {
        return;
    }
    count(&COUNTERS, Counter::ExitSeen);
    // SAFETY: `task` is an argument of the tracepoint.
    let share = unsafe { share(task) };
    let Some(mut entry) = ring::reserve::<ExitRecord>(Ring::Bulk, share, Class::Lineage) else {
        count(&COUNTERS, Counter::ExitDropped);
        return;
    };
    // SAFETY: `task` is an argument of the tracepoint.
    let record = unsafe {
        ExitRecord {
            header: header::<ExitRecord>(RecordKind::Exit, share),
            start_ns: process_start(task),
            tgid: load(task, Member::TaskTgid),
            padding: 0,
        }
    };
    entry.write(record);
    entry.submit(0);
}

/// The share of the current task.
///
/// # Safety
/// `task` is the current task, and the verifier knows it by type.
#[inline(always)]
unsafe fn share(task: *const u8) -> u16 {
    // SAFETY: by the caller's promise; the helper has no preconditions.
    unsafe { ring::share_of(bpf_get_current_cgroup_id(), session_id(task)) }
}

#[inline(always)]
pub(crate) fn header<T>(kind: RecordKind, share: u16) -> RecordHeader {
    RecordHeader {
        // SAFETY: the helper has no preconditions.
        time_ns: unsafe { bpf_ktime_get_boot_ns() },
        bytes: size_of::<T>() as u32,
        kind: kind as u8,
        version: RECORD_VERSION,
        share,
    }
}
