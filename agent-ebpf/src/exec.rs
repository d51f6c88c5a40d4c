//! The exec record, at `sched_process_exec`: after the new image is in place and before it runs.

use aya_ebpf::{
    helpers::generated::{
        bpf_get_current_cgroup_id, bpf_ktime_get_boot_ns, bpf_probe_read_kernel_str,
    },
    programs::BtfTracePointContext,
};
use aya_log_ebpf::debug;
use wallwatch_common::{
    Counter, ExecFlags, ExecRecord, FILENAME_BYTES_MAX, INTERP_BYTES_MAX, Member, PATH_STEPS,
    PathState, RECORD_VERSION, RecordHeader, RecordKind, SECTIONS_BYTES_MAX,
};

use crate::{
    argv, cgroup, file,
    maps::{EXEC_END, FIRST, Lane, RESCUE, count, cpu},
    parent::Parent,
    path::{self, Walk},
    rescue,
    ring::{is_urgent, share_of, submit},
    task::{has, load, offset, process_start, read, session_id},
};

/// Gathers and sends the record of the exec that `ctx` tells of.
#[inline(always)]
pub(crate) fn try_exec(ctx: &BtfTracePointContext) {
    // SAFETY: the first argument of the tracepoint is the task.
    unsafe { rescue::take(ctx.arg(0)) };
    let sequence = count(FIRST.counters, Counter::ExecSeen);
    gather(ctx, &FIRST, sequence);
}

/// The same for an exec that the first program was not run for.
#[inline(always)]
pub(crate) fn try_rescue(ctx: &BtfTracePointContext) {
    // SAFETY: the first argument of the tracepoint is the task.
    if unsafe { rescue::is_taken(ctx.arg(0)) } {
        return;
    }
    let sequence = count(RESCUE.counters, Counter::ExecRescued);
    gather(ctx, &RESCUE, sequence);
}

#[inline(always)]
fn gather(ctx: &BtfTracePointContext, lane: &Lane, sequence: u64) {
    let counters = lane.counters;
    let Some(scratch) = lane.scratch() else {
        count(counters, Counter::ExecNoScratch);
        return;
    };
    // Arguments of the tracepoint: the task, its thread id before the exec, the binprm.
    let task: *const u8 = ctx.arg(0);
    let old_tid: u32 = ctx.arg(1);
    let binprm: *const u8 = ctx.arg(2);

    // SAFETY: the scratch is larger than the record's head and aligned for it; until the next run on
    // this processor, which cannot begin before this one ends, it is ours.
    let record = unsafe { &mut *scratch.cast::<ExecRecord>() };
    // SAFETY: `task` is an argument of the tracepoint.
    let parent: *const u8 = unsafe { load(task, Member::TaskRealParent) };
    // SAFETY: `task` is an argument of the tracepoint, and a plain load from it gave `parent`.
    unsafe {
        identify(
            record,
            task,
            parent,
            bpf_get_current_cgroup_id(),
            bpf_ktime_get_boot_ns(),
        )
    };
    Parent::of(scratch).identify(parent as u64);
    record.tid = old_tid;
    record.sequence = sequence;
    record.cpu = cpu() as u16;
    record.lane = lane.index as u8;

    let mut at = size_of::<ExecRecord>();
    // SAFETY: `binprm` is an argument of the tracepoint.
    at = unsafe { file_names(record, scratch, at, binprm) };

    // SAFETY: `binprm` is an argument of the tracepoint.
    let exe_file: *const u8 = unsafe { load(binprm, Member::BinprmFile) };
    // SAFETY: a plain load from the binprm gave the file.
    unsafe { file::describe(record, exe_file) };
    at &= SECTIONS_BYTES_MAX - 1;
    // SAFETY: a plain load from the binprm gave the file.
    let exe = unsafe { Walk::begin(scratch, at, exe_file) };
    call_end(ctx, lane);
    // That cannot happen; still the exec is told of, without its paths.
    exe.set_state(PathState::Unsupported);
    settle_exe(record, exe);
    record.parent_path_bytes = 0;
    record.parent_state = PathState::Unsupported as u8;
    // SAFETY: `task` is an argument of the tracepoint.
    unsafe { finish(ctx, lane, record, scratch, task) };
}

