//! Writes events to a store and a log as the agent does, and says how many of them are stored.
//!
//! `store-writer STATE LOG FIRST COUNT [CONFIG]`: events with the ids FIRST and up; with a COUNT of 0 it goes on until
//! it is killed. They also go to the sinks of CONFIG.

use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, io, thread};

use wallwatch::config::{self, AlertsSettings, StoreSettings};
use wallwatch::delivery::store::DIRECTORY_NAME;
use wallwatch::delivery::writer::{Accepted, StorePlace, Writer};
use wallwatch::host::clock;

/// What makes an event as long as most are.
const PADDING: &str = "x";
const PADDING_BYTES: usize = 1000;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (arguments, config) = arguments.split_at(arguments.len().min(4));
    let [state, log, first, count] = arguments else {
        return Err("usage: store-writer STATE LOG FIRST COUNT [CONFIG]".into());
    };
    let sinks = match config.first() {
        Some(config) => config::load(Some(Path::new(config)))?.sinks,
        None => Vec::new(),
    };
    let (first, count): (u64, u64) = (first.parse()?, count.parse()?);
    let alerts = AlertsSettings {
        path: PathBuf::from(log),
        group: "adm".to_owned(),
        stdout: false,
        queue_lines: 1000,
    };
    let settings = StoreSettings {
        max_bytes: 64 << 20,
        max_age_s: 86_400,
        keep_delivered_s: 86_400,
    };
    let place = StorePlace {
        directory: &Path::new(state).join(DIRECTORY_NAME),
        settings: &settings,
    };
    let writer = Writer::spawn(&alerts, &sinks, Some(place), clock::now)?;
    let padding = PADDING.repeat(PADDING_BYTES);
    let mut said = 0;
    let last = if count == 0 { u64::MAX } else { first + count };
    for id in first..last {
        let line = format!(
            "{{\"schema\":\"wallwatch.alert/1\",\"id\":\"{id}\",\"revision\":1,\"kind\":\"alert\",\"severity\":\"high\",\"padding\":\"{padding}\"}}\n"
        );
        while writer.accept(line.clone().into_bytes()) == Accepted::Dropped {
            thread::sleep(Duration::from_millis(1));
        }
        say_stored(&writer, first, &mut said)?;
    }
    let counts = writer.shutdown(Duration::from_secs(60));
    let store = counts.store;
    writeln!(
        io::stdout(),
        "held {} degraded {} faults {} epoch {}",
        store.held,
        store.degraded,
        store.faults,
        store.epoch
    )?;
    Ok(())
}

/// Says the last id that is stored, if it is another one.
fn say_stored(writer: &Writer, first: u64, said: &mut u64) -> io::Result<()> {
    let taken = writer.line_counts().written;
    let books = writer.store_books();
    if taken > *said && !books.degraded && books.faults == 0 {
        *said = taken;
        writeln!(io::stdout(), "stored {}", first + taken - 1)?;
    }
    Ok(())
}
