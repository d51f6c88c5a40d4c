use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

mod campaign;
mod notices;

use super::super::sink::{Delivery, Record, Trouble};
use super::super::store::Removed;
use super::super::store::disk::simulated::{Fault, SimulatedDisk};
use super::*;
use crate::pipeline::exec::Time;

const LONG: Duration = Duration::from_secs(60);

const BOUNDS: StoreSettings = StoreSettings {
    max_bytes: 4 << 20,
    max_age_s: 604_800,
    keep_delivered_s: 86_400,
};

/// A clock that stands still: what depends on time is tested where time can be handed in.
fn clock() -> Time {
    Time {
        boot_ns: 0,
        wall_ns: 0,
    }
}

fn settings(path: PathBuf) -> AlertsSettings {
    AlertsSettings {
        path,
        group: "adm".to_owned(),
        stdout: false,
        queue_lines: 10_000,
    }
}

fn event(id: u64) -> Vec<u8> {
    format!("{{\"schema\":\"wallwatch.alert/1\",\"id\":\"{id}\"}}\n").into_bytes()
}

/// Number and id of each line.
fn numbers(text: &str) -> Vec<(u64, String)> {
    let number = |line| {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        let id = event["id"].as_str().unwrap().to_owned();
        (event["seq"].as_u64().unwrap(), id)
    };
    text.lines().map(number).collect()
}

fn accept(writer: &Writer, ids: impl IntoIterator<Item = u64>) {
    for id in ids {
        assert_eq!(writer.accept(event(id)), Accepted::Queued);
    }
}

fn expected(seqs: std::ops::RangeInclusive<u64>) -> Vec<(u64, String)> {
    seqs.map(|seq| (seq, seq.to_string())).collect()
}

#[test]
fn what_was_accepted_is_stored_and_in_the_log_and_numbers_go_on_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (path, directory) = (folder.path().join("a.jsonl"), folder.path().join("spool"));
    let place = StorePlace {
        directory: &directory,
        settings: &BOUNDS,
    };
    let mut epochs = Vec::new();
    for run in 0..3 {
        let writer = Writer::spawn(&settings(path.clone()), &[], Some(place), clock).unwrap();
        accept(&writer, run * 100 + 1..=run * 100 + 100);
        let counts = writer.shutdown(LONG);
        assert_eq!((counts.lost(), counts.lines.written), (0, 100));
        assert_eq!(counts.store.seq, (run + 1) * 100);
        assert_eq!(counts.store.sinks[0].backlog, 0);
        epochs.push(counts.store.epoch);
    }
    assert_eq!(epochs, [epochs[0]; 3]);
    assert_eq!(
        numbers(&fs::read_to_string(path).unwrap()),
        expected(1..=300)
    );
}

#[test]
fn without_a_store_alerts_reach_the_log_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.jsonl");
    let nowhere = StorePlace {
        directory: Path::new("/proc/none/spool"),
        settings: &BOUNDS,
    };
    for place in [None, Some(nowhere)] {
        let writer = Writer::spawn(&settings(path.clone()), &[], place, clock).unwrap();
        accept(&writer, 1..=100);
        let counts = writer.shutdown(LONG);
        assert_eq!((counts.lost(), counts.store.durable), (0, false));
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(numbers(&text), expected(1..=100));
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn a_second_agent_leaves_the_store_alone_and_goes_on_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("spool");
    let place = StorePlace {
        directory: &directory,
        settings: &BOUNDS,
    };
    let [one, two] = ["one.jsonl", "two.jsonl"].map(|name| folder.path().join(name));
    let first = Writer::spawn(&settings(one.clone()), &[], Some(place), clock).unwrap();
    let second = Writer::spawn(&settings(two.clone()), &[], Some(place), clock).unwrap();
    accept(&first, 1..=10);
    accept(&second, 1..=20);
    let (first, second) = (first.shutdown(LONG), second.shutdown(LONG));
    assert_eq!((first.store.durable, second.store.durable), (true, false));
    assert_ne!(first.store.epoch, second.store.epoch);
    assert_eq!((first.lost(), second.lost()), (0, 0));
    let log = |path| numbers(&fs::read_to_string(path).unwrap());
    assert_eq!((log(one), log(two)), (expected(1..=10), expected(1..=20)));
    let records = super::super::store::view::Records::after(&directory, 0).unwrap();
    assert_eq!(records.count(), 10);
}

