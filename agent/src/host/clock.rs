//! The only reads of the clocks. Boot time and wall time are paired here and nowhere else.

use nix::time::{ClockId, clock_gettime};

use crate::pipeline::exec::Time;

/// Both clocks, now.
pub fn now() -> Time {
    Time {
        boot_ns: read(ClockId::CLOCK_BOOTTIME),
        wall_ns: read(ClockId::CLOCK_REALTIME),
    }
}

/// A moment of boot time on both clocks, by how they stand to each other now.
pub fn at(boot_ns: u64) -> Time {
    let wall_minus_boot_ns = wall_minus_boot_ns(now());
    Time {
        boot_ns,
        wall_ns: boot_ns.saturating_add_signed(wall_minus_boot_ns),
    }
}

/// What must be added to boot time to give wall time, at the moment `time`.
pub fn wall_minus_boot_ns(time: Time) -> i64 {
    // Nanoseconds since 1970 fit into an i64 until the year 2262.
    time.wall_ns as i64 - time.boot_ns as i64
}

/// `CLOCK_MONOTONIC`, in microseconds, which the service manager compares with its own.
pub fn monotonic_us() -> u64 {
    read(ClockId::CLOCK_MONOTONIC) / 1000
}

/// Whether something keeps the wall clock in step with the world (`STA_UNSYNC`, `adjtimex(2)`). `None`
/// where the question is refused, as in some containers.
pub fn is_synchronised() -> Option<bool> {
    // SAFETY: the structure is plain numbers, for which all zeros is a value; `modes` 0 changes nothing.
    let mut state: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a whole structure of this frame.
    let answer = unsafe { libc::adjtimex(&raw mut state) };
    (answer >= 0).then_some(state.status & libc::STA_UNSYNC == 0)
}

/// A clock that cannot be read counts as 0; Linux has both since 2.6.39.
fn read(clock: ClockId) -> u64 {
    clock_gettime(clock).map_or(0, |time| {
        time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64
    })
}
