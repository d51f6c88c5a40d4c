//! The record of an exec that failed. Such an exec never comes to `sched_process_exec`; only the return of the
//! system call tells it, and a tracepoint there makes every system call of the host slower. That is why
//! these programs are loaded only when the operator asks for them.
//!
//! The return alone is enough: when the call has failed the memory of the caller is still in place, and so
//! are the registers with which it was made. A second tracepoint at the entry would cost hardly more (3 ns of
//! 65), but every exec would pay for keeping what it saw. And at the return the kernel has just read the file name,
//! so that its page is there; nothing is paged in here. The tracepoints are silent about 32-bit system calls
//! (`trace_get_syscall_nr`, `kernel/trace/trace_syscalls.c`).

use aya_ebpf::{
    EbpfContext,
    helpers::{
        bpf_get_current_comm, bpf_get_current_pid_tgid, bpf_get_current_task,
        bpf_get_current_uid_gid,
        generated::{
            bpf_get_current_cgroup_id, bpf_get_current_task_btf, bpf_ktime_get_boot_ns,
            bpf_probe_read_user, bpf_probe_read_user_str, bpf_task_pt_regs,
        },
    },
    programs::TracePointContext,
};
use wallwatch_common::{
    Counter, FAILED_ARGUMENTS_MAX, FAILED_ARGV_BYTES_MAX, FILENAME_BYTES_MAX, FailedExecFlags,
    FailedExecRecord, Member, RECORD_VERSION, RecordHeader, RecordKind,
};

use crate::{
    maps::{
        ARGUMENT_REGISTERS, COUNTERS, FAILED_SCRATCH, FailedScratch, HAS_TASK_PT_REGS, add, cpu,
    },
    ring::{self, Class, Ring, share_of},
    task::{has, offset, read},
};

/// Where the result stands in what both tracepoints hand over (`perf_call_bpf_exit`,
/// `kernel/trace/trace_syscalls.c`).
const RESULT_OFFSET: usize = 16;

/// The largest error number (`MAX_ERRNO`, `include/linux/err.h`).
const ERROR_MAX: i64 = 4095;

/// From `ERESTARTSYS` to `ERESTART_RESTARTBLOCK` (`include/linux/errno.h`): the caller never sees these. The
/// kernel makes the call again, or a signal ends the process.
const RESTART_MIN: i64 = 512;
const RESTART_MAX: i64 = 516;

/// Which argument the file name is; argv is the next.
pub(crate) const EXECVE: usize = 0;
pub(crate) const EXECVEAT: usize = 1;

/// The sections of a record, as far as they could be read.
struct Sections {
    filename_bytes: usize,
    argv_bytes: usize,
    /// Bits of [`FailedExecFlags`].
    flags: u32,
}

/// Sends the record of a call that failed. `filename_argument` is [`EXECVE`] or [`EXECVEAT`].
#[inline(always)]
pub(crate) fn try_failed(ctx: &TracePointContext, filename_argument: usize) {
    // SAFETY: the field is part of the event.
    let Ok(result) = (unsafe { ctx.read_at::<i64>(RESULT_OFFSET) }) else {
        return;
    };
    if !(-ERROR_MAX..0).contains(&result) || (-RESTART_MAX..=-RESTART_MIN).contains(&result) {
        return;
    }
    count(Counter::FailedExecSeen);
    if !send(ctx, filename_argument, -result as u32) {
        count(Counter::FailedExecDropped);
    }
}

/// Takes this processor's scratch for as long as it is needed. Where the kernel lets a program here be preempted,
/// another run on the same processor finds it taken and gives up.
#[inline(always)]
fn send(ctx: &TracePointContext, filename_argument: usize, error: u32) -> bool {
    let Some(scratch) = FAILED_SCRATCH.get_ptr_mut(cpu()) else {
        return false;
    };
    // SAFETY: the pointer is into the map, which outlives the program.
    let wanted = unsafe { &raw mut (*scratch).wanted };
    add(wanted, 1);
    // SAFETY: as above. Volatile, for the addition is made by an instruction the compiler does not know.
    let is_free = unsafe { wanted.read_volatile() } == 1;
    let is_sent = is_free && assemble(ctx, filename_argument, error, scratch);
    add(wanted, 0u64.wrapping_sub(1));
    is_sent
}

