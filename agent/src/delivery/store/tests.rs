use super::disk::simulated::{Fault, SimulatedDisk};
use super::*;

const BOUNDS: StoreSettings = StoreSettings {
    max_bytes: 4 << 20,
    max_age_s: 1000,
    keep_delivered_s: 100,
};

fn spool() -> &'static Path {
    Path::new("/spool")
}

fn open_with(disk: &SimulatedDisk, settings: &StoreSettings) -> io::Result<Store> {
    let mut store = Store::open(Arc::new(disk.clone()), spool(), settings)?;
    // So that a handful of records fill a segment.
    store.segment_bytes = 300;
    Ok(store)
}

fn open(disk: &SimulatedDisk) -> Store {
    open_with(disk, &BOUNDS).unwrap()
}

fn record(seq: u64, epoch: Uuid) -> Arc<Record> {
    let json = format!("{{\"schema\":\"x/1\",\"epoch\":\"{epoch}\",\"seq\":{seq}}}");
    Arc::new(Record {
        seq,
        json: json.into_bytes(),
    })
}

fn batch(store: &Store, records: u64) -> Vec<Arc<Record>> {
    let first = store.next_seq();
    (first..first + records)
        .map(|seq| record(seq, store.epoch()))
        .collect()
}

fn append(store: &mut Store, records: u64) -> io::Result<()> {
    let batch = batch(store, records);
    store.append(&batch, store.epoch())
}

/// The numbers of all records, in order; checks that each is what was appended under it.
fn seqs(store: &Store) -> Vec<u64> {
    let mut after = 0;
    let mut seqs = Vec::new();
    for segment in store.segments() {
        let read = read_segment(&*store.disk, &store.directory, segment, after);
        let Ok((records, _)) = read else { continue };
        for found in records {
            let text = String::from_utf8(found.json).unwrap();
            assert!(
                text.ends_with(&format!("\"seq\":{}}}", found.seq)),
                "{text}"
            );
            after = found.seq;
            seqs.push(found.seq);
        }
    }
    seqs
}

fn up_to(seq: u64) -> Vec<u64> {
    (1..=seq).collect()
}

fn segment_path(store: &Store, index: usize) -> PathBuf {
    spool().join(store.segments[index].file_name())
}

/// What an owner does, trying again what failed. Gives the last number that was acknowledged.
fn work(disk: &SimulatedDisk) -> u64 {
    let mut acknowledged = 0;
    let Some(mut store) = (0..2).find_map(|_| open_with(disk, &BOUNDS).ok()) else {
        return 0;
    };
    for round in 0..8 {
        let batch = batch(&store, 3);
        for _ in 0..2 {
            if store.append(&batch, store.epoch()).is_ok() {
                acknowledged = batch[2].seq;
                break;
            }
        }
        drop(store.save_books());
        let mut cursor = Cursor::new("file");
        cursor.seq = acknowledged;
        drop(cursor.save(disk, spool()));
        if round == 4 {
            drop(store);
            let Some(opened) = (0..2).find_map(|_| open_with(disk, &BOUNDS).ok()) else {
                return acknowledged;
            };
            store = opened;
        }
    }
    acknowledged
}

#[test]
fn whichever_operation_fails_what_was_acknowledged_is_there_in_order() {
    let faults = [
        Fault::Once(libc::ENOSPC),
        Fault::Once(libc::EIO),
        Fault::FromHere(libc::ENOSPC),
        Fault::FromHere(libc::EROFS),
        Fault::PowerCut { torn: false },
        Fault::PowerCut { torn: true },
    ];
    for fault in faults {
        for nth in 1.. {
            let disk = SimulatedDisk::default();
            disk.arm(nth, fault);
            let acknowledged = work(&disk);
            let has_struck = disk.has_struck();
            disk.repair();
            let mut store = open(&disk);
            let context = format!("{fault:?} at {nth}, {acknowledged} acknowledged");
            let found = seqs(&store);
            // More may be there: what was written and could not be acknowledged.
            let missing = up_to(acknowledged)
                .into_iter()
                .find(|seq| !found.contains(seq));
            assert_eq!(missing, None, "{context}: {found:?}");
            assert!(found.is_sorted_by(|a, b| a < b), "{context}: {found:?}");
            let last = found.last().copied().unwrap_or(0);
            assert!(store.next_seq() > last.max(acknowledged), "{context}");
            assert_eq!(store.counts().damaged, 0, "{context}");
            // And it goes on from there.
            append(&mut store, 3).unwrap();
            let now = seqs(&open(&disk));
            assert_eq!(now.len(), found.len() + 3, "{context}: {now:?}");
            if !has_struck {
                assert_eq!(found, up_to(24));
                assert!(nth > 40, "the work has only {nth} operations");
                break;
            }
        }
    }
}