/// The end of an exec's record, in a program of its own: both paths, one after the other, as many steps at a
/// time as the verifier takes, then argv. With it in the first program, the verifier would check each path
/// once for each end of what comes before.
#[inline(always)]
pub(crate) fn try_end(ctx: &BtfTracePointContext, lane: &Lane) {
    let Some(scratch) = lane.scratch() else {
        return;
    };
    let task: *const u8 = ctx.arg(0);
    // SAFETY: as in `gather`; this is still the same run on this processor.
    let record = unsafe { &mut *scratch.cast::<ExecRecord>() };
    let walk = Walk::of(scratch);
    path::go_on::<PATH_STEPS>(walk, scratch);
    if walk.is_out_of_steps() {
        call_end(ctx, lane);
    }
    if record.exe_state == PathState::Pending as u8 {
        settle_exe(record, walk);
        // SAFETY: `task` is an argument of the tracepoint.
        unsafe { begin_parent(record, scratch, walk.end(), task) };
        call_end(ctx, lane);
    }
    // SAFETY: `task` is an argument of the tracepoint.
    unsafe { settle_parent(record, scratch, walk, task) };
    // SAFETY: `task` is an argument of the tracepoint.
    unsafe { finish(ctx, lane, record, scratch, task) };
}

/// Comes back only if the program cannot be called: after 32 calls, with a path that is unfinished.
#[inline(always)]
fn call_end(ctx: &BtfTracePointContext, lane: &Lane) {
    // SAFETY: the agent puts only the program of this lane there.
    unsafe { EXEC_END.tail_call(ctx, lane.index) };
}

/// Enters what the walk of the new program's path found.
#[inline(always)]
pub(crate) fn settle_exe(record: &mut ExecRecord, walk: Walk) {
    record.exe_path_bytes = (walk.end() - walk.at()) as u32;
    record.exe_state = walk.state();
    record.flags |=
        bit(walk.deleted(), ExecFlags::EXE_DELETED) | bit(walk.pseudo(), ExecFlags::EXE_PSEUDO);
}

/// What is left when both paths are settled: argv, and the way to the agent.
///
/// # Safety
/// `task` is the tracepoint's.
#[inline(always)]
unsafe fn finish(
    ctx: &BtfTracePointContext,
    lane: &Lane,
    record: &mut ExecRecord,
    scratch: *mut u8,
    task: *const u8,
) {
    let counters = lane.counters;
    for (state, whose, counter) in [
        (record.exe_state, 0, Counter::ExePathUnknown),
        (record.parent_state, 1, Counter::ParentPathUnknown),
    ] {
        if state != PathState::Known as u8 {
            count(counters, counter);
            debug!(
                ctx,
                "path {} of process {} is unknown: {}", whose, record.tgid, state
            );
        }
    }
    if cgroup::is_new(scratch, record.cgroup_id) {
        // SAFETY: by the caller's promise.
        unsafe { cgroup::send(lane, scratch, task) };
    }
    let at = Walk::of(scratch).end();
    // SAFETY: by the caller's promise.
    let mm: *const u8 = unsafe { load(task, Member::TaskMm) };
    // SAFETY: a plain load from the task gave `mm`.
    let copied = unsafe { argv::copy(counters, scratch, at, mm) };
    record.argv_bytes_full = copied.bytes_full;
    record.argv_bytes = copied.bytes as u32;
    // SAFETY: by the caller's promise.
    record.flags |= copied.flags | unsafe { null_outputs(task) };
    let bytes = at + copied.bytes;
    record.header.bytes = bytes as u32;

    let removed = record.flags & (ExecFlags::EXE_DELETED | ExecFlags::EXE_PSEUDO) != 0;
    let exe_at = size_of::<ExecRecord>() + (record.filename_bytes + record.interp_bytes) as usize;
    // SAFETY: the mask keeps it below `SECTIONS_BYTES_MAX`, and the scratch goes on after that.
    let urgent = removed || unsafe { is_urgent(scratch.add(exe_at & (SECTIONS_BYTES_MAX - 1))) };
    submit(lane, scratch, bytes, urgent);
    if copied.flags & ExecFlags::ARGV_CONTINUED != 0 {
        // SAFETY: a plain load from the task gave `mm`.
        unsafe { argv::send_rest(ctx, lane, scratch, mm) };
    }
}