/// Makes the record in the scratch, and hands it to the bulk ring.
#[inline(always)]
fn assemble(
    ctx: &TracePointContext,
    filename_argument: usize,
    error: u32,
    scratch: *mut FailedScratch,
) -> bool {
    // SAFETY: the pointer is into the map, which outlives the program.
    let (target, argv_bytes) = unsafe {
        (
            (&raw mut (*scratch).bytes).cast::<u8>(),
            &raw mut (*scratch).argv_bytes,
        )
    };
    let registers = registers(ctx);
    let sections = copy_sections(
        target,
        ArgvBytes(argv_bytes),
        argument(registers, filename_argument),
        argument(registers, filename_argument + 1),
    );
    let bytes = size_of::<FailedExecRecord>() + sections.filename_bytes + sections.argv_bytes;
    // SAFETY: the helper has no preconditions.
    let task = unsafe { bpf_get_current_task() };
    let (parent_tgid, parent_start_ns) = parent(task);
    // SAFETY: the helper has no preconditions.
    let cgroup_id = unsafe { bpf_get_current_cgroup_id() };
    let session_id = audit_id(task, Member::TaskSessionid);
    let ids = bpf_get_current_pid_tgid();
    let share = share_of(cgroup_id, session_id);
    let record = FailedExecRecord {
        header: RecordHeader {
            // SAFETY: the helper has no preconditions.
            time_ns: unsafe { bpf_ktime_get_boot_ns() },
            bytes: bytes as u32,
            kind: RecordKind::FailedExec as u8,
            version: RECORD_VERSION,
            share,
        },
        start_ns: start_ns(task),
        parent_start_ns,
        cgroup_id,
        tgid: (ids >> 32) as u32,
        tid: ids as u32,
        parent_tgid,
        uid: bpf_get_current_uid_gid() as u32,
        login_uid: audit_id(task, Member::TaskLoginuid),
        session_id,
        error,
        flags: sections.flags,
        filename_bytes: sections.filename_bytes as u32,
        argv_bytes: sections.argv_bytes as u32,
        comm: bpf_get_current_comm().unwrap_or([0; 16]),
    };
    // SAFETY: the scratch is larger than the record's head and aligned for it.
    unsafe { target.cast::<FailedExecRecord>().write(record) };
    ring::output(Ring::Bulk, target, bytes, share, Class::Lineage).is_sent()
}

/// Copies the file name and argv behind the record's head.
#[inline(always)]
fn copy_sections(target: *mut u8, argv_bytes: ArgvBytes, filename: u64, argv: u64) -> Sections {
    let head = size_of::<FailedExecRecord>();
    let mut sections = Sections {
        filename_bytes: 0,
        argv_bytes: 0,
        flags: 0,
    };
    match copy_string(target, head, FILENAME_BYTES_MAX, filename) {
        Some(bytes) => sections.filename_bytes = bytes & (2 * FILENAME_BYTES_MAX - 1),
        None => sections.flags |= FailedExecFlags::FILENAME_FAULT,
    }
    // No argv at all is an empty one (`count`, `fs/exec.c`).
    if argv == 0 {
        return sections;
    }
    argv_bytes.set(0);
    let mut n = 0;
    loop {
        let Some(argument) = read_user(argv + 8 * n as u64) else {
            sections.flags |= FailedExecFlags::ARGV_FAULT;
            break;
        };
        if argument == 0 {
            break;
        }
        let so_far = argv_bytes.get();
        if n == FAILED_ARGUMENTS_MAX || so_far >= FAILED_ARGV_BYTES_MAX {
            sections.flags |= FailedExecFlags::ARGV_CUT;
            break;
        }
        let at = head + sections.filename_bytes + (so_far & (FAILED_ARGV_BYTES_MAX - 1));
        let Some(bytes) = copy_string(target, at, FAILED_ARGV_BYTES_MAX, argument) else {
            sections.flags |= FailedExecFlags::ARGV_FAULT;
            break;
        };
        if bytes == FAILED_ARGV_BYTES_MAX {
            sections.flags |= FailedExecFlags::ARGV_CUT;
        }
        argv_bytes.set(so_far + bytes);
        n += 1;
    }
    sections.argv_bytes = argv_bytes.get();
    if sections.argv_bytes > FAILED_ARGV_BYTES_MAX {
        sections.argv_bytes = FAILED_ARGV_BYTES_MAX;
        sections.flags |= FailedExecFlags::ARGV_CUT;
    }
    sections
}

/// [`FailedScratch::argv_bytes`].
#[derive(Clone, Copy)]
struct ArgvBytes(*mut u64);

