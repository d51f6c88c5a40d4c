//! Whatever operation of the disk fails, and whatever receivers do meanwhile: what existed is at every sink.

use std::collections::BTreeMap;

use serde_json::Value;

use super::*;

const EVENTS: u64 = 30;

/// What a sink got: epoch, number and id of each event, in the order of its deliveries.
type Got = Arc<Mutex<Vec<(String, u64, u64)>>>;

/// Takes a part of what it is handed, or fails, as its seed has it.
struct Moody {
    name: &'static str,
    got: Got,
    /// `None`: takes everything.
    random: Option<u64>,
}

impl Moody {
    fn mood(&mut self) -> u64 {
        const GOOD: u64 = 3;
        let Some(random) = &mut self.random else {
            return GOOD;
        };
        // xorshift64, Marsaglia 2003.
        *random ^= *random << 13;
        *random ^= *random >> 7;
        *random ^= *random << 17;
        *random
    }
}

impl Sink for Moody {
    fn name(&self) -> &str {
        self.name
    }

    fn deliver(&mut self, records: &[Record]) -> Delivery {
        let mood = self.mood();
        let taken = match mood % 4 {
            0 => 0,
            1 => (mood >> 8) as usize % (records.len() + 1),
            _ => records.len(),
        };
        // One of those that were taken may have lost its answer: it comes again.
        let answered = if mood & 16 == 0 { taken } else { taken / 2 };
        let events = records.iter().take(taken).map(|record| {
            let event: Value = serde_json::from_slice(&record.json).unwrap();
            let text = |key: &str| event[key].as_str().unwrap().to_owned();
            (text("epoch"), record.seq, text("id").parse().unwrap())
        });
        self.got.lock().unwrap().extend(events);
        let trouble = Trouble::Retry {
            after: None,
            why: "not in the mood".to_owned(),
        };
        Delivery {
            delivered: answered,
            trouble: (answered < records.len()).then_some(trouble),
        }
    }

    fn retry_max(&self) -> Duration {
        Duration::from_millis(1)
    }
}

/// One life of an agent with two such sinks, which take everything when there is no seed. What a sink fails to take
/// while the agent stops is for the next life.
fn live(
    disk: &SimulatedDisk,
    got: &[Got; 2],
    seed: Option<u64>,
    ids: std::ops::RangeInclusive<u64>,
) {
    let sinks = [("one", 1), ("two", 2)].map(|(name, number)| {
        let sink: Box<dyn Sink> = Box::new(Moody {
            name,
            got: Arc::clone(&got[number as usize - 1]),
            random: seed.map(|seed| seed.wrapping_mul(2 * number + 1) | 1),
        });
        sink
    });
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let store = Store::open(Arc::clone(&disk), spool(), &BOUNDS).ok();
    let opened = store.map(|store| {
        let owner = Mutex::new(None);
        let directory = spool().to_owned();
        let place = Place {
            disk,
            directory,
            owner,
        };
        (store, place)
    });
    let writer = Writer::start(sinks.into(), opened, 1000, clock).unwrap();
    accept(&writer, ids);
    writer.shutdown(LONG);
}

fn check(got: &Got, ids: impl Iterator<Item = u64>, context: &str) {
    let got = got.lock().unwrap();
    for id in ids {
        let is_there = got.iter().any(|(_, _, it)| *it == id);
        assert!(is_there, "{context}: {id} is missing of {got:?}");
    }
    let mut by_number = BTreeMap::new();
    let mut newest = BTreeMap::new();
    for (epoch, seq, id) in got.iter() {
        let number = (epoch.clone(), *seq);
        if let Some(known) = by_number.get(&number) {
            assert_eq!(known, id, "{context}: one number for two events");
            continue;
        }
        by_number.insert(number, *id);
        // What is new comes in order; only what came before comes again.
        let before = newest.insert(epoch.clone(), *seq);
        assert!(before < Some(*seq), "{context}: {got:?}");
    }
}

/// The seed is that of the sinks; the test says it when it fails.
#[test]
fn whichever_operation_fails_every_sink_gets_every_event() {
    for fault in [Fault::Once(libc::ENOSPC), Fault::Once(libc::EIO)] {
        for nth in 1.. {
            let disk = SimulatedDisk::default();
            disk.arm(nth, fault);
            let got = [Got::default(), Got::default()];
            live(&disk, &got, Some(nth), 1..=EVENTS);
            let has_struck = disk.has_struck();
            disk.repair();
            live(&disk, &got, Some(nth + 7), EVENTS + 1..=EVENTS + 4);
            live(&disk, &got, None, EVENTS + 5..=EVENTS + 5);
            for got in &got {
                check(got, 1..=EVENTS + 5, &format!("{fault:?} at {nth}"));
            }
            if !has_struck {
                assert!(nth > 20, "only {nth} operations");
                break;
            }
        }
    }
}

#[test]
fn whenever_the_power_goes_every_sink_gets_what_was_stored() {
    for torn in [false, true] {
        for nth in 1.. {
            let disk = SimulatedDisk::default();
            disk.arm(nth, Fault::PowerCut { torn });
            let got = [Got::default(), Got::default()];
            live(&disk, &got, Some(nth), 1..=EVENTS);
            let has_struck = disk.has_struck();
            disk.repair();
            let stored = stored_ids(&disk);
            live(&disk, &got, Some(nth + 7), EVENTS + 1..=EVENTS + 4);
            live(&disk, &got, None, EVENTS + 5..=EVENTS + 5);
            for got in &got {
                let ids = stored.iter().copied().chain(EVENTS + 1..=EVENTS + 5);
                check(got, ids, &format!("power cut at {nth}, torn: {torn}"));
            }
            if !has_struck {
                assert_eq!(stored.len() as u64, EVENTS);
                break;
            }
        }
    }
}

fn stored_ids(disk: &SimulatedDisk) -> Vec<u64> {
    let got = Got::default();
    let reader = Moody {
        name: "reader",
        got: Arc::clone(&got),
        random: None,
    };
    on(disk, vec![Box::new(reader)]).shutdown(LONG);
    let got = got.lock().unwrap();
    got.iter().map(|(_, _, id)| *id).collect()
}
