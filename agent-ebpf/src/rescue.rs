//! Execs that the kernel would skip.
//!
//! From Linux 7.0 a program on a tracepoint can be preempted. When another task then execs on the same
//! processor, the kernel does not enter the program a second time; it counts a recursion miss and goes
//! on. So the program is attached twice: the first leaves a mark, and the second, which runs next for
//! the same exec, takes over where the mark is missing.

use wallwatch_common::Member;

use crate::{
    maps::{TAKEN, TAKEN_SLOTS},
    task::load,
};

/// The first program has this exec.
///
/// # Safety
/// `task` is a task the verifier knows by type.
#[inline(always)]
pub(crate) unsafe fn take(task: *const u8) {
    // SAFETY: by the caller's promise.
    let (slot, mm) = unsafe { mark_of(task) };
    if let Some(taken) = TAKEN.get_ptr_mut(slot) {
        // SAFETY: the pointer is into the map, which outlives the program.
        unsafe { taken.write_volatile(mm) }
    }
}

/// Whether the first program has this exec; the mark is gone afterwards.
///
/// # Safety
/// `task` is a task the verifier knows by type.
#[inline(always)]
pub(crate) unsafe fn is_taken(task: *const u8) -> bool {
    // SAFETY: by the caller's promise.
    let (slot, mm) = unsafe { mark_of(task) };
    let Some(taken) = TAKEN.get_ptr_mut(slot) else {
        return false;
    };
    // SAFETY: the pointer is into the map, which outlives the program.
    let is_taken = unsafe { taken.read_volatile() } == mm;
    if is_taken {
        // SAFETY: as above.
        unsafe { taken.write_volatile(0) }
    }
    is_taken
}

/// Slot and value of an exec: each has a memory of its own, which no other living task has.
///
/// # Safety
/// `task` is a task the verifier knows by type.
#[inline(always)]
unsafe fn mark_of(task: *const u8) -> (u32, u64) {
    // SAFETY: by the caller's promise.
    let pid: u32 = unsafe { load(task, Member::TaskPid) };
    // SAFETY: by the caller's promise.
    let mm: u64 = unsafe { load(task, Member::TaskMm) };
    (pid % TAKEN_SLOTS, mm)
}
