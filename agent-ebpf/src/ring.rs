//! How records reach the agent: which ring, and what gives way when one fills up.
//!
//! A ring that is at most half full takes everything. Beyond that nobody may hold more than half of it, so
//! that one storm cannot crowd out everybody else; and what cannot be firewall work goes first: forks,
//! ends of processes and execs that failed from three quarters on, execs of other than urgent names in the last eighth. Who holds
//! how much is the difference of two counters: the programs count what they put in, the agent what it took
//! out.

use aya_ebpf::helpers::generated::{bpf_ringbuf_output, bpf_ringbuf_query};
use aya_ebpf::maps::RingBuf;
use wallwatch_common::{Counter, ExecRecord, NAME_KEY_BYTES, SCRATCH_BYTES, SHARES};

use crate::maps::{
    BULK, GIVEN, LOST, Lane, RING_BYTES, TAKEN_OUT, URGENT, URGENT_NAMES, add, count,
};

/// The two rings, by their index in the maps.
#[derive(Clone, Copy)]
pub(crate) enum Ring {
    Bulk = 0,
    Urgent = 1,
}

/// What a record is worth when the ring fills up.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// A fork, the end of a process, or an exec that failed.
    Lineage,
    /// An exec of a name that is not urgent.
    Exec,
    /// An exec that may be firewall work.
    Urgent,
}

/// What became of a record.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Sent,
    /// The ring was too full for its class.
    Pressure,
    /// Its share held half of the ring.
    Share,
    /// The ring was full.
    Full,
}

impl Outcome {
    #[inline(always)]
    pub(crate) fn is_sent(self) -> bool {
        self == Self::Sent
    }
}

impl Ring {
    #[inline(always)]
    fn map(self) -> *mut core::ffi::c_void {
        match self {
            Self::Bulk => (&raw const BULK).cast_mut().cast(),
            Self::Urgent => (&raw const URGENT).cast_mut().cast(),
        }
    }

    /// Its size, which the agent wrote before the load.
    #[inline(always)]
    fn bytes(self) -> u64 {
        // SAFETY: the index is one of two. Volatile, for the value in the object is not the value at run
        // time.
        unsafe {
            (&raw const RING_BYTES)
                .cast::<u64>()
                .add(self as usize)
                .read_volatile()
        }
    }
}

/// Where the counters of a share stand in the maps.
#[inline(always)]
fn slot(ring: Ring, share: u16) -> u32 {
    ring as u32 * SHARES as u32 + (share as u32 & (SHARES as u32 - 1))
}

/// What a record takes in the ring: a head of 8 bytes, and all rounded up to 8
/// (`BPF_RINGBUF_HDR_SZ`, `kernel/bpf/ringbuf.c`).
#[inline(always)]
fn room_for(bytes: usize) -> u64 {
    (bytes as u64 + 15) & !7
}

/// Whether a ring takes a record of that class and share.
#[inline(always)]
pub(crate) fn admit(ring: Ring, bytes: usize, share: u16, class: Class) -> Outcome {
    const BPF_RB_AVAIL_DATA: u64 = 0;
    let size = ring.bytes();
    // SAFETY: the helper only reads the ring.
    let held_by_all = unsafe { bpf_ringbuf_query(ring.map(), BPF_RB_AVAIL_DATA) };
    let used = held_by_all + room_for(bytes);
    if used <= size / 2 {
        return Outcome::Sent;
    }
    let bound = match class {
        Class::Lineage => size / 4 * 3,
        Class::Exec => size / 8 * 7,
        Class::Urgent => size,
    };
    if used > bound {
        return if let Class::Urgent = class {
            Outcome::Full
        } else {
            Outcome::Pressure
        };
    }
    let slot = slot(ring, share);
    let (Some(given), Some(taken)) = (GIVEN.get(slot), TAKEN_OUT.get(slot)) else {
        return Outcome::Sent;
    };
    // SAFETY: the agent writes there; a value that is late only makes the share look larger.
    let taken = unsafe { (taken as *const u64).read_volatile() };
    if given.wrapping_sub(taken) + room_for(bytes) > size / 2 {
        return Outcome::Share;
    }
    Outcome::Sent
}

/// Charges a record to its share, before it is sent: the agent must never have taken out more than was charged.
#[inline(always)]
fn charge(ring: Ring, bytes: usize, share: u16) {
    if let Some(given) = GIVEN.get_ptr_mut(slot(ring, share)) {
        add(given, room_for(bytes));
    }
}

/// Takes back the charge for a record that was not sent.
#[inline(always)]
pub(crate) fn refund(ring: Ring, bytes: usize, share: u16) {
    if let Some(given) = GIVEN.get_ptr_mut(slot(ring, share)) {
        add(given, 0u64.wrapping_sub(room_for(bytes)));
    }
}

