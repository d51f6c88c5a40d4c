//! The command line: the only reader of user memory.

use aya_ebpf::{
    helpers::generated::bpf_probe_read_user, maps::PerCpuArray, programs::BtfTracePointContext,
};
use wallwatch_common::{
    ARGV_BYTES_MAX, ARGV_CHUNK_BYTES, ARGV_CHUNKS_PER_RUN, ArgvChunk, Counter, ExecFlags,
    ExecRecord, Member, RECORD_VERSION, RecordHeader, RecordKind, SCRATCH_BYTES,
    SECTIONS_BYTES_MAX,
};

use crate::{
    maps::{ARGV_REST, Lane, count},
    ring::{self, Class, Ring},
    task::load,
};

/// What was copied.
#[derive(Clone, Copy)]
pub(crate) struct Copied {
    /// Bytes in the scratch, at most [`ARGV_BYTES_MAX`].
    pub(crate) bytes: usize,
    /// Bytes of the whole command line.
    pub(crate) bytes_full: u64,
    /// Bits of [`ExecFlags`].
    pub(crate) flags: u32,
}

/// Copies `mm->arg_start..arg_end` to `scratch[at..]`. At `sched_process_exec` the new memory belongs
/// to the new program alone and nothing of it has run: nobody can change what is read here.
///
/// # Safety
/// `mm` is a `mm_struct` the verifier knows by type.
#[inline(always)]
pub(crate) unsafe fn copy(
    counters: &PerCpuArray<u64>,
    scratch: *mut u8,
    at: usize,
    mm: *const u8,
) -> Copied {
    // SAFETY: by the caller's promise.
    let start: u64 = unsafe { load(mm, Member::MmArgStart) };
    // SAFETY: by the caller's promise.
    let end: u64 = unsafe { load(mm, Member::MmArgEnd) };
    let bytes_full = end.saturating_sub(start);
    let mut copied = Copied {
        bytes: 0,
        bytes_full,
        flags: 0,
    };
    let mut bytes = bytes_full;
    if bytes > ARGV_BYTES_MAX as u64 {
        bytes = ARGV_BYTES_MAX as u64;
        copied.flags |= ExecFlags::ARGV_CONTINUED;
        count(counters, Counter::ArgvContinued);
    }
    if bytes == 0 {
        return copied;
    }
    // SAFETY: `at` is below `SECTIONS_BYTES_MAX`, and `ARGV_BYTES_MAX` bytes fit behind it.
    let target = unsafe { scratch.add(at & (SECTIONS_BYTES_MAX - 1)) };
    // SAFETY: the helper writes at most `bytes` bytes, or fails when a page is not present.
    let status = unsafe { bpf_probe_read_user(target.cast(), bytes as u32, start as *const _) };
    if status != 0 {
        copied.flags |= ExecFlags::ARGV_FAULT;
        count(counters, Counter::ArgvFault);
        return copied;
    }
    copied.bytes = bytes as usize;
    copied
}

/// What is left to send of a command line: two words of the scratch, behind all that a record can fill.
/// They carry it from one run of the program to the next.
#[derive(Clone, Copy)]
struct Rest(*mut u64);

const REST_AT: usize = SCRATCH_BYTES - 32;

impl Rest {
    #[inline(always)]
    fn of(scratch: *mut u8) -> Self {
        // SAFETY: the scratch is larger than `REST_AT`, which is a multiple of 8.
        Self(unsafe { scratch.add(REST_AT).cast() })
    }

    /// Where the next chunk begins in the new program's memory.
    #[inline(always)]
    fn next(self) -> u64 {
        // SAFETY: the memory has room for four words.
        unsafe { self.0.read_volatile() }
    }

    #[inline(always)]
    fn end(self) -> u64 {
        // SAFETY: as in `next`.
        unsafe { self.0.add(1).read_volatile() }
    }

    #[inline(always)]
    fn set(self, next: u64, end: u64) {
        // SAFETY: as in `next`.
        unsafe { self.0.write_volatile(next) };
        // SAFETY: as in `next`.
        unsafe { self.0.add(1).write_volatile(end) };
    }
}

/// Goes on with what [`copy`] left, in a program of its own. Does not return if that can be run.
///
/// # Safety
/// `mm` is a `mm_struct` the verifier knows by type.
#[inline(always)]
pub(crate) unsafe fn send_rest(
    ctx: &BtfTracePointContext,
    lane: &Lane,
    scratch: *mut u8,
    mm: *const u8,
) {
    // SAFETY: by the caller's promise.
    let start: u64 = unsafe { load(mm, Member::MmArgStart) };
    // SAFETY: by the caller's promise.
    let end: u64 = unsafe { load(mm, Member::MmArgEnd) };
    Rest::of(scratch).set(start + ARGV_BYTES_MAX as u64, end);
    call_rest(ctx, lane);
}

/// Sends some chunks, and calls itself for more.
#[inline(always)]
pub(crate) fn try_rest(ctx: &BtfTracePointContext, lane: &Lane) {
    let Some(scratch) = lane.scratch() else {
        return;
    };
    // SAFETY: the scratch still holds the head of the exec's record; this processor's runs of other
    // tasks use another.
    let record = unsafe { &*scratch.cast::<ExecRecord>() };
    let rest = Rest::of(scratch);
    let (mut next, end) = (rest.next(), rest.end());
    let mut n = 0;
    while n < ARGV_CHUNKS_PER_RUN {
        n += 1;
        if next >= end {
            return;
        }
        let mut bytes = end - next;
        if bytes > ARGV_CHUNK_BYTES as u64 {
            bytes = ARGV_CHUNK_BYTES as u64;
        }
        let offset = record.argv_bytes_full - (end - next);
        if !send_chunk(record, offset, next, bytes as u32) {
            count(lane.counters, Counter::ArgvBroken);
            return;
        }
        next += bytes;
    }
    if next < end {
        rest.set(next, end);
        call_rest(ctx, lane);
    }
}

/// Copies one chunk straight into the ring. `false` when there is no room, or the memory is away.
#[inline(always)]
fn send_chunk(record: &ExecRecord, offset: u64, from: u64, bytes: u32) -> bool {
    let share = record.header.share;
    let Some(mut entry) = ring::reserve::<ArgvChunk>(Ring::Bulk, share, Class::Exec) else {
        return false;
    };
    let chunk = entry.as_mut_ptr();
    // SAFETY: the ring gave the memory of a whole chunk.
    let status = unsafe {
        (&raw mut (*chunk).header).write(RecordHeader {
            time_ns: record.header.time_ns,
            bytes: size_of::<ArgvChunk>() as u32,
            kind: RecordKind::ArgvChunk as u8,
            version: RECORD_VERSION,
            share,
        });
        (&raw mut (*chunk).offset).write(offset);
        (&raw mut (*chunk).tgid).write(record.tgid);
        (&raw mut (*chunk).bytes).write(bytes);
        bpf_probe_read_user((&raw mut (*chunk).argv).cast(), bytes, from as *const _)
    };
    if status != 0 {
        entry.discard(0);
        ring::refund(Ring::Bulk, size_of::<ArgvChunk>(), share);
        return false;
    }
    entry.submit(0);
    true
}

/// Comes back only if the program cannot be called.
#[inline(always)]
fn call_rest(ctx: &BtfTracePointContext, lane: &Lane) {
    // SAFETY: the agent puts only the program of this lane there.
    unsafe { ARGV_REST.tail_call(ctx, lane.index) };
    count(lane.counters, Counter::ArgvBroken);
}
