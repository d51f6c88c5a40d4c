//! Every map, its size, and why that size.

use aya_ebpf::{
    helpers::bpf_get_smp_processor_id,
    macros::map,
    maps::{Array, HashMap, PerCpuArray, ProgramArray, RingBuf},
};
use wallwatch_common::{Counter, Member, NAME_KEY_BYTES, SCRATCH_BYTES};

/// All records but the urgent. The agent sets the size at load; 4 MiB hold more than a second of a
/// stopped agent at 18,000 execs a second.
#[map]
pub(crate) static BULK: RingBuf = RingBuf::with_byte_size(4 << 20, 0);

/// Execs that may be firewall work, which wake the agent at once. The agent sets the size at load.
#[map]
pub(crate) static URGENT: RingBuf = RingBuf::with_byte_size(512 << 10, 0);

/// Which executables are urgent: leading letters of their basename. Filled by the agent at start.
#[map]
pub(crate) static URGENT_NAMES: HashMap<[u8; NAME_KEY_BYTES], u8> =
    HashMap::with_max_entries(256, 0);

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
        // SAFETY: the helper has no preconditions.
        let cpu = unsafe { bpf_get_smp_processor_id() };
        Some(self.scratches.get_ptr_mut(cpu as u32)?.cast())
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

/// Adds one to a counter of this processor. A plain addition: no two programs that can preempt each other
/// count in the same map, and a program that is entered again is skipped by the kernel.
#[inline(always)]
pub(crate) fn count(counters: &PerCpuArray<u64>, counter: Counter) {
    if let Some(value) = counters.get_ptr_mut(counter as u32) {
        // SAFETY: the pointer is to this processor's own value, which lives as long as the map.
        unsafe { *value += 1 }
    }
}