#[test]
fn a_damaged_record_costs_itself_and_its_segment_is_kept_to_be_looked_at() {
    let disk = SimulatedDisk::default();
    let mut store = open(&disk);
    for _ in 0..4 {
        append(&mut store, 5).unwrap();
    }
    let path = segment_path(&store, 1);
    let epoch = store.epoch();
    store.save_books().unwrap();
    drop(store);
    disk.damage(&path, |bytes| bytes[20] ^= 0x40);
    for (run, damaged) in [(0, 1), (1, 0)] {
        let store = open(&disk);
        assert_eq!(store.counts().damaged, damaged, "run {run}");
        let mut expected = up_to(20);
        expected.remove(5);
        assert_eq!(seqs(&store), expected);
        assert_eq!((store.next_seq(), store.epoch()), (21, epoch));
    }
    let kept = disk.list(&spool().join("quarantine")).unwrap();
    assert_eq!(kept, [path.file_name().unwrap().to_str().unwrap()]);
}

#[test]
fn a_damaged_last_record_keeps_its_number_for_itself() {
    let disk = SimulatedDisk::default();
    let mut store = open(&disk);
    append(&mut store, 3).unwrap();
    let epoch = store.epoch();
    let path = segment_path(&store, 0);
    drop(store);
    disk.damage(&path, |bytes| {
        let at = bytes.len() - 5;
        bytes[at] ^= 1;
    });
    let store = open(&disk);
    assert_eq!((seqs(&store), store.next_seq()), (up_to(2), 4));
    assert_ne!(store.epoch(), epoch, "it may have been several");
}

#[test]
fn what_cannot_be_known_begins_another_epoch_and_gives_no_number_twice() {
    let disk = SimulatedDisk::default();
    let mut store = open(&disk);
    append(&mut store, 3).unwrap();
    store.save_books().unwrap();
    let epoch = store.epoch();
    let path = segment_path(&store, 0);
    drop(store);
    assert_eq!(open(&disk).epoch(), epoch);
    // The books are gone: the last record's epoch may have been one of which only the first records were stored.
    disk.unlink(&spool().join("store.json")).unwrap();
    let of_second = open(&disk).epoch();
    assert_ne!(of_second, epoch);
    // The records are gone as well: only the cursor knows a number.
    let mut cursor = Cursor::new("file");
    cursor.seq = 3;
    cursor.save(&disk, spool()).unwrap();
    disk.unlink(&path).unwrap();
    let store = open(&disk);
    assert_ne!(store.epoch(), epoch);
    assert_eq!(store.next_seq(), 4);
}

#[test]
fn over_the_bound_on_bytes_the_oldest_goes_and_is_named() {
    let disk = SimulatedDisk::default();
    let settings = StoreSettings {
        max_bytes: 1000,
        ..BOUNDS
    };
    let mut store = open_with(&disk, &settings).unwrap();
    let mut dropped = Vec::new();
    for _ in 0..10 {
        append(&mut store, 4).unwrap();
        while store.is_overdue(2, false) {
            dropped.extend(store.remove_oldest(2).unwrap().unwrap().seqs);
        }
    }
    let kept = seqs(&store);
    let bytes: u64 = store.segments().map(Segment::bytes).sum();
    assert!(bytes <= 1000 && kept.len() >= 4, "{bytes}: {kept:?}");
    // Two had been delivered; everything else is either there or named.
    let all: Vec<u64> = [1, 2].into_iter().chain(dropped).chain(kept).collect();
    assert_eq!(all, up_to(40));
}

