//! The two ring buffers: when to drain them, and their records in the order of kernel time.
//!
//! An urgent record wakes the agent at once. A bulk record wakes it too, but then the agent waits
//! before it drains: while it has not caught up the kernel wakes nobody (`bpf_ringbuf_commit`,
//! `kernel/bpf/ringbuf.c`), so that a storm costs one wake-up for each wait. Each drain empties both
//! rings, merged by time, so that an urgent exec finds the forks that led to it.

use std::io;
use std::mem::offset_of;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use aya::maps::{MapData, RingBuf};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, sleep_until};
use wallwatch_common::{LostExecs, RecordHeader};

use super::shares::{Ring, Shares};

/// Most records of one drain; what is left is drained after the loop has seen to its other duties.
const RECORDS_MAX: usize = 4096;

/// Both rings of a sensor.
pub struct Rings {
    bulk: Lane,
    urgent: Lane,
    shares: Shares,
    delay: Duration,
    /// When the next drain is due. It outlives a [`wait`](Self::wait) that was given up.
    due: Option<Instant>,
}

impl Rings {
    /// `delay` is how long a bulk record waits at most. Must be called within a tokio runtime.
    pub fn new(
        bulk: RingBuf<MapData>,
        urgent: RingBuf<MapData>,
        shares: Shares,
        delay: Duration,
    ) -> io::Result<Self> {
        Ok(Self {
            bulk: Lane::new(bulk, Ring::Bulk)?,
            urgent: Lane::new(urgent, Ring::Urgent)?,
            shares,
            delay,
            due: None,
        })
    }

    /// Returns when a drain is due. May be given up and called again at any point.
    pub async fn wait(&mut self) -> io::Result<()> {
        let due = match self.due {
            Some(due) => due,
            None => {
                tokio::select! {
                    biased;
                    ready = self.urgent.readable() => {
                        ready?;
                        self.due = Some(Instant::now());
                        return Ok(());
                    }
                    ready = self.bulk.readable() => ready?,
                }
                *self.due.insert(Instant::now() + self.delay)
            }
        };
        tokio::select! {
            biased;
            ready = self.urgent.readable() => ready?,
            () = sleep_until(due) => {}
        }
        self.due = Some(Instant::now());
        Ok(())
    }

    /// What each share lost, and its last exec record that was lost.
    pub fn lost(&self) -> impl Iterator<Item = (u16, LostExecs)> {
        self.shares.lost()
    }

    /// Hands out what both rings hold, oldest first, up to a bound; returns how many records it was.
    pub fn drain(&mut self, mut each: impl FnMut(&[u8])) -> usize {
        let mut n = 0;
        while n < RECORDS_MAX {
            let bulk = self.bulk.time_ns(&mut self.shares);
            let urgent = self.urgent.time_ns(&mut self.shares);
            let lane = match (bulk, urgent) {
                (Some(bulk), Some(urgent)) if bulk <= urgent => &mut self.bulk,
                (_, Some(_)) => &mut self.urgent,
                (Some(_), None) => &mut self.bulk,
                (None, None) => break,
            };
            each(&lane.head);
            lane.head.clear();
            n += 1;
        }
        self.due = (n == RECORDS_MAX).then(Instant::now);
        n
    }
}

/// One ring and its oldest record.
struct Lane {
    ring: Ring,
    records: RingBuf<MapData>,
    /// A second descriptor of the ring, so that it can be watched while the ring is borrowed.
    readiness: AsyncFd<OwnedFd>,
    /// A copy, for an item dropped is an item consumed; empty when there is none.
    head: Vec<u8>,
}

impl Lane {
    fn new(records: RingBuf<MapData>, ring: Ring) -> io::Result<Self> {
        let descriptor = records.as_fd().try_clone_to_owned()?;
        // SAFETY: an `OwnedFd` is the same open descriptor for as long as it lives, and the `AsyncFd`
        // owns it.
        let readiness = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE)? };
        Ok(Self {
            ring,
            readiness,
            records,
            head: Vec::new(),
        })
    }

    /// The readiness is cleared at once: what comes after this is announced again.
    async fn readable(&self) -> io::Result<()> {
        self.readiness.readable().await?.clear_ready();
        Ok(())
    }

    /// Time of the oldest record, which is taken from the ring if need be.
    fn time_ns(&mut self, shares: &mut Shares) -> Option<u64> {
        if self.head.is_empty() {
            self.head.extend_from_slice(&self.records.next()?);
            let share = u16::from_ne_bytes(self.field(offset_of!(RecordHeader, share))?);
            shares.take_out(self.ring, share, self.head.len());
        }
        let time = self.field(offset_of!(RecordHeader, time_ns))?;
        Some(u64::from_ne_bytes(time))
    }

    fn field<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.head.get(at..at + N)?.try_into().ok()
    }
}
