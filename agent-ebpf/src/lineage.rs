//! Fork and exit records: who started whom, and who is gone.

use aya_ebpf::{helpers::generated::bpf_ktime_get_boot_ns, programs::BtfTracePointContext};
use wallwatch_common::{
    Counter, ExitRecord, ForkRecord, Member, RECORD_VERSION, RecordHeader, RecordKind,
};

use crate::{
    maps::{BULK, COUNTERS, count},
    task::{load, process_start},
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
    let Some(mut entry) = BULK.reserve::<ForkRecord>(0) else {
        count(&COUNTERS, Counter::ForkDropped);
        return;
    };
    // SAFETY: both tasks are arguments of the tracepoint.
    let record = unsafe {
        ForkRecord {
            header: header::<ForkRecord>(RecordKind::Fork),
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
    let Some(mut entry) = BULK.reserve::<ExitRecord>(0) else {
        count(&COUNTERS, Counter::ExitDropped);
        return;
    };
    // SAFETY: `task` is an argument of the tracepoint.
    let record = unsafe {
        ExitRecord {
            header: header::<ExitRecord>(RecordKind::Exit),
            start_ns: process_start(task),
            tgid: load(task, Member::TaskTgid),
            padding: 0,
        }
    };
    entry.write(record);
    entry.submit(0);
}

#[inline(always)]
pub(crate) fn header<T>(kind: RecordKind) -> RecordHeader {
    RecordHeader {
        // SAFETY: the helper has no preconditions.
        time_ns: unsafe { bpf_ktime_get_boot_ns() },
        bytes: size_of::<T>() as u32,
        kind: kind as u16,
        version: RECORD_VERSION,
    }
}
