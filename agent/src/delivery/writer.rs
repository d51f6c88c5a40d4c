//! Hands alerts to the store, and from there to the sinks, without ever waiting for them; and to standard output
//! when asked.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use thiserror::Error;

use crate::config::{AlertsSettings, SinkSettings, StoreSettings, Written};
use crate::pipeline::watch::{Notice, SinkBooks, StoreBooks};

use super::feed::{Feed, Place};
use super::forward::forward;
use super::intake::{Intake, StoreState};
use super::local_log::{LocalLog, LocalLogError};
use super::queue::Queue;
use super::sink::Sink;
use super::sinks::Receiver;
use super::stdout::Stdout;
use super::store::disk::{Disk, HostDisk};
use super::store::{Cursor, Owner, Store};

pub use super::intake::Clock;
pub use super::queue::{Accepted, LineCounts};

/// Standard output is a convenience; it gets no more than this of the time to stop.
const STDOUT_DEADLINE_MAX: Duration = Duration::from_secs(1);

#[derive(Debug, Error)]
pub enum WriterError {
    #[error("the alert log cannot be used")]
    LocalLog(#[from] LocalLogError),
    #[error("start a writer thread")]
    Thread(#[source] io::Error),
}

/// Where alerts are stored, and within which bounds.
#[derive(Clone, Copy, Debug)]
pub struct StorePlace<'a> {
    pub directory: &'a Path,
    pub settings: &'a StoreSettings,
}

/// What became of all lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriterCounts {
    /// On their way to the store.
    pub lines: LineCounts,
    pub store: StoreBooks,
    /// `None` when alerts do not go there.
    pub stdout: Option<LineCounts>,
}

impl WriterCounts {
    /// Lines that are neither stored nor delivered, and will not be.
    pub fn lost(&self) -> u64 {
        self.lines.dropped + self.lines.waiting + self.store.refused + self.store.undelivered
    }
}

pub struct Writer {
    lines: Queue,
    feed: Arc<Feed>,
    state: Arc<Mutex<StoreState>>,
    turns: Arc<AtomicU64>,
    stdout: Option<Queue>,
    clock: Clock,
}

impl Writer {
    /// Opens the store and the log, and starts a thread for each. Without a store, or where it cannot be used,
    /// alerts are held in memory until the log has them.
    pub fn spawn(
        settings: &AlertsSettings,
        receivers: &[Written<SinkSettings>],
        store: Option<StorePlace<'_>>,
        clock: Clock,
    ) -> Result<Self, WriterError> {
        let AlertsSettings {
            path,
            group,
            stdout,
            queue_lines,
        } = settings;
        let log: Box<dyn Sink> = Box::new(LocalLog::open(path, group)?);
        let mut sinks = vec![log];
        for receiver in receivers {
            sinks.push(Box::new(Receiver::new(&receiver.value)));
        }
        let opened = store.and_then(open_store);
        let mut writer = Self::start(sinks, opened, *queue_lines, clock)?;
        writer.stdout = stdout
            .then(|| Queue::spawn("alert-stdout", Stdout, *queue_lines))
            .transpose()
            .map_err(WriterError::Thread)?;
        Ok(writer)
    }

    fn start(
        sinks: Vec<Box<dyn Sink>>,
        opened: Option<(Store, Place)>,
        queue_lines: usize,
        clock: Clock,
    ) -> Result<Self, WriterError> {
        let (store, place) = opened.unzip();
        let segments: Vec<_> = store.iter().flat_map(Store::segments).copied().collect();
        let oldest_seq = segments.first().map_or(1, |oldest| oldest.first_seq);
        let cursors = sinks.iter().map(|sink| {
            let cursor = cursor_of(&**sink, place.as_ref(), oldest_seq);
            (cursor, sink.can_be_left())
        });
        let cursors = cursors.collect();
        let next_seq = store.as_ref().map_or(1, Store::next_seq);
        let feed = Arc::new(Feed::new(place, cursors, segments, next_seq));
        let intake = Intake::new(Arc::clone(&feed), store, clock);
        let (state, turns) = (intake.state(), intake.turns());
        let lines =
            Queue::spawn("alert-store", intake, queue_lines).map_err(WriterError::Thread)?;
        for (index, mut sink) in sinks.into_iter().enumerate() {
            let theirs = Arc::clone(&feed);
            let seed = clock().boot_ns.rotate_left(index as u32);
            let work = move || forward(&mut *sink, index, &theirs, seed);
            let started = thread::Builder::new()
                .name("alert-sink".to_owned())
                .spawn(work);
            started.map_err(WriterError::Thread)?;
        }
        Ok(Self {
            lines,
            feed,
            state,
            turns,
            stdout: None,
            clock,
        })
    }

    /// Takes a line for the store; it ends in LF.
    #[must_use = "a dropped line is a lost alert"]
    pub fn accept(&self, line: Vec<u8>) -> Accepted {
        self.lines.accept(line)
    }