#[test]
fn a_log_that_cannot_be_used_is_told_at_the_start() {
    let path = Path::new("/proc/none/alerts.jsonl").to_owned();
    let Err(error) = Writer::spawn(&settings(path), &[], None, clock) else {
        panic!("there is no such place");
    };
    assert!(
        matches!(
            error,
            WriterError::LocalLog(LocalLogError::CreateDirectory { .. })
        ),
        "{error:?}"
    );
}

/// A sink that says what it was handed, and does as it is told; without orders it takes everything.
struct Puppet {
    name: &'static str,
    handed: Sender<Vec<u64>>,
    orders: Receiver<Delivery>,
}

struct Strings {
    handed: Receiver<Vec<u64>>,
    orders: Sender<Delivery>,
}

impl Sink for Puppet {
    fn name(&self) -> &str {
        self.name
    }

    fn deliver(&mut self, records: &[Record]) -> Delivery {
        let seqs = records.iter().map(|record| record.seq).collect();
        drop(self.handed.send(seqs));
        self.orders
            .recv()
            .unwrap_or_else(|_| Delivery::all(records))
    }

    fn retry_max(&self) -> Duration {
        Duration::from_millis(1)
    }
}

fn puppet(name: &'static str) -> (Box<dyn Sink>, Strings) {
    let (handed, seen) = channel();
    let (orders, theirs) = channel();
    let puppet = Puppet {
        name,
        handed,
        orders: theirs,
    };
    let strings = Strings {
        handed: seen,
        orders,
    };
    (Box::new(puppet), strings)
}

fn spool() -> &'static Path {
    Path::new("/spool")
}

fn on(disk: &SimulatedDisk, sinks: Vec<Box<dyn Sink>>) -> Writer {
    on_with(disk, sinks, clock)
}

fn on_with(disk: &SimulatedDisk, sinks: Vec<Box<dyn Sink>>, clock: Clock) -> Writer {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let store = Store::open(Arc::clone(&disk), spool(), &BOUNDS).unwrap();
    let place = Place {
        disk,
        directory: spool().to_owned(),
        owner: Mutex::new(None),
    };
    Writer::start(sinks, Some((store, place)), 100_000, clock).unwrap()
}

/// Everything that a sink gets until its thread ends.
fn all(handed: &Receiver<Vec<u64>>) -> Vec<u64> {
    handed.iter().flatten().collect()
}

#[test]
fn a_sink_that_hangs_delays_no_other_and_goes_on_where_it_was() {
    let disk = SimulatedDisk::default();
    let (slow, slow_strings) = puppet("slow");
    let (fast, fast_strings) = puppet("fast");
    drop(fast_strings.orders);
    let writer = on(&disk, vec![slow, fast]);
    accept(&writer, 1..=3000);
    let mut got = Vec::new();
    while got.len() < 3000 {
        got.extend(fast_strings.handed.recv_timeout(LONG).unwrap());
    }
    assert_eq!(got, (1..=3000).collect::<Vec<_>>());
    // The other one still has its first batch in its hands.
    let first = slow_strings.handed.recv_timeout(LONG).unwrap();
    slow_strings
        .orders
        .send(Delivery {
            delivered: first.len(),
            trouble: None,
        })
        .unwrap();
    drop(slow_strings.orders);
    writer.shutdown(LONG);
    let mut got = first;
    got.extend(all(&slow_strings.handed));
    assert_eq!(got, (1..=3000).collect::<Vec<_>>());
}

