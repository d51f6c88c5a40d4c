//! What became of the canaries.

use std::path::PathBuf;
use std::time::Duration;

use uuid::Uuid;
use wallwatch_common::Counter;

use crate::host::counters::Counters;
use crate::host::sensor::Sight;
use crate::host::source::Received;

/// How the flight went.
#[derive(Debug)]
pub enum Outcome {
    /// It was not tried: these capabilities are missing.
    NotAllowed {
        missing: Vec<&'static str>,
    },
    /// The sensor could not be attached.
    NotAttached {
        error: String,
        is_permission: bool,
    },
    /// Something else was in the way.
    Broken {
        error: String,
    },
    Flown(Box<Flight>),
}

/// The canaries were let go with the sensor attached.
#[derive(Debug)]
pub struct Flight {
    pub sight: Sight,
    /// How many of the canaries the sensor reported, with their whole command line.
    pub seen: usize,
    pub landing: Landing,
    /// Or why they cannot be told.
    pub books: Result<Books, String>,
}

/// What the sensor counted while the doctor watched, and what came out of the rings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Books {
    pub execs_seen: u64,
    pub execs_rescued: u64,
    pub execs_urgent: u64,
    pub execs_bulk: u64,
    pub execs_dropped: u64,
    pub execs_missed: u64,
    pub execs_received: u64,
    pub forks_received: u64,
    pub exits_received: u64,
    pub undecoded: u64,
    /// What was seen was submitted or dropped, and what was submitted was received.
    pub is_balanced: bool,
}

impl Books {
    pub(super) fn of(counters: &Counters, received: Received) -> Self {
        Self {
            execs_seen: counters.get(Counter::ExecSeen),
            execs_rescued: counters.get(Counter::ExecRescued),
            execs_urgent: counters.get(Counter::ExecUrgent),
            execs_bulk: counters.get(Counter::ExecBulk),
            execs_dropped: counters.execs_dropped(),
            execs_missed: counters.execs_missed(),
            execs_received: received.execs,
            forks_received: received.forks,
            exits_received: received.exits,
            undecoded: received.undecoded,
            is_balanced: counters.reconcile(received.execs + received.undecoded),
        }
    }
}

/// Whether the alert came to the disk.
#[derive(Debug)]
pub enum Landing {
    /// There was no alert within the time.
    Missing {
        waited: Duration,
    },
    /// There was an alert, but not in the log.
    Unwritten {
        error: String,
    },
    Landed(Landed),
}

/// The alert was read back from the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Landed {
    pub id: Uuid,
    /// Directory of the configured log, or the substitute for it.
    pub directory: PathBuf,
    /// Why it is not that of the configured log, if it is not.
    pub substitute: Option<String>,
    pub times: Times,
    /// What the alert on the disk says otherwise than it was; empty when all is right.
    pub differences: Vec<String>,
}

/// When the last canary was where, in nanoseconds of `CLOCK_BOOTTIME`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// By the kernel's own clock read.
    pub exec_ns: u64,
    /// Its record was taken from the ring.
    pub record_ns: u64,
    /// The alert was made.
    pub alert_ns: u64,
    /// The alert was written and synced.
    pub disk_ns: u64,
}
