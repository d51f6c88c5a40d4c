//! Every map, its size, and why that size.

use core::arch::asm;

use aya_ebpf::{
    bindings::BPF_F_MMAPABLE,
    helpers::bpf_get_smp_processor_id,
    macros::map,
    maps::{Array, HashMap, LruHashMap, PerCpuArray, ProgramArray, RingBuf},
};
use wallwatch_common::{
    CGROUPS_MAX, Counter, FAILED_SCRATCH_BYTES, LostExecs, Member, NAME_KEY_BYTES, SCRATCH_BYTES,
    SHARES,
};

/// All records but the urgent. The agent sets the size at load; 8 MiB hold a second of a stopped agent at
/// 18,000 execs a second, with their forks and ends.
#[map]
pub(crate) static BULK: RingBuf = RingBuf::with_byte_size(8 << 20, 0);

/// Execs that may be firewall work, which wake the agent at once. The agent sets the size at load.
#[map]
pub(crate) static URGENT: RingBuf = RingBuf::with_byte_size(512 << 10, 0);

/// Which executables are urgent: leading letters of their basename. Filled by the agent at start.
#[map]
pub(crate) static URGENT_NAMES: HashMap<[u8; NAME_KEY_BYTES], u8> =
    HashMap::with_max_entries(256, 0);

/// Bytes that each share has put into each ring, first the bulk ring's [`SHARES`], then the urgent ring's.
#[map]
pub(crate) static GIVEN: Array<u64> = Array::with_max_entries(2 * SHARES as u32, 0);

/// Bytes of each share that the agent has taken out, in the same order. The agent writes here through its
/// own mapping.
#[map]
pub(crate) static TAKEN_OUT: Array<u64> =
    Array::with_max_entries(2 * SHARES as u32, BPF_F_MMAPABLE);

/// The last exec record that each share lost.
#[map]
pub(crate) static LOST: Array<LostExecs> = Array::with_max_entries(SHARES as u32, BPF_F_MMAPABLE);

/// Sizes of the bulk and the urgent ring in bytes. Written by the agent before the load.
#[unsafe(no_mangle)]
pub(crate) static RING_BYTES: [u64; 2] = [0; 2];

/// Cgroups whose path has been sent.
#[map]
pub(crate) static CGROUPS: LruHashMap<u64, u8> = LruHashMap::with_max_entries(CGROUPS_MAX, 0);

#[map]
pub(crate) static COUNTERS: PerCpuArray<u64> =
    PerCpuArray::with_max_entries(Counter::COUNT as u32, 0);

/// Where one processor assembles an exec record. The alignment is that of the record's head.
#[repr(C, align(8))]
pub(crate) struct Scratch {
    bytes: [u8; SCRATCH_BYTES],
}

/// One scratch for each possible processor, whose number the agent sets at load. A plain array,
/// because a per-CPU value is capped at 32 KiB (`PCPU_MIN_UNIT_SIZE`, `mm/percpu.c`).
#[map]
pub(crate) static SCRATCH: Array<Scratch> = Array::with_max_entries(1, 0);

/// What the second exec program counts; the agent adds both.
#[map]
pub(crate) static COUNTERS_RESCUE: PerCpuArray<u64> =
    PerCpuArray::with_max_entries(Counter::COUNT as u32, 0);

/// The scratches of the second exec program.
#[map]
pub(crate) static SCRATCH_RESCUE: Array<Scratch> = Array::with_max_entries(1, 0);

/// Where the record of a running process is made. One, for one reader at a time.
#[map]
pub(crate) static LISTING_SCRATCH: Array<Scratch> = Array::with_max_entries(1, 0);

/// Where one processor assembles the record of a failed exec. The alignment is that of the record's head.
#[repr(C, align(8))]
pub(crate) struct FailedScratch {
    /// How many runs want it; see `failed.rs`.
    pub(crate) wanted: u64,
    /// Bytes of argv so far. Here, because the verifier forgets what it knew of a value that went through a
    /// map; in a register, each argument would double what it has to check.
    pub(crate) argv_bytes: u64,
    pub(crate) bytes: [u8; FAILED_SCRATCH_BYTES],
}

