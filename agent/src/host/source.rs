//! The host as a source of events: sensor, rings, decoder and what completes a record, in one.

use std::io;
use std::time::Duration;

use tokio::time::timeout;

use super::clock;
use super::complete::Completer;
use super::ring::Rings;
use super::sensor::{Counters, Sensor, SensorError, Sight};
use crate::config::SensorSettings;
use crate::pipeline::assemble::{Assembler, AssemblerLimits};
use crate::pipeline::decode::{Decoded, Decoder};
use crate::pipeline::exec::{Event, Time};

/// How long programs that were under way may take after they were detached.
const SETTLE: Duration = Duration::from_millis(20);

pub struct Source {
    sensor: Sensor,
    rings: Rings,
    decoder: Decoder,
    assembler: Assembler,
    completer: Completer,
    received: Received,
}

/// What came out of the rings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    pub execs: u64,
    pub forks: u64,
    pub exits: u64,
    pub argv_parts: u64,
    /// Records that could not be decoded. Anything but 0 is a fault of the agent.
    pub undecoded: u64,
}

impl Received {
    fn count(&mut self, decoded: &Decoded) {
        match decoded {
            Decoded::Event(Event::Exec(_)) => self.execs += 1,
            Decoded::Event(Event::Fork(_)) => self.forks += 1,
            Decoded::Event(Event::Exit(_)) => self.exits += 1,
            Decoded::Event(Event::Running(_)) => {}
            Decoded::ArgvPart(_) => self.argv_parts += 1,
        }
    }
}

impl Source {
    /// Attaches the sensor. Must be called within a tokio runtime.
    pub fn attach(
        settings: &SensorSettings,
        decoder: Decoder,
        completer: Completer,
    ) -> Result<Self, SensorError> {
        let (sensor, rings) = Sensor::attach(settings)?;
        Ok(Self {
            sensor,
            rings,
            decoder,
            assembler: Assembler::new(AssemblerLimits::default()),
            completer,
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
            received,
        } = self;
        let mut hand_out = |assembler: &mut Assembler| {
            while let Some(mut event) = assembler.next_event() {
                if let Event::Exec(exec) = &mut event {
                    completer.complete(exec, now);
                }
                each(event, now);
            }
        };
        let n = rings.drain(|bytes| match decoder.decode(bytes, wall_minus_boot_ns) {
            Ok(decoded) => {
                received.count(&decoded);
                assembler.handle(decoded, now);
                hand_out(assembler);
            }
            Err(error) => {
                received.undecoded += 1;
                tracing::error!(%error, "record lost: it cannot be decoded");
            }
        });
        assembler.handle_timeout(now);
        hand_out(assembler);
        n
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