#[inline(always)]
fn bit(set: bool, flag: u32) -> u32 {
    if set { flag } else { 0 }
}

/// Who: identifiers, credentials, namespaces, comm.
///
/// # Safety
/// `task` and `parent` are tasks the verifier knows by type.
#[inline(always)]
pub(crate) unsafe fn identify(
    record: &mut ExecRecord,
    task: *const u8,
    parent: *const u8,
    cgroup_id: u64,
    time_ns: u64,
) {
    record.header = RecordHeader {
        time_ns,
        bytes: 0,
        kind: RecordKind::Exec as u8,
        version: RECORD_VERSION,
        share: 0,
    };
    // SAFETY: every load below is from the task, or from a pointer that a plain load gave.
    unsafe {
        record.start_ns = process_start(task);
        record.tgid = load(task, Member::TaskTgid);
        record.parent_tgid = load(parent, Member::TaskTgid);
        record.parent_start_ns = process_start(parent);
        let cred: *const u8 = load(task, Member::TaskCred);
        record.uid = load(cred, Member::CredUid);
        record.gid = load(cred, Member::CredGid);
        record.euid = load(cred, Member::CredEuid);
        record.login_uid = u32::MAX;
        if has([Member::TaskLoginuid]) {
            record.login_uid = load(task, Member::TaskLoginuid);
        }
        record.session_id = session_id(task);
        record.flags = 0;
        record.cap_effective = 0;
        if has([Member::CredCapEffective]) {
            record.cap_effective = load(cred, Member::CredCapEffective);
            record.flags |= ExecFlags::CAPABILITIES;
        }
        record.user_ns = 0;
        if has([Member::CredUserNs, Member::UserNsInum]) {
            let user_ns: *const u8 = load(cred, Member::CredUserNs);
            record.user_ns = load(user_ns, Member::UserNsInum);
        }
        let comm: [u64; 2] = [
            load(task, Member::TaskComm),
            task.add(offset(Member::TaskComm) as usize + 8)
                .cast::<u64>()
                .read_volatile(),
        ];
        record.comm = core::mem::transmute::<[u64; 2], [u8; 16]>(comm);
    }
    record.cgroup_id = cgroup_id;
    record.header.share = share_of(record.cgroup_id, record.session_id);
    record.padding = 0;
    // SAFETY: `task` is known by type.
    record.tty = unsafe { controlling_tty(task) };
    record.exe_state = PathState::Pending as u8;
    record.parent_inode = 0;
    record.parent_device = 0;
    // SAFETY: `task` is known by type.
    unsafe { namespaces(record, task) };
}

/// Device of the controlling terminal, as `tty_devnum` (`include/linux/tty.h`) puts it together; 0 when there
/// is none. The terminal is not held: one that is given up at this moment may be told wrongly.
///
/// # Safety
/// `task` is a task the verifier knows by type.
#[inline(always)]
unsafe fn controlling_tty(task: *const u8) -> u32 {
    if !has([
        Member::SignalTty,
        Member::TtyDriver,
        Member::TtyIndex,
        Member::TtyDriverMajor,
        Member::TtyDriverMinorStart,
    ]) {
        return u32::MAX;
    }
    // SAFETY: by the caller's promise, and a plain load gave the second pointer.
    let tty = unsafe {
        let signal: *const u8 = load(task, Member::TaskSignal);
        load::<u64>(signal, Member::SignalTty)
    };
    if tty == 0 {
        return 0;
    }
    device_of(tty).unwrap_or(u32::MAX)
}

/// `MKDEV` of the terminal at that address.
#[inline(always)]
fn device_of(tty: u64) -> Option<u32> {
    let index: u32 = read(tty + offset(Member::TtyIndex))?;
    let driver: u64 = read(tty + offset(Member::TtyDriver))?;
    let major: u32 = read(driver + offset(Member::TtyDriverMajor))?;
    let minor_start: u32 = read(driver + offset(Member::TtyDriverMinorStart))?;
    Some((major << 20) | (minor_start.wrapping_add(index) & 0xf_ffff))
}