#[test]
fn what_a_sink_could_not_take_it_gets_from_the_next_run() {
    let disk = SimulatedDisk::default();
    let (sink, strings) = puppet("hec");
    let held = |delivered| Delivery {
        delivered,
        trouble: Some(Trouble::Hold {
            why: "no such token".to_owned(),
        }),
    };
    strings.orders.send(held(0)).unwrap();
    let writer = on(&disk, vec![sink]);
    accept(&writer, 1..=5);
    strings.handed.recv_timeout(LONG).unwrap();
    let counts = writer.shutdown(LONG);
    assert_eq!(counts.lost(), 0);
    assert!(counts.store.sinks[0].in_trouble);
    assert_eq!(counts.store.sinks[0].backlog, 5);
    let (sink, strings) = puppet("hec");
    drop(strings.orders);
    on(&disk, vec![sink]).shutdown(LONG);
    assert_eq!(all(&strings.handed), [1, 2, 3, 4, 5]);
}

#[test]
fn a_record_that_is_refused_for_good_is_kept_apart_and_the_rest_goes_on() {
    let disk = SimulatedDisk::default();
    let (sink, strings) = puppet("hec");
    let writer = on(&disk, vec![sink]);
    accept(&writer, 1..=1);
    assert_eq!(strings.handed.recv_timeout(LONG).unwrap(), [1]);
    accept(&writer, 2..=10);
    let poison = Trouble::Poison {
        why: "not an event".to_owned(),
    };
    strings
        .orders
        .send(Delivery {
            delivered: 0,
            trouble: Some(poison),
        })
        .unwrap();
    drop(strings.orders);
    let counts = writer.shutdown(LONG);
    assert_eq!(all(&strings.handed), (2..=10).collect::<Vec<_>>());
    let sink = &counts.store.sinks[0];
    assert_eq!((sink.delivered, sink.dead_letters), (9, 1));
    let letters = disk.read(&spool().join("dead-letter/hec.jsonl"), 10_000);
    let letters = String::from_utf8(letters.unwrap()).unwrap();
    assert!(letters.contains("not an event"), "{letters}");
}

#[test]
fn a_sink_that_fails_is_tried_again_and_gets_everything_in_order() {
    let disk = SimulatedDisk::default();
    let (sink, strings) = puppet("tcp");
    for delivered in [0, 1, 0] {
        let why = "connection refused".to_owned();
        let trouble = Some(Trouble::Retry { after: None, why });
        strings
            .orders
            .send(Delivery { delivered, trouble })
            .unwrap();
    }
    drop(strings.orders);
    let writer = on(&disk, vec![sink]);
    accept(&writer, 1..=3);
    wait_until(|| writer.store_books().sinks[0].delivered == 3);
    let counts = writer.shutdown(LONG);
    assert_eq!(counts.store.sinks[0].backlog, 0);
    assert_eq!(counts.store.sinks[0].delivered, 3);
}

#[test]
fn while_the_disk_takes_nothing_alerts_are_delivered_and_then_stored() {
    for errno in [libc::ENOSPC, libc::EROFS, libc::EIO] {
        let disk = SimulatedDisk::default();
        let (sink, strings) = puppet("file");
        drop(strings.orders);
        let writer = on(&disk, vec![sink]);
        accept(&writer, 1..=1);
        assert_eq!(strings.handed.recv_timeout(LONG).unwrap(), [1]);
        let before = writer.store_books().epoch;
        disk.arm(1, Fault::FromHere(errno));
        accept(&writer, 2..=50);
        let mut got = Vec::new();
        while got.len() < 49 {
            got.extend(strings.handed.recv_timeout(LONG).unwrap());
        }
        assert_eq!(got, (2..=50).collect::<Vec<_>>());
        // The last try is when the agent stops.
        disk.repair();
        let counts = writer.shutdown(LONG);
        assert_eq!((counts.lost(), counts.store.degraded), (0, false));
        assert!(counts.store.faults > 0);
        assert_ne!(counts.store.epoch, before, "numbers may come twice");
        assert_eq!(stored(&disk), (1..=50).collect::<Vec<_>>());
    }
}

fn wait_until(holds: impl Fn() -> bool) {
    for _ in 0..LONG.as_millis() {
        if holds() {
            return;
        }
        thread::sleep(Duration::from_millis(1));
    }
    panic!("waited in vain");
}