/// Reserves room for a record of fixed size in a ring, if it is admitted.
#[inline(always)]
pub(crate) fn reserve<T: 'static>(
    ring: Ring,
    share: u16,
    class: Class,
) -> Option<aya_ebpf::maps::ring_buf::RingBufEntry<T>> {
    if !admit(ring, size_of::<T>(), share, class).is_sent() {
        return None;
    }
    charge(ring, size_of::<T>(), share);
    let entry = match ring {
        Ring::Bulk => RingBuf::reserve::<T>(&BULK, 0),
        Ring::Urgent => RingBuf::reserve::<T>(&URGENT, 0),
    };
    if entry.is_none() {
        refund(ring, size_of::<T>(), share);
    }
    entry
}

/// Copies `bytes` from `at`, which is in a scratch, into a ring.
#[inline(always)]
pub(crate) fn output(ring: Ring, at: *mut u8, bytes: usize, share: u16, class: Class) -> Outcome {
    let admitted = admit(ring, bytes, share, class);
    if !admitted.is_sent() {
        return admitted;
    }
    charge(ring, bytes, share);
    // SAFETY: the verifier checks that `bytes` lie within the scratch.
    let status = unsafe { bpf_ringbuf_output(ring.map(), at.cast(), bytes as u64, 0) };
    if status != 0 {
        refund(ring, bytes, share);
        return Outcome::Full;
    }
    Outcome::Sent
}

/// Sends the exec record `scratch[..bytes]`. An urgent one that finds its ring full goes the bulk way: the
/// choice of a ring never drops a record.
#[inline(always)]
pub(crate) fn submit(lane: &Lane, scratch: *mut u8, bytes: usize, urgent: bool) {
    if bytes > SCRATCH_BYTES {
        return;
    }
    // SAFETY: the scratch holds the head of the exec's record.
    let record = unsafe { &*scratch.cast::<ExecRecord>() };
    let share = record.header.share;
    let mut class = Class::Exec;
    if urgent {
        class = Class::Urgent;
        if output(Ring::Urgent, scratch, bytes, share, class).is_sent() {
            count(lane.counters, Counter::ExecUrgent);
            return;
        }
        count(lane.counters, Counter::UrgentFull);
    }
    let counter = match output(Ring::Bulk, scratch, bytes, share, class) {
        Outcome::Sent => Counter::ExecBulk,
        Outcome::Pressure => Counter::ExecShedPressure,
        Outcome::Share => Counter::ExecShedShare,
        Outcome::Full => Counter::ExecDropped,
    };
    count(lane.counters, counter);
    if counter as u32 != Counter::ExecBulk as u32 {
        note_lost(record);
    }
}

/// Remembers whose record was lost, so that the agent can name them.
#[inline(always)]
fn note_lost(record: &ExecRecord) {
    let share = record.header.share as u32 & (SHARES as u32 - 1);
    let Some(lost) = LOST.get_ptr_mut(share) else {
        return;
    };
    // SAFETY: the pointer is into the map, which outlives the program. Two processors that lose at the same
    // moment may mix their execs here; only the count is exact.
    unsafe {
        (&raw mut (*lost).time_ns).write(record.header.time_ns);
        (&raw mut (*lost).cgroup_id).write(record.cgroup_id);
        (&raw mut (*lost).start_ns).write(record.start_ns);
        (&raw mut (*lost).parent_start_ns).write(record.parent_start_ns);
        (&raw mut (*lost).tgid).write(record.tgid);
        (&raw mut (*lost).parent_tgid).write(record.parent_tgid);
        (&raw mut (*lost).session_id).write(record.session_id);
        (&raw mut (*lost).uid).write(record.uid);
        add(&raw mut (*lost).count, 1);
    }
}

/// The share of a cgroup and an audit session: what a process cannot leave without the host's leave.
#[inline(always)]
pub(crate) fn share_of(cgroup_id: u64, session_id: u32) -> u16 {
    let mixed = cgroup_id ^ (session_id as u64).wrapping_mul(0x9e37_79b9);
    (mixed as u32 & (SHARES as u32 - 1)) as u16
}

/// Whether the map of urgent names has the leading letters of the name at `name`.
///
/// # Safety
/// `NAME_KEY_BYTES` bytes can be read at `name`.
#[inline(always)]
pub(crate) unsafe fn is_urgent(name: *const u8) -> bool {
    let mut key = [0u8; NAME_KEY_BYTES];
    let mut index = 0;
    while index < NAME_KEY_BYTES - 1 {
        // SAFETY: by the caller's promise. Volatile, so that the loop stays one of single bytes.
        let byte = unsafe { name.add(index).read_volatile() };
        if !byte.is_ascii_alphabetic() {
            break;
        }
        key[index] = byte;
        index += 1;
    }
    // SAFETY: the value is not used, so that a concurrent removal does no harm.
    unsafe { URGENT_NAMES.get(&key) }.is_some()
}