/// One for each possible processor, whose number the agent sets at load if failed execs are watched.
#[map]
pub(crate) static FAILED_SCRATCH: Array<FailedScratch> = Array::with_max_entries(1, 0);

/// Where the first three arguments of a system call stand in the registers that it was made with: offsets in
/// `struct pt_regs`, which are of the machine's architecture. Written by the agent before the load.
#[unsafe(no_mangle)]
pub(crate) static ARGUMENT_REGISTERS: [u32; 3] = [u32::MAX; 3];

/// Whether the kernel has the helper `bpf_task_pt_regs` (since Linux 5.15). Written by the agent before the
/// load.
#[unsafe(no_mangle)]
pub(crate) static HAS_TASK_PT_REGS: u8 = 0;

/// The programs that send what is left of a long command line, by [`Lane::index`].
#[map]
pub(crate) static ARGV_REST: ProgramArray = ProgramArray::with_max_entries(2, 0);

/// The programs that make the end of an exec's record, by [`Lane::index`].
#[map]
pub(crate) static EXEC_END: ProgramArray = ProgramArray::with_max_entries(2, 0);

/// What belongs to one of the two exec programs.
pub(crate) struct Lane {
    /// Of its programs in [`ARGV_REST`] and [`EXEC_END`].
    pub(crate) index: u32,
    pub(crate) counters: &'static PerCpuArray<u64>,
    scratches: &'static Array<Scratch>,
}

pub(crate) const FIRST: Lane = Lane {
    index: 0,
    counters: &COUNTERS,
    scratches: &SCRATCH,
};

pub(crate) const RESCUE: Lane = Lane {
    index: 1,
    counters: &COUNTERS_RESCUE,
    scratches: &SCRATCH_RESCUE,
};

impl Lane {
    /// This processor's scratch.
    #[inline(always)]
    pub(crate) fn scratch(&self) -> Option<*mut u8> {
        Some(self.scratches.get_ptr_mut(cpu())?.cast())
    }
}

/// Execs that the first program has taken, by thread; see `rescue.rs`.
#[map]
pub(crate) static TAKEN: Array<u64> = Array::with_max_entries(TAKEN_SLOTS, 0);

/// Two threads share a slot when their ids are that far apart.
pub(crate) const TAKEN_SLOTS: u32 = 4096;

/// Offsets of the kernel members, by [`Member`]. Written by the agent before the load; the map is
/// frozen then, so that the verifier knows each value.
#[unsafe(no_mangle)]
pub(crate) static OFFSETS: [u32; Member::COUNT] = [u32::MAX; Member::COUNT];

/// The processor that runs this.
#[inline(always)]
pub(crate) fn cpu() -> u32 {
    // SAFETY: the helper has no preconditions.
    unsafe { bpf_get_smp_processor_id() as u32 }
}

/// Adds one to a counter of this processor and gives its new value. A plain addition: no two programs that
/// can preempt each other count in the same map, and a program that is entered again is skipped by the kernel.
#[inline(always)]
pub(crate) fn count(counters: &PerCpuArray<u64>, counter: Counter) -> u64 {
    let Some(value) = counters.get_ptr_mut(counter as u32) else {
        return 0;
    };
    // SAFETY: the pointer is to this processor's own value, which lives as long as the map.
    unsafe {
        *value += 1;
        *value
    }
}

/// Adds to a value in a map that all processors share. The target has no compare-and-swap, so that Rust's
/// atomics lack this; the instruction is as old as eBPF.
#[inline(always)]
pub(crate) fn add(value: *mut u64, increment: u64) {
    // SAFETY: map values are aligned to 8 bytes and live as long as the map.
    unsafe { asm!("lock *(u64 *)({0} + 0) += {1}", in(reg) value, in(reg) increment) };
}