/// The numbers of what is on the disk.
fn stored(disk: &SimulatedDisk) -> Vec<u64> {
    let (sink, strings) = puppet("reader");
    drop(strings.orders);
    on(disk, vec![sink]).shutdown(LONG);
    all(&strings.handed)
}

#[test]
fn what_finds_no_room_is_counted_and_its_number_stays_unused() {
    let disk = SimulatedDisk::default();
    let (sink, strings) = puppet("file");
    let writer = on(&disk, vec![sink]);
    accept(&writer, 1..=1);
    assert_eq!(strings.handed.recv_timeout(LONG).unwrap(), [1]);
    disk.arm(1, Fault::FromHere(libc::ENOSPC));
    accept(&writer, 2..=1200);
    wait_until(|| writer.store_books().seq == 1200 && writer.line_counts().waiting == 0);
    let books = writer.store_books();
    assert_eq!((books.held, books.refused), (1000, 199));
    disk.repair();
    drop(strings.orders);
    let counts = writer.shutdown(LONG);
    assert_eq!(counts.lost(), 199);
    assert_eq!(stored(&disk), (1..=1001).collect::<Vec<_>>());
    let (sink, strings) = puppet("file");
    drop(strings.orders);
    let writer = on(&disk, vec![sink]);
    accept(&writer, [1]);
    writer.shutdown(LONG);
    assert_eq!(all(&strings.handed), [1201], "the gap can be seen");
}