#[test]
fn what_is_old_goes_and_what_was_delivered_goes_sooner() {
    let disk = SimulatedDisk::default();
    let mut store = open(&disk);
    append(&mut store, 4).unwrap();
    store.advance(50);
    append(&mut store, 4).unwrap();
    assert_eq!(store.segments.len(), 2, "a new one after part of the age");
    store.advance(99);
    assert!(!store.is_overdue(4, false));
    assert!(store.is_overdue(4, true), "but for a full disk");
    store.save_books().unwrap();
    drop(store);
    // The time goes on where it was.
    let mut store = open(&disk);
    store.advance(1);
    assert!(store.is_overdue(4, false), "kept for 100 s when delivered");
    assert!(!store.is_overdue(3, false), "one record is not delivered");
    store.advance(899);
    assert!(!store.is_overdue(3, false));
    store.advance(1);
    assert!(store.is_overdue(3, false), "too old");
    assert_eq!(store.remove_oldest(3).unwrap().unwrap().seqs, [4]);
    assert!(!store.is_overdue(8, true), "the last segment stays");
}

#[test]
fn a_disk_that_cannot_be_written_can_be_read() {
    let disk = SimulatedDisk::default();
    let mut store = open(&disk);
    append(&mut store, 3).unwrap();
    let path = segment_path(&store, 0);
    drop(store);
    disk.damage(&path, |bytes| bytes.truncate(bytes.len() - 10));
    // Reading works: only what writes fails on the way.
    for nth in 1..20 {
        disk.arm(nth, Fault::Once(libc::EROFS));
        let opened = open_with(&disk, &BOUNDS);
        disk.repair();
        if let Ok(store) = opened {
            assert_eq!(seqs(&store), up_to(2));
        }
    }
}

#[test]
fn a_segment_that_cannot_be_read_is_left_for_a_later_run() {
    let disk = SimulatedDisk::default();
    let mut store = open(&disk);
    append(&mut store, 3).unwrap();
    let epoch = store.epoch();
    let path = segment_path(&store, 0);
    let whole = disk.read(&path, 10_000).unwrap();
    drop(store);
    disk.damage(&path, |bytes| {
        bytes.resize(READ_BYTES_MAX as usize + 1, b'x')
    });
    let mut store = open(&disk);
    assert_eq!(
        (seqs(&store), store.counts().segments_unreadable),
        (vec![], 1)
    );
    assert_ne!(store.epoch(), epoch);
    append(&mut store, 1).unwrap();
    let added = seqs(&store);
    drop(store);
    disk.damage(&path, |bytes| *bytes = whole);
    assert_eq!(seqs(&open(&disk)), [up_to(3), added].concat());
}

/// A receiver that is away for a long weekend loses nothing at half a per cent of the bound on bytes.
#[test]
fn heartbeats_alone_reach_no_bound_before_their_age() {
    let disk = SimulatedDisk::default();
    let settings = StoreSettings {
        max_bytes: 64 << 20,
        max_age_s: 604_800,
        keep_delivered_s: 0,
    };
    let mut store = open_with(&disk, &settings).unwrap();
    for minute in 0..10_000 {
        append(&mut store, 1).unwrap();
        store.advance(60);
        assert!(!store.is_overdue(0, false), "after {minute} minutes");
    }
}

#[test]
fn what_goes_and_cannot_be_read_any_more_is_named_all_the_same() {
    let disk = SimulatedDisk::default();
    let mut store = open(&disk);
    append(&mut store, 5).unwrap();
    disk.arm(1, Fault::Once(libc::EIO));
    let removed = store.remove_oldest(2).unwrap().unwrap();
    assert_eq!(removed.seqs, [3, 4, 5]);
}
