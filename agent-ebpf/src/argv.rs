//! The command line: the only reader of user memory.

use aya_ebpf::{helpers::generated::bpf_probe_read_user, maps::PerCpuArray};
use wallwatch_common::{ARGV_BYTES_MAX, Counter, ExecFlags, Member, SECTIONS_BYTES_MAX};

use crate::{maps::count, task::load};

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
        copied.flags |= ExecFlags::ARGV_TRUNCATED;
        count(counters, Counter::ArgvTruncated);
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
