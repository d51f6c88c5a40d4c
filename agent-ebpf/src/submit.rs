//! How an assembled exec record reaches the agent: by which ring, and what is counted.

use aya_ebpf::{helpers::generated::bpf_ringbuf_output, maps::PerCpuArray};
use wallwatch_common::{Counter, NAME_KEY_BYTES, SCRATCH_BYTES};

use crate::maps::{BULK, URGENT, URGENT_NAMES, count};

/// Sends `scratch[..bytes]`. An urgent record that finds its ring full goes the bulk way: the choice
/// of a ring never drops a record.
#[inline(always)]
pub(crate) fn submit(counters: &PerCpuArray<u64>, scratch: *mut u8, bytes: usize, urgent: bool) {
    if bytes > SCRATCH_BYTES {
        return;
    }
    if urgent {
        // SAFETY: the verifier checks that `bytes` lie within the scratch.
        let status = unsafe {
            bpf_ringbuf_output(
                (&raw const URGENT).cast_mut().cast(),
                scratch.cast(),
                bytes as u64,
                0,
            )
        };
        if status == 0 {
            count(counters, Counter::ExecUrgent);
            return;
        }
        count(counters, Counter::UrgentFull);
    }
    // SAFETY: the verifier checks that `bytes` lie within the scratch.
    let status = unsafe {
        bpf_ringbuf_output(
            (&raw const BULK).cast_mut().cast(),
            scratch.cast(),
            bytes as u64,
            0,
        )
    };
    let outcome = if status == 0 {
        Counter::ExecBulk
    } else {
        Counter::ExecDropped
    };
    count(counters, outcome);
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