/// # Safety
/// `task` is a task the verifier knows by type.
#[inline(always)]
unsafe fn namespaces(record: &mut ExecRecord, task: *const u8) {
    record.mount_ns = 0;
    record.net_ns = 0;
    record.pid_ns = 0;
    // SAFETY: every load below is from the task, or from a pointer that a plain load gave.
    unsafe {
        if has([Member::TaskNsproxy, Member::NsproxyMnt, Member::MntNsInum]) {
            let nsproxy: *const u8 = load(task, Member::TaskNsproxy);
            let mount_ns: *const u8 = load(nsproxy, Member::NsproxyMnt);
            record.mount_ns = load(mount_ns, Member::MntNsInum);
        }
        if has([Member::TaskNsproxy, Member::NsproxyNet, Member::NetNsInum]) {
            let nsproxy: *const u8 = load(task, Member::TaskNsproxy);
            let net_ns: *const u8 = load(nsproxy, Member::NsproxyNet);
            record.net_ns = load(net_ns, Member::NetNsInum);
        }
        if has([
            Member::TaskThreadPid,
            Member::PidLevel,
            Member::PidNumbers,
            Member::UpidNs,
            Member::UpidBytes,
            Member::PidNsInum,
        ]) {
            record.pid_ns = active_pid_ns(task).unwrap_or(0);
        }
    }
}

/// The namespace in which the task has its innermost number (`task_active_pid_ns`, `kernel/pid.c`);
/// nsproxy's is that of its future children. Below the first level by the helper: before Linux 5.12 the
/// verifier lets nobody add a variable to a pointer of a known type.
///
/// # Safety
/// `task` is a task the verifier knows by type.
#[inline(always)]
unsafe fn active_pid_ns(task: *const u8) -> Option<u32> {
    /// `PROC_PID_INIT_INO`, `include/linux/proc_ns.h`.
    const INITIAL: u32 = 0xefff_fffc;
    // SAFETY: by the caller's promise, and a plain load gave the pointer.
    let level: u32 = unsafe {
        let pid: *const u8 = load(task, Member::TaskThreadPid);
        load(pid, Member::PidLevel)
    };
    if level == 0 {
        return Some(INITIAL);
    }
    let pid = read::<u64>(task as u64 + offset(Member::TaskThreadPid))?;
    let upid = pid + offset(Member::PidNumbers) + level as u64 * offset(Member::UpidBytes);
    let pid_ns = read::<u64>(upid + offset(Member::UpidNs))?;
    read(pid_ns + offset(Member::PidNsInum))
}

/// Copies the names which `execve` was given: the file's and, for a script, the interpreter's.
/// Returns where they end.
///
/// # Safety
/// `binprm` is a `linux_binprm` the verifier knows by type.
#[inline(always)]
unsafe fn file_names(
    record: &mut ExecRecord,
    scratch: *mut u8,
    at: usize,
    binprm: *const u8,
) -> usize {
    // SAFETY: by the caller's promise.
    let filename: *const u8 = unsafe { load(binprm, Member::BinprmFilename) };
    // SAFETY: by the caller's promise.
    let interp: *const u8 = unsafe { load(binprm, Member::BinprmInterp) };
    let filename_end = copy_string::<FILENAME_BYTES_MAX>(scratch, at, filename as u64);
    record.filename_bytes = (filename_end - at) as u32;
    record.interp_bytes = 0;
    if interp == filename {
        return filename_end;
    }
    record.flags |= ExecFlags::SCRIPT;
    let interp_end = copy_string::<INTERP_BYTES_MAX>(scratch, filename_end, interp as u64);
    record.interp_bytes = (interp_end - filename_end) as u32;
    interp_end
}

/// Copies a kernel string of at most `MAX` bytes, NUL included; returns where it ends.
#[inline(always)]
fn copy_string<const MAX: usize>(scratch: *mut u8, at: usize, string: u64) -> usize {
    let at = at & (SECTIONS_BYTES_MAX - 1);
    // SAFETY: `at` is below `SECTIONS_BYTES_MAX`, and the scratch goes on for longer than `MAX` after
    // that.
    let target = unsafe { scratch.add(at) };
    // SAFETY: the helper writes at most `MAX` bytes, or fails.
    let length =
        unsafe { bpf_probe_read_kernel_str(target.cast(), MAX as u32, string as *const _) };
    if length <= 0 {
        return at;
    }
    at + (length as usize & (2 * MAX - 1))
}

