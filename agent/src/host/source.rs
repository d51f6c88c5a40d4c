//! The host as a source of events: sensor, rings, decoder and what completes a record, in one.

use std::io;

use super::clock;
use super::complete::Completer;
use super::ring::Rings;
use super::sensor::{Counters, Sensor, SensorError, Sight};
use crate::config::SensorSettings;
use crate::pipeline::decode::Decoder;
use crate::pipeline::exec::{Event, Time};

pub struct Source {
    sensor: Sensor,
    rings: Rings,
    decoder: Decoder,
    completer: Completer,
    received: Received,
}

/// What came out of the rings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    pub execs: u64,
    pub forks: u64,
    pub exits: u64,
    /// Records that could not be decoded. Anything but 0 is a fault of the agent.
    pub undecoded: u64,
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
            completer,
            received: Received::default(),
        })
    }

    /// Returns when a drain is due. May be given up and called again at any point.
    pub async fn wait(&mut self) -> io::Result<()> {
        self.rings.wait().await
    }

    /// Hands out what the rings hold, oldest first, up to a bound; returns how many records it was.
    pub fn drain(&mut self, mut each: impl FnMut(Event, Time)) -> usize {
        let now = clock::now();
        let wall_minus_boot_ns = clock::wall_minus_boot_ns(now);
        let Self {
            sensor: _,
            rings,
            decoder,
            completer,
            received,
        } = self;
        rings.drain(|bytes| match decoder.decode(bytes, wall_minus_boot_ns) {
            Ok(mut event) => {
                match &mut event {
                    Event::Exec(exec) => {
                        received.execs += 1;
                        completer.complete(exec, now);
                    }
                    Event::Fork(_) => received.forks += 1,
                    Event::Exit(_) => received.exits += 1,
                    Event::Running(_) => {}
                }
                each(event, now);
            }
            Err(error) => {
                received.undecoded += 1;
                tracing::error!(%error, "record lost: it cannot be decoded");
            }
        })
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