impl ArgvBytes {
    /// Below twice [`FAILED_ARGV_BYTES_MAX`]: one argument beyond the bound is counted, and no other.
    #[inline(always)]
    fn get(self) -> usize {
        // SAFETY: the pointer is into the map, which outlives the program.
        let bytes = unsafe { self.0.read_volatile() };
        bytes as usize & (2 * FAILED_ARGV_BYTES_MAX - 1)
    }

    #[inline(always)]
    fn set(self, bytes: usize) {
        // SAFETY: as in `get`.
        unsafe { self.0.write_volatile(bytes as u64) };
    }
}

/// Copies a string of the caller with its NUL, cut to `bytes_max`, to `scratch[at..]`, where there is room for
/// that much. Gives its bytes.
#[inline(always)]
fn copy_string(scratch: *mut u8, at: usize, bytes_max: usize, string: u64) -> Option<usize> {
    // SAFETY: the verifier checks that `at` is within the scratch.
    let target = unsafe { scratch.add(at) };
    // SAFETY: the helper writes at most `bytes_max` bytes, or fails, whatever the address.
    let length =
        unsafe { bpf_probe_read_user_str(target.cast(), bytes_max as u32, string as *const _) };
    // Older kernels do not count the NUL of an empty string (`strncpy_from_user_nofault`, `mm/maccess.c`).
    if length == 0 {
        // SAFETY: as above.
        unsafe { target.write(0) };
        return Some(1);
    }
    (length > 0).then_some(length as usize)
}

/// Reads a pointer from the caller's memory.
#[inline(always)]
fn read_user(address: u64) -> Option<u64> {
    let mut value = 0u64;
    // SAFETY: the helper writes the 8 bytes or fails, whatever the address.
    let status = unsafe { bpf_probe_read_user((&raw mut value).cast(), 8, address as *const _) };
    (status == 0).then_some(value)
}

/// The registers with which the call was made.
///
/// A kernel that lacks the helper hands them to the program, as the first word of its context; a newer one
/// hands over others there, for stack traces, with no argument in them (`perf_call_bpf_exit`,
/// `kernel/trace/trace_syscalls.c`).
#[inline(always)]
fn registers(ctx: &TracePointContext) -> u64 {
    // SAFETY: volatile, for the value in the object is not the value at run time.
    if unsafe { (&raw const HAS_TASK_PT_REGS).read_volatile() } != 0 {
        // SAFETY: the helper takes the current task.
        return unsafe { bpf_task_pt_regs(bpf_get_current_task_btf()) as u64 };
    }
    read(ctx.as_ptr() as u64).unwrap_or(0)
}

/// An argument of the call, by its index: 0, 1 or 2.
#[inline(always)]
fn argument(registers: u64, index: usize) -> u64 {
    // SAFETY: the index is one of three. Volatile, as in `registers`.
    let offset = unsafe {
        (&raw const ARGUMENT_REGISTERS)
            .cast::<u32>()
            .add(index)
            .read_volatile()
    };
    read(registers + offset as u64).unwrap_or(0)
}

/// Start of the process that a task belongs to; 0 when this kernel does not tell.
#[inline(always)]
fn start_ns(task: u64) -> u64 {
    if !has([Member::TaskGroupLeader, Member::TaskStartBoottime]) {
        return 0;
    }
    let leader: u64 = read(task + offset(Member::TaskGroupLeader)).unwrap_or(0);
    read(leader + offset(Member::TaskStartBoottime)).unwrap_or(0)
}

/// Thread group and start of the process that is the parent; zeros when this kernel does not tell.
#[inline(always)]
fn parent(task: u64) -> (u32, u64) {
    if !has([Member::TaskRealParent, Member::TaskTgid]) {
        return (0, 0);
    }
    let parent: u64 = read(task + offset(Member::TaskRealParent)).unwrap_or(0);
    let tgid = read(parent + offset(Member::TaskTgid)).unwrap_or(0);
    (tgid, start_ns(parent))
}

/// Login uid or audit session of a task; `u32::MAX` when unset or unknown.
#[inline(always)]
fn audit_id(task: u64, member: Member) -> u32 {
    if !has([member]) {
        return u32::MAX;
    }
    read(task + offset(member)).unwrap_or(u32::MAX)
}

/// Adds one to a counter. By an instruction that cannot be torn: two programs count here, and on some
/// kernels one may interrupt the other.
#[inline(always)]
fn count(counter: Counter) {
    if let Some(value) = COUNTERS.get_ptr_mut(counter as u32) {
        add(value, 1);
    }
}
