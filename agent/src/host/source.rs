//! The host as a source of events: sensor, rings, decoder and what completes a record, in one.

use std::collections::HashMap;
use std::io;
use std::mem::offset_of;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use wallwatch_common::{LostExecs, RecordHeader};

use super::cgroups::Cgroups;
use super::clock;
use super::complete::Completer;
use super::counters::Counters;
use super::ring::Rings;
use super::sensor::{Sensor, SensorError, Sight};
use crate::config::SensorSettings;
use crate::pipeline::assemble::{Assembler, AssemblerLimits};
use crate::pipeline::cgroup::Cgroup;
use crate::pipeline::decode::{Decoded, Decoder, exec_mark};
use crate::pipeline::exec::{Event, ExePath, Exec, FileId, ProcessKey, Running, Time};
use crate::pipeline::failed_exec::FailedExecCounts;
use crate::pipeline::loss::{Loss, LossCause, LossTracker, Losses};

/// How long programs that were under way may take after they were detached.
const SETTLE: Duration = Duration::from_millis(20);

pub struct Source {
    sensor: Sensor,
    rings: Rings,
    decoder: Decoder,
    assembler: Assembler,
    completer: Completer,
    cgroups: Cgroups,
    loss_tracker: LossTracker,
    received: Received,
}

/// What came out of the rings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    pub execs: u64,
    pub forks: u64,
    pub exits: u64,
    pub failed_execs: u64,
    pub xtables_replaced: u64,
    pub argv_parts: u64,
    pub cgroups: u64,
    /// Records that could not be decoded. Anything but 0 is a fault of the agent.
    pub undecoded: u64,
}

impl Received {
    fn count(&mut self, decoded: &Decoded) {
        match decoded {
            Decoded::Event(Event::Exec(_)) => self.execs += 1,
            Decoded::Event(Event::Fork(_)) => self.forks += 1,
            Decoded::Event(Event::Exit(_)) => self.exits += 1,
            Decoded::Event(Event::FailedExec(_)) => self.failed_execs += 1,
            Decoded::Event(Event::XtablesReplace(_)) => self.xtables_replaced += 1,
            Decoded::Event(Event::Running(_)) => {}
            Decoded::ArgvPart(_) => self.argv_parts += 1,
            Decoded::CgroupPath(_) => self.cgroups += 1,
        }
    }
}

impl Source {
    /// Attaches the sensor, as [`Sensor::attach`] says. Must be called within a tokio runtime.
    pub fn attach(
        settings: &SensorSettings,
        watches_xtables: bool,
        decoder: Decoder,
        completer: Completer,
    ) -> Result<Self, SensorError> {
        let (sensor, rings) = Sensor::attach(settings, watches_xtables)?;
        Ok(Self {
            sensor,
            rings,
            decoder,
            assembler: Assembler::new(AssemblerLimits::default()),
            completer,
            cgroups: Cgroups::default(),
            loss_tracker: LossTracker::default(),
            received: Received::default(),
        })
    }

    /// Returns when a drain is due. May be given up and called again at any point.
    pub async fn wait(&mut self) -> io::Result<()> {
        match self.assembler.poll_timeout(clock::now()) {
            None => self.rings.wait().await,
            Some(due) => timeout(due, self.rings.wait()).await.unwrap_or(Ok(())),
        }
    }

    /// Hands out what the rings hold, oldest first, up to a bound; returns how many records it was.
    pub fn drain(&mut self, mut each: impl FnMut(Event, Time)) -> usize {
        let now = clock::now();
        let wall_minus_boot_ns = clock::wall_minus_boot_ns(now);
        let Self {
            sensor: _,
            rings,
            decoder,
            assembler,
            completer,
            cgroups,
            loss_tracker,
            received,
        } = self;
        let mut hand_out = |assembler: &mut Assembler, cgroups: &mut Cgroups| {
            while let Some(mut event) = assembler.next_event() {
                match &mut event {
                    Event::Exec(exec) => {
                        exec.cgroup = cgroups.get(exec.cgroup_id);
                        completer.complete(exec, now);
                    }
                    Event::FailedExec(failed) => {
                        failed.cgroup = cgroups.get(failed.cgroup_id);
                        completer.complete_failed(failed, now);
                    }
                    Event::Fork(_)
                    | Event::Exit(_)
                    | Event::Running(_)
                    | Event::XtablesReplace(_) => {}
                }
                each(event, now);
            }
        };
        let n = rings.drain(|bytes| match decoder.decode(bytes, wall_minus_boot_ns) {
            Ok(decoded) => {
                if let Some(mark) = exec_mark(bytes) {
                    loss_tracker.handle_mark(mark);
                }
                received.count(&decoded);
                match decoded {
                    Decoded::Event(event) => assembler.handle_event(event, now),
                    Decoded::ArgvPart(part) => assembler.handle_part(part, now),
                    Decoded::CgroupPath(path) => cgroups.learn(&path),
                }
                hand_out(assembler, cgroups);
            }
            Err(error) => {
                received.undecoded += 1;
                tracing::error!(%error, "record lost: it cannot be decoded");
            }
        });
        assembler.handle_timeout(now);
        hand_out(assembler, cgroups);
        n
    }