#[test]
fn a_jump_of_the_wall_clock_takes_nothing_away() {
    static BOOT_NS: AtomicU64 = AtomicU64::new(0);
    static WALL_NS: AtomicU64 = AtomicU64::new(0);
    fn jumping() -> Time {
        Time {
            boot_ns: BOOT_NS.fetch_add(1_000_000_000, Ordering::Relaxed),
            wall_ns: WALL_NS.load(Ordering::Relaxed),
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("spool");
    let place = StorePlace {
        directory: &directory,
        settings: &BOUNDS,
    };
    let ten_years_ns = 10 * 365 * 86_400 * 1_000_000_000;
    for (run, wall_ns) in [(0, ten_years_ns), (1, 5 * ten_years_ns), (2, 0)] {
        WALL_NS.store(wall_ns, Ordering::Relaxed);
        let path = folder.path().join("a.jsonl");
        let writer = Writer::spawn(&settings(path), &[], Some(place), jumping).unwrap();
        accept(&writer, run * 10 + 1..=run * 10 + 10);
        let counts = writer.shutdown(LONG);
        assert_eq!((counts.lost(), counts.store.segments_removed), (0, 0));
    }
    let records = super::super::store::view::Records::after(&directory, 0).unwrap();
    assert_eq!(records.count(), 30);
}

#[test]
fn what_the_bounds_take_from_a_sink_is_counted_and_named_exactly() {
    static BOOT_NS: AtomicU64 = AtomicU64::new(0);
    fn ticking() -> Time {
        Time {
            boot_ns: BOOT_NS.fetch_add(1_000_000_000, Ordering::Relaxed),
            wall_ns: 0,
        }
    }
    let disk = SimulatedDisk::default();
    let ((away, away_strings), (well, well_strings)) = (puppet("away"), puppet("well"));
    drop(well_strings.orders);
    away_strings
        .orders
        .send(Delivery {
            delivered: 0,
            trouble: Some(Trouble::Hold {
                why: "no route".to_owned(),
            }),
        })
        .unwrap();
    let writer = on_with(&disk, vec![away, well], ticking);
    let padding = "x".repeat(60_000);
    for id in 1..=200 {
        let line = format!("{{\"schema\":\"x/1\",\"id\":\"{id}\",\"padding\":\"{padding}\"}}\n");
        assert_eq!(writer.accept(line.into_bytes()), Accepted::Queued);
        // The one that is well keeps up.
        wait_until(|| writer.store_books().sinks[1].delivered == id);
    }
    wait_until(|| writer.store_books().bytes <= BOUNDS.max_bytes);
    let told = notices::dropped(&writer.notices());
    let books = writer.shutdown(LONG).store;
    assert_eq!(told, [("away".to_owned(), 1, books.sinks[0].dropped)]);
    let (away, well) = (&books.sinks[0], &books.sinks[1]);
    assert!(away.dropped > 100, "{away:?}");
    assert_eq!(
        (well.delivered, well.dropped),
        (200, 0),
        "the other has all"
    );
    let cursor = Cursor::load(&disk, spool(), "away").unwrap().unwrap();
    let range = cursor.dropped_ranges[0];
    assert_eq!(cursor.dropped_ranges.len(), 1);
    assert_eq!(
        (range.first, range.last, range.records),
        (1, away.dropped, away.dropped)
    );
    let (sink, strings) = puppet("away");
    drop(strings.orders);
    on(&disk, vec![sink]).shutdown(LONG);
    let got = all(&strings.handed);
    assert_eq!(got, (away.dropped + 1..=200).collect::<Vec<_>>());
}

fn big(id: u64) -> Vec<u8> {
    let padding = "x".repeat(60_000);
    format!("{{\"schema\":\"x/1\",\"id\":\"{id}\",\"padding\":\"{padding}\"}}\n").into_bytes()
}

fn accept_big(writer: &Writer, ids: std::ops::RangeInclusive<u64>) {
    for id in ids {
        assert_eq!(writer.accept(big(id)), Accepted::Queued);
    }
    wait_until(|| writer.line_counts().waiting == 0);
}

fn delivered(delivered: usize) -> Delivery {
    Delivery {
        delivered,
        trouble: None,
    }
}

fn refused() -> Delivery {
    let why = "refused".to_owned();
    Delivery {
        delivered: 0,
        trouble: Some(Trouble::Retry { after: None, why }),
    }
}

fn segments_of(disk: &SimulatedDisk) -> Vec<PathBuf> {
    let names = disk.list(spool()).unwrap().into_iter();
    let segments = names.filter(|name| name.ends_with(".log"));
    segments.map(|name| spool().join(name)).collect()
}

#[test]
fn a_sink_that_is_behind_and_fails_gets_the_same_again() {
    let disk = SimulatedDisk::default();
    let (slow, strings) = puppet("slow");
    let writer = on(&disk, vec![slow]);
    accept(&writer, 1..=1);
    assert_eq!(strings.handed.recv_timeout(LONG).unwrap(), [1]);
    accept(&writer, 2..=3000);
    wait_until(|| writer.store_books().seq == 3000 && writer.line_counts().waiting == 0);
    strings.orders.send(delivered(1)).unwrap();
    let first = strings.handed.recv_timeout(LONG).unwrap();
    strings.orders.send(refused()).unwrap();
    let again = strings.handed.recv_timeout(LONG).unwrap();
    assert_eq!(again, first);
    let mut part = refused();
    part.delivered = 10;
    strings.orders.send(part).unwrap();
    let rest = strings.handed.recv_timeout(LONG).unwrap();
    assert_eq!(rest[0], first[10]);
    drop(strings.orders);
    wait_until(|| writer.store_books().sinks[0].backlog == 0);
    let sink = &writer.shutdown(LONG).store.sinks[0];
    assert_eq!((sink.delivered, sink.dropped, sink.damaged), (3000, 0, 0));
}

#[test]
fn an_epoch_of_which_only_a_part_was_stored_ends_with_its_run() {
    static BOOT_NS: AtomicU64 = AtomicU64::new(0);
    fn steered() -> Time {
        Time {
            boot_ns: BOOT_NS.load(Ordering::Relaxed),
            wall_ns: 0,
        }
    }
    let disk = SimulatedDisk::default();
    let (sink, strings) = puppet("file");
    drop(strings.orders);
    let writer = on_with(&disk, vec![sink], steered);
    accept(&writer, 1..=1);
    wait_until(|| writer.store_books().sinks[0].delivered == 1);
    disk.arm(1, Fault::FromHere(libc::ENOSPC));
    accept(&writer, 2..=200);
    wait_until(|| writer.store_books().sinks[0].delivered == 200);
    let epoch = writer.store_books().epoch;
    // There is room for some operations, and then for none: until a batch of several was stored.
    let is_in_part = (1..40).any(|operations| {
        disk.repair();
        disk.arm(operations, Fault::FromHere(libc::ENOSPC));
        let faults = writer.store_books().faults;
        BOOT_NS.fetch_add(1_000_000_000, Ordering::Relaxed);
        wait_until(|| writer.store_books().faults > faults || !writer.store_books().degraded);
        writer.store_books().held < 199
    });
    assert!(is_in_part && writer.store_books().degraded);
    accept(&writer, 201..=201);
    wait_until(|| writer.store_books().sinks[0].delivered == 201);
    // Killed now: what does the next run find?
    disk.repair();
    let store = Store::open(Arc::new(disk.clone()), spool(), &BOUNDS).unwrap();
    assert!(
        store.next_seq() > 201 || store.epoch() != epoch,
        "{} again",
        store.next_seq()
    );
}

#[test]
fn a_segment_that_cannot_be_read_while_the_agent_stops_is_for_the_next_run() {
    let disk = SimulatedDisk::default();
    let (slow, strings) = puppet("slow");
    let writer = on(&disk, vec![slow]);
    accept_big(&writer, 1..=60);
    let mut got = strings.handed.recv_timeout(LONG).unwrap();
    let path = segments_of(&disk).remove(1);
    let whole = disk.read(&path, u64::MAX - 1).unwrap();
    disk.damage(&path, |bytes| bytes.resize(8 << 20, b'x'));
    drop(strings.orders);
    writer.shutdown(LONG);
    got.extend(all(&strings.handed));
    disk.damage(&path, |bytes| *bytes = whole);
    let (slow, strings) = puppet("slow");
    drop(strings.orders);
    on(&disk, vec![slow]).shutdown(LONG);
    got.extend(all(&strings.handed));
    got.sort_unstable();
    got.dedup();
    assert_eq!(got, (1..=60).collect::<Vec<_>>());
}

#[test]
fn a_segment_that_is_gone_before_that_was_counted_is_counted() {
    let disk = SimulatedDisk::default();
    let (slow, strings) = puppet("slow");
    let writer = on(&disk, vec![slow]);
    accept_big(&writer, 1..=60);
    strings.handed.recv_timeout(LONG).unwrap();
    // What the intake does in two steps: the file goes, then the feed hears of it. The sink reads in between.
    for path in &segments_of(&disk)[..2] {
        disk.unlink(path).unwrap();
    }
    drop(strings.orders);
    wait_until(|| writer.store_books().sinks[0].backlog == 0);
    let seqs = (19..=36).collect();
    writer
        .feed
        .removed(&Removed { last_seq: 36, seqs }, Vec::new());
    let sink = &writer.shutdown(LONG).store.sinks[0];
    assert_eq!(sink.delivered + sink.dropped + sink.damaged, 60, "{sink:?}");
    assert!(sink.dropped > 0);
}

#[test]
fn a_host_that_slept_for_a_week_keeps_what_is_not_delivered() {
    static BOOT_NS: AtomicU64 = AtomicU64::new(0);
    fn steered() -> Time {
        Time {
            boot_ns: BOOT_NS.load(Ordering::Relaxed),
            wall_ns: 0,
        }
    }
    let disk = SimulatedDisk::default();
    let (slow, strings) = puppet("slow");
    let writer = on_with(&disk, vec![slow], steered);
    accept_big(&writer, 1..=60);
    strings.handed.recv_timeout(LONG).unwrap();
    BOOT_NS.store(8 * 86_400 * 1_000_000_000, Ordering::Relaxed);
    accept(&writer, 61..=61);
    wait_until(|| writer.store_books().seq == 61);
    // The tick after that, and one more.
    BOOT_NS.fetch_add(2_000_000_000, Ordering::Relaxed);
    accept(&writer, 62..=62);
    wait_until(|| writer.store_books().seq == 62);
    assert_eq!(writer.store_books().segments_removed, 0);
    drop(strings.orders);
    let sink = &writer.shutdown(LONG).store.sinks[0];
    assert_eq!((sink.delivered, sink.dropped), (62, 0));
}
