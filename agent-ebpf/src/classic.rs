//! For kernels without BTF: the classic tracepoints, and what helpers alone can tell. Members of
//! kernel structures are out of reach here; the agent completes the record from `/proc`, as far as
//! the process still lives.

use aya_ebpf::{
    helpers::{
        bpf_get_current_comm, bpf_get_current_pid_tgid, bpf_get_current_uid_gid,
        generated::{bpf_get_current_cgroup_id, bpf_ktime_get_boot_ns, bpf_probe_read_kernel_str},
    },
    programs::TracePointContext,
};
use wallwatch_common::{
    Counter, ExecFlags, ExecRecord, ExitRecord, FILENAME_BYTES_MAX, PathState, RECORD_VERSION,
    RecordHeader, RecordKind, SECTIONS_BYTES_MAX,
};

use crate::{
    lineage::header,
    maps::{COUNTERS, FIRST, count, cpu},
    ring::{self, Class, Ring, share_of, submit},
};
use aya_ebpf::EbpfContext;

/// Where `sched_process_exec` keeps the place of the file name, as `__data_loc`: length in the upper
/// half, offset from the event's begin in the lower (`include/trace/events/sched.h`).
const FILENAME_LOC_OFFSET: usize = 8;
const OLD_PID_OFFSET: usize = 16;

/// Sends the record of an exec without argv and paths; all go by the urgent ring, because the agent
/// must look at `/proc` before the process is gone.
#[inline(always)]
pub(crate) fn try_exec(ctx: &TracePointContext) {
    let sequence = count(&COUNTERS, Counter::ExecSeen);
    let Some(scratch) = FIRST.scratch() else {
        count(&COUNTERS, Counter::ExecNoScratch);
        return;
    };
    let ids = bpf_get_current_pid_tgid();
    let owner = bpf_get_current_uid_gid();
    let at = size_of::<ExecRecord>();
    let filename_bytes = copy_filename(ctx, scratch, at);
    let bytes = at + filename_bytes;
    // SAFETY: the field is part of the event.
    let old_tid = unsafe { ctx.read_at::<u32>(OLD_PID_OFFSET) }.unwrap_or(ids as u32);
    // SAFETY: the helper has no preconditions.
    let cgroup_id = unsafe { bpf_get_current_cgroup_id() };
    let record = ExecRecord {
        header: RecordHeader {
            // SAFETY: the helper has no preconditions.
            time_ns: unsafe { bpf_ktime_get_boot_ns() },
            bytes: bytes as u32,
            kind: RecordKind::Exec as u8,
            version: RECORD_VERSION,
            share: share_of(cgroup_id, u32::MAX),
        },
        start_ns: 0,
        parent_start_ns: 0,
        cgroup_id,
        argv_bytes_full: 0,
        exe_inode: 0,
        parent_inode: 0,
        sequence,
        cap_effective: 0,
        exe_change_s: 0,
        tgid: (ids >> 32) as u32,
        tid: old_tid,
        parent_tgid: 0,
        uid: owner as u32,
        gid: (owner >> 32) as u32,
        euid: owner as u32,
        login_uid: u32::MAX,
        session_id: u32::MAX,
        mount_ns: 0,
        pid_ns: 0,
        net_ns: 0,
        user_ns: 0,
        exe_device: 0,
        parent_device: 0,
        exe_uid: u32::MAX,
        exe_gid: u32::MAX,
        exe_links: 0,
        exe_change_ns: 0,
        flags: ExecFlags::ARGV_FAULT,
        filename_bytes: filename_bytes as u32,
        interp_bytes: 0,
        exe_path_bytes: 0,
        parent_path_bytes: 0,
        argv_bytes: 0,
        exe_state: PathState::Unsupported as u8,
        parent_state: PathState::Unsupported as u8,
        exe_mode: 0,
        cpu: cpu() as u16,
        lane: 0,
        padding: 0,
        tty: u32::MAX,
        comm: bpf_get_current_comm().unwrap_or([0; 16]),
    };
    // SAFETY: the scratch is larger than the record's head and aligned for it.
    unsafe { scratch.cast::<ExecRecord>().write(record) };
    submit(&FIRST, scratch, bytes, true);
}

/// Copies the file name that the event carries; returns its bytes, NUL included.
#[inline(always)]
fn copy_filename(ctx: &TracePointContext, scratch: *mut u8, at: usize) -> usize {
    // SAFETY: the field is part of the event.
    let Ok(location) = (unsafe { ctx.read_at::<u32>(FILENAME_LOC_OFFSET) }) else {
        return 0;
    };
    // SAFETY: `at` is the size of the record's head, far below the end of the scratch.
    let target = unsafe { scratch.add(at & (SECTIONS_BYTES_MAX - 1)) };
    let string = ctx.as_ptr() as u64 + (location & 0xffff) as u64;
    // SAFETY: the helper writes at most `FILENAME_BYTES_MAX` bytes, or fails.
    let length = unsafe {
        bpf_probe_read_kernel_str(target.cast(), FILENAME_BYTES_MAX as u32, string as *const _)
    };
    if length <= 0 {
        return 0;
    }
    length as usize & (2 * FILENAME_BYTES_MAX - 1)
}

/// Sends a record when the leader of a process exits.
#[inline(always)]
pub(crate) fn try_exit() {
    let ids = bpf_get_current_pid_tgid();
    let (tgid, pid) = ((ids >> 32) as u32, ids as u32);
    if tgid != pid {
        return;
    }
    count(&COUNTERS, Counter::ExitSeen);
    // SAFETY: the helper has no preconditions.
    let share = share_of(unsafe { bpf_get_current_cgroup_id() }, u32::MAX);
    let Some(mut entry) = ring::reserve::<ExitRecord>(Ring::Bulk, share, Class::Lineage) else {
        count(&COUNTERS, Counter::ExitDropped);
        return;
    };
    entry.write(ExitRecord {
        header: header::<ExitRecord>(RecordKind::Exit, share),
        start_ns: 0,
        tgid,
        padding: 0,
    });
    entry.submit(0);
}
