//! Reads members of kernel structures, through the offsets that the agent resolved.

use core::mem::MaybeUninit;

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use wallwatch_common::{ABSENT, Member};

use crate::maps::OFFSETS;

/// Offset of a member in its structure. The verifier folds this into a constant and drops what
/// hangs on an absent member.
#[inline(always)]
pub(crate) fn offset(member: Member) -> u64 {
    // SAFETY: a member is an index of the array. Volatile, for the value in the object is not the
    // value at run time.
    let value = unsafe {
        (&raw const OFFSETS)
            .cast::<u32>()
            .add(member as usize)
            .read_volatile()
    };
    value as u64
}

/// Whether this kernel has all of `members`.
#[inline(always)]
pub(crate) fn has<const N: usize>(members: [Member; N]) -> bool {
    let mut all = true;
    let mut index = 0;
    while index < N {
        all &= offset(members[index]) != ABSENT as u64;
        index += 1;
    }
    all
}

/// Reads a member by a plain load. Only for pointers which the verifier knows by type: tracepoint
/// arguments and what plain loads from those give. The kernel turns a fault of such a load into 0.
///
/// # Safety
/// `base` points to the member's structure, or the verifier refuses the program.
#[inline(always)]
pub(crate) unsafe fn load<T: Copy>(base: *const u8, member: Member) -> T {
    // SAFETY: by the caller's promise and the verifier's check.
    unsafe {
        base.add(offset(member) as usize)
            .cast::<T>()
            .read_volatile()
    }
}

/// Reads `T` from any kernel address; `None` if that address cannot be read.
#[inline(always)]
pub(crate) fn read<T: Copy>(address: u64) -> Option<T> {
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: the helper writes `size_of::<T>()` bytes or fails, whatever the address.
    let status = unsafe {
        bpf_probe_read_kernel(
            value.as_mut_ptr().cast(),
            size_of::<T>() as u32,
            address as *const _,
        )
    };
    // SAFETY: on success every byte was written, and `T` is plain data.
    (status == 0).then(|| unsafe { value.assume_init() })
}

/// Start of the process that a task belongs to, in nanoseconds of `CLOCK_BOOTTIME`.
///
/// # Safety
/// `task` is a task the verifier knows by type.
#[inline(always)]
pub(crate) unsafe fn process_start(task: *const u8) -> u64 {
    // SAFETY: by the caller's promise.
    let leader: *const u8 = unsafe { load(task, Member::TaskGroupLeader) };
    // SAFETY: a plain load gave the pointer.
    unsafe { load(leader, Member::TaskStartBoottime) }
}

/// Audit session of a task; `u32::MAX` when unset or unknown.
///
/// # Safety
/// `task` is a task the verifier knows by type.
#[inline(always)]
pub(crate) unsafe fn session_id(task: *const u8) -> u32 {
    if !has([Member::TaskSessionid]) {
        return u32::MAX;
    }
    // SAFETY: by the caller's promise.
    unsafe { load(task, Member::TaskSessionid) }
}
