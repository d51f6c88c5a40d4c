//! The agent's side of the shares of the rings: what it took out of each, and what each lost. Both maps are
//! mapped into memory, so that neither costs a system call.

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::ptr::NonNull;

use aya::maps::MapData;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use wallwatch_common::{LostExecs, SHARES};

/// A ring, by its index in the maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ring {
    Bulk = 0,
    Urgent = 1,
}

/// Both maps. Dropping it unmaps them.
pub struct Shares {
    taken_out: Mapped<u64>,
    lost: Mapped<LostExecs>,
}

impl Shares {
    /// Maps `TAKEN_OUT` and `LOST` of the loaded object.
    pub fn new(taken_out: &MapData, lost: &MapData) -> io::Result<Self> {
        Ok(Self {
            taken_out: Mapped::new(taken_out, 2 * SHARES)?,
            lost: Mapped::new(lost, SHARES)?,
        })
    }

    /// A record of `bytes`, charged to `share`, is out of the ring.
    pub fn take_out(&mut self, ring: Ring, share: u16, bytes: usize) {
        let index = ring as usize * SHARES + usize::from(share) % SHARES;
        let taken = self.taken_out.read(index);
        self.taken_out
            .write(index, taken.wrapping_add(room_for(bytes)));
    }

    /// What each share that ever lost an exec record lost, and its last one.
    pub fn lost(&self) -> impl Iterator<Item = (u16, LostExecs)> {
        (0..SHARES as u16).filter_map(|share| {
            let lost = self.lost.read(usize::from(share));
            (lost.count > 0).then_some((share, lost))
        })
    }
}

/// What a record takes in a ring, as the kernel programs reckon it: a head of 8 bytes, and all rounded up
/// to 8.
fn room_for(bytes: usize) -> u64 {
    (bytes as u64 + 15) & !7
}

/// An array map, in memory.
struct Mapped<T> {
    values: NonNull<T>,
    count: usize,
}

// SAFETY: the memory belongs to the mapping alone, wherever that is moved.
unsafe impl<T> Send for Mapped<T> {}

impl<T: Copy> Mapped<T> {
    const VALUE_BYTES: () = assert!(size_of::<T>().is_multiple_of(8));

    /// The map has `count` values of `T`, whose size is a multiple of 8.
    fn new(map: &MapData, count: usize) -> io::Result<Self> {
        const { Self::VALUE_BYTES };
        let length = Self::length(count)?;
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping overlaps nothing; its memory is used through `values` alone.
        let values = unsafe {
            mmap(
                None,
                length,
                protection,
                MapFlags::MAP_SHARED,
                map.fd().as_fd(),
                0,
            )?
        };
        Ok(Self {
            values: values.cast(),
            count,
        })
    }

    fn length(count: usize) -> io::Result<NonZeroUsize> {
        let bytes = count * size_of::<T>();
        NonZeroUsize::new(bytes).ok_or_else(|| io::ErrorKind::InvalidInput.into())
    }

    /// Volatile: the kernel programs write too.
    fn read(&self, index: usize) -> T {
        assert!(index < self.count, "index {index} of {}", self.count);
        // SAFETY: the index is within the mapping.
        let value = unsafe { self.values.add(index) };
        // SAFETY: a map's values are aligned to 8 bytes, and any bytes are a `T` of integers.
        unsafe { value.read_volatile() }
    }

    fn write(&mut self, index: usize, value: T) {
        assert!(index < self.count, "index {index} of {}", self.count);
        // SAFETY: the index is within the mapping.
        let place = unsafe { self.values.add(index) };
        // SAFETY: a map's values are aligned to 8 bytes; nobody else writes them.
        unsafe { place.write_volatile(value) }
    }
}

impl<T> Drop for Mapped<T> {
    fn drop(&mut self) {
        // SAFETY: the mapping is this one's own, and nobody uses it any more.
        let unmapped = unsafe { munmap(self.values.cast(), self.count * size_of::<T>()) };
        if let Err(error) = unmapped {
            tracing::debug!(%error, "a map stays mapped");
        }
    }
}