    /// What became of the lines on their way to the store so far.
    pub fn line_counts(&self) -> LineCounts {
        self.lines.counts()
    }

    /// How often the store's thread came round: at least once a second, unless the disk holds it up or it has ended.
    pub fn store_turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    /// What became of the lines since.
    pub fn store_books(&self) -> StoreBooks {
        let state = *self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let held = self.feed.counts();
        let (cursors, newest) = self.feed.cursors();
        let sink = |cursor: Cursor| SinkBooks {
            backlog: newest.saturating_sub(cursor.seq),
            name: cursor.sink,
            delivered: cursor.delivered,
            dropped: cursor.dropped,
            damaged: cursor.damaged,
            dead_letters: cursor.dead_letters,
            in_trouble: cursor.trouble.is_some(),
        };
        StoreBooks {
            epoch: state.epoch,
            seq: state.seq,
            durable: self.feed.place.is_some(),
            degraded: state.degraded,
            bytes: held.bytes,
            held: held.held,
            undelivered: held.undelivered,
            refused: held.refused,
            unstored: held.unstored,
            damaged: state.counts.damaged,
            torn: state.counts.torn,
            segments_unreadable: state.counts.segments_unreadable,
            segments_removed: state.counts.segments_removed,
            faults: state.counts.faults,
            sinks: cursors.into_iter().map(sink).collect(),
        }
    }

    /// What happened to alerts on their way since this was asked last.
    pub fn notices(&self) -> Vec<Notice> {
        self.feed.notices().take((self.clock)().boot_ns)
    }

    /// What sinks rest on, as certificates and secrets, may have changed: each reads it anew, and tries at once.
    pub fn reload_sinks(&self) {
        self.feed.reload();
    }

    /// Takes a text for standard output, if alerts go there. One that finds no room is only counted.
    pub fn show(&self, text: Vec<u8>) {
        if let Some(stdout) = &self.stdout {
            stdout.accept(text);
        }
    }

    /// Stores what waits and lets the sinks have it, at most for `deadline`, and ends. What a sink does not have then
    /// it gets from the next run; what is not stored then is lost.
    pub fn shutdown(self, deadline: Duration) -> WriterCounts {
        let end_ns = (self.clock)().boot_ns + deadline.as_nanos() as u64;
        let left = || Duration::from_nanos(end_ns.saturating_sub((self.clock)().boot_ns));
        self.lines.close();
        if let Some(stdout) = &self.stdout {
            stdout.close();
        }
        let is_stored = self.lines.wait(deadline);
        let lines = self.lines.counts();
        let are_over = self.feed.close(left());
        if are_over && is_stored {
            self.feed.release();
        }
        WriterCounts {
            lines,
            store: self.store_books(),
            stdout: self.stdout.as_ref().map(|stdout| {
                stdout.wait(left().min(STDOUT_DEADLINE_MAX));
                stdout.counts()
            }),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.feed.close(Duration::ZERO);
    }
}

/// `None` where it cannot be used: that costs the memory of alerts, and not the alerts.
fn open_store(place: StorePlace<'_>) -> Option<(Store, Place)> {
    let StorePlace {
        directory,
        settings,
    } = place;
    let disk: Arc<dyn Disk> = Arc::new(HostDisk);
    let opened = Owner::acquire(directory).and_then(|owner| match owner {
        None => Err(io::Error::other("another wallwatch owns it")),
        owned => Ok((Store::open(Arc::clone(&disk), directory, settings)?, owned)),
    });
    let (store, owner) = opened
        .inspect_err(|error| {
            let directory = directory.display();
            tracing::error!(%directory, %error, "the store cannot be used: alerts are held in memory alone until they are delivered");
        })
        .ok()?;
    let place = Place {
        disk,
        directory: directory.to_owned(),
        owner: Mutex::new(owner),
    };
    Some((store, place))
}

/// How far the sink was, where the oldest record has at least that number. One whose cursor is lost gets everything
/// that is stored once more.
fn cursor_of(sink: &dyn Sink, place: Option<&Place>, oldest_seq: u64) -> Cursor {
    let name = sink.name();
    let loaded = place.map_or(Ok(None), |place| {
        Cursor::load(&*place.disk, &place.directory, name)
    });
    let loaded = loaded.unwrap_or_else(|error| {
        tracing::error!(sink = name, %error, "how far it was cannot be read: it gets again what is stored");
        None
    });
    let Some(mut cursor) = loaded else {
        return Cursor::new(name);
    };
    let next = cursor.seq + 1;
    if next < oldest_seq {
        // The last run was interrupted before it could write that down, or somebody took segments away.
        let (last, records) = (oldest_seq - 1, oldest_seq - next);
        tracing::error!(
            sink = name,
            first = next,
            last,
            "alerts dropped: they are not in the store any more"
        );
        cursor.drop_records(next, last, records);
    }
    cursor
}

#[cfg(test)]
mod tests;