    /// Every process that runs, the oldest first: its latest exec as far as the kernel tells it from what
    /// the process is now. The time is that of the listing; [`complete_listed`](Self::complete_listed) adds
    /// the command line. `None` where the kernel cannot list them.
    pub fn list(&mut self) -> Result<Option<Vec<Exec>>, SensorError> {
        let Some(records) = self.sensor.list()? else {
            return Ok(None);
        };
        let now = clock::now();
        let wall_minus_boot_ns = clock::wall_minus_boot_ns(now);
        let mut execs: Vec<Exec> = Vec::new();
        for bytes in split(&records) {
            match self.decoder.decode(bytes, wall_minus_boot_ns) {
                Ok(Decoded::Event(Event::Exec(exec))) => execs.push(*exec),
                Ok(_) => {}
                Err(error) => tracing::error!(%error, "a process is left out of the listing"),
            }
        }
        let files: HashMap<ProcessKey, (ExePath, Option<FileId>)> = execs
            .iter()
            .map(|exec| (exec.process, (exec.exe.clone(), exec.exe_file)))
            .collect();
        for exec in &mut execs {
            if let Some((exe, file)) = files.get(&exec.parent) {
                exec.parent_exe = exe.clone();
                exec.parent_file = *file;
            }
        }
        execs.sort_by_key(|exec| (exec.process.start_ns, exec.process.tgid));
        Ok(Some(execs))
    }

    /// Completes what [`list`](Self::list) tells of a process by what `/proc` does.
    pub fn complete_listed(&mut self, exec: &mut Exec, now: Time) {
        exec.cgroup = self.cgroups.get(exec.cgroup_id).or_else(|| {
            let cgroup = self.completer.procfs().cgroup(exec.process.tgid)?;
            Some(Arc::new(cgroup))
        });
        self.completer.complete_running(exec, now);
    }

    /// The same from `/proc`, where no kernel program can tell.
    pub fn list_procfs(&self) -> io::Result<Vec<Running>> {
        let mut processes = self.completer.procfs().processes()?;
        for running in &mut processes {
            self.completer.complete_from_procfs(running);
        }
        Ok(processes)
    }

    /// Execs lost that were not told before, compared with the counters.
    pub fn loss(&mut self, counters: &Counters, now: Time) -> Option<Loss> {
        let counted = self.counted(counters);
        self.loss_tracker.handle_counted(counted, now.boot_ns)
    }

    /// The same when nothing will come any more.
    pub fn last_loss(&mut self, counters: &Counters, now: Time) -> Option<Loss> {
        let counted = self.counted(counters);
        self.loss_tracker.handle_end(counted, now.boot_ns)
    }

    /// All that was lost since the start, by what was counted.
    pub fn counted(&self, counters: &Counters) -> Losses {
        let mut counted = counters.losses();
        counted.set(LossCause::Undecoded, self.received.undecoded);
        counted
    }

    /// What each share of the rings lost, and its last exec record that was lost.
    pub fn lost_by_share(&self) -> impl Iterator<Item = (u16, LostExecs)> {
        self.rings.lost()
    }

    /// The cgroup of that id, if an exec came from it.
    pub fn cgroup(&mut self, id: u64) -> Option<Arc<Cgroup>> {
        self.cgroups.get(id)
    }

    /// Execs whose command line lacks bytes.
    pub fn argv_broken(&self) -> u64 {
        self.assembler.broken()
    }

    /// Ends the watch: after the drains that follow nothing is left in the rings.
    pub fn detach(&mut self) -> Result<(), SensorError> {
        self.sensor.detach()?;
        // A program that was under way on another processor ends within microseconds.
        std::thread::sleep(SETTLE);
        Ok(())
    }

    pub fn sight(&self) -> &Sight {
        self.sensor.sight()
    }

    /// Execs that failed; `None` when they are not watched.
    pub fn failed_execs(&self, counters: &Counters) -> Option<FailedExecCounts> {
        let watches = self.sensor.watches_failed_execs();
        watches.then(|| counters.failed_execs())
    }

    /// Whether it is told who replaces a table of x_tables.
    pub fn watches_xtables(&self) -> bool {
        self.sensor.watches_xtables()
    }

    pub fn received(&self) -> Received {
        self.received
    }

    pub fn counters(&self) -> Result<Counters, SensorError> {
        self.sensor.counters()
    }

    pub fn sensor_mut(&mut self) -> &mut Sensor {
        &mut self.sensor
    }
}

/// The records of a listing, each as long as its head says. What is left of a damaged one is a record too,
/// for the decoder to refuse.
fn split(mut records: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let at = offset_of!(RecordHeader, bytes);
        let length = records
            .get(at..at + 4)
            .and_then(|bytes| bytes.try_into().ok())
            .map_or(0, u32::from_ne_bytes) as usize;
        let length = if length == 0 { records.len() } else { length };
        let (record, rest) = records.split_at(length.min(records.len()));
        records = rest;
        (!record.is_empty()).then_some(record)
    })
}