/// Begins the walk of the parent's path. Nothing pins the parent, its memory or its file during the walk;
/// [`settle_parent`] looks whether they are still the same.
///
/// # Safety
/// `task` is the tracepoint's.
#[inline(always)]
unsafe fn begin_parent(record: &mut ExecRecord, scratch: *mut u8, at: usize, task: *const u8) {
    // SAFETY: by the caller's promise.
    let seen = unsafe { Parent::load(task) };
    Parent::of(scratch).keep(seen);
    if seen.file == 0 {
        Walk::none(scratch, at, PathState::Absent);
        return;
    }
    // SAFETY: plain loads gave the file.
    (record.parent_inode, record.parent_device) = unsafe { file::identity(seen.file as *const u8) };
    // SAFETY: as above.
    unsafe { Walk::begin(scratch, at, seen.file as *const u8) };
}

/// Enters what the walk of the parent's path found. If the parent is not the one whose id the record has, or
/// its memory or its executable is another by now, the path is unknown.
///
/// # Safety
/// `task` is the tracepoint's.
#[inline(always)]
unsafe fn settle_parent(record: &mut ExecRecord, scratch: *mut u8, walk: Walk, task: *const u8) {
    // SAFETY: by the caller's promise.
    let now = unsafe { Parent::load(task) };
    if !Parent::of(scratch).is(now) || now.task != Parent::of(scratch).identified() {
        walk.set_state(PathState::Changed);
    }
    record.parent_path_bytes = (walk.end() - walk.at()) as u32;
    record.parent_state = walk.state();
    record.flags |= bit(walk.deleted(), ExecFlags::PARENT_DELETED)
        | bit(walk.pseudo(), ExecFlags::PARENT_PSEUDO);
}

/// Which of the file descriptors 1 and 2 are `/dev/null`, as bits of [`ExecFlags`].
///
/// # Safety
/// `task` is a task the verifier knows by type.
#[inline(always)]
unsafe fn null_outputs(task: *const u8) -> u32 {
    if !has([
        Member::TaskFiles,
        Member::FilesFdt,
        Member::FdtableMaxFds,
        Member::FdtableFd,
        Member::FileInode,
        Member::InodeRdev,
        Member::InodeMode,
    ]) {
        return 0;
    }
    // SAFETY: by the caller's promise.
    let files: *const u8 = unsafe { load(task, Member::TaskFiles) };
    // SAFETY: a plain load gave the pointer.
    let fdt: *const u8 = unsafe { load(files, Member::FilesFdt) };
    // SAFETY: a plain load gave the pointer.
    let max_fds: u32 = unsafe { load(fdt, Member::FdtableMaxFds) };
    if max_fds < 3 {
        return 0;
    }
    let Some(array) = read::<u64>(fdt as u64 + offset(Member::FdtableFd)) else {
        return 0;
    };
    let Some([stdout, stderr]) = read::<[u64; 2]>(array + 8) else {
        return 0;
    };
    bit(is_null_device(stdout), ExecFlags::STDOUT_NULL)
        | bit(
            (stderr == stdout && is_null_device(stdout)) || is_null_device(stderr),
            ExecFlags::STDERR_NULL,
        )
}

/// Whether an open file is character device 1:3.
#[inline(always)]
fn is_null_device(file: u64) -> bool {
    const S_IFMT: u16 = 0o170_000;
    const S_IFCHR: u16 = 0o020_000;
    /// `MKDEV(1, 3)`, `include/linux/kdev_t.h`.
    const NULL_DEVICE: u32 = 1 << 20 | 3;
    if file == 0 {
        return false;
    }
    let Some(inode) = read::<u64>(file + offset(Member::FileInode)) else {
        return false;
    };
    read::<u32>(inode + offset(Member::InodeRdev)) == Some(NULL_DEVICE)
        && read::<u16>(inode + offset(Member::InodeMode))
            .is_some_and(|mode| mode & S_IFMT == S_IFCHR)
}
