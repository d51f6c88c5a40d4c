//! What an earlier run left: read, cut where it is torn, cleaned where it is damaged. A damaged segment is copied to
//! `quarantine/` before its good records are written anew.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::StoreCounts;
use super::books::Books;
use super::disk::{Disk, remove, replace};
use super::record::{self, Contents, Record};
use super::segment::{READ_BYTES_MAX, Segment, first_seq_of};

const QUARANTINE: &str = "quarantine";
/// Damaged segments that are kept to be looked at; the oldest goes first.
const QUARANTINED_MAX: usize = 16;

/// No segment has more records, and no more numbers between its first and its last that are worth a name.
const RECORDS_MAX: u64 = 1 << 20;
const READ_ATTEMPTS: u32 = 3;

/// What was found.
pub(super) struct Recovered {
    pub(super) segments: VecDeque<Segment>,
    pub(super) next_seq: u64,
    /// `None` when it is not known whether all numbers that were given are known: then another one must begin.
    pub(super) epoch: Option<Uuid>,
    pub(super) ran_s: u64,
    /// Whether more may be written behind the last segment.
    pub(super) last_is_clean: bool,
}

pub(super) fn recover(
    disk: &dyn Disk,
    directory: &Path,
    counts: &mut StoreCounts,
) -> io::Result<Recovered> {
    let names = disk.list(directory)?;
    for name in names.iter().filter(|name| name.ends_with(".new")) {
        // It was being written when the writer was interrupted; whoever needs the name tries again.
        drop(disk.unlink(&directory.join(name)));
    }
    let books = Books::load(disk, directory).unwrap_or_else(|error| {
        tracing::warn!(%error, "the store's books cannot be read: segments count as new");
        None
    });
    let begun_s = |seq| books.as_ref().map_or(0, |books| books.begun_s(seq));
    let mut recovered = Recovered {
        segments: VecDeque::new(),
        next_seq: 1,
        epoch: books.as_ref().and_then(Books::epoch),
        ran_s: books.as_ref().map_or(0, |books| books.ran_s),
        last_is_clean: false,
    };
    let mut last_seq = 0;
    let firsts: Vec<u64> = names.iter().filter_map(|name| first_seq_of(name)).collect();
    // Without a segment there never was a store, or it is lost.
    let mut is_whole = !firsts.is_empty();
    let mut ends_whole = true;
    // Where the next one begins bounds the numbers of one that could not be read.
    let mut last_is_unreadable = false;
    for first_seq in firsts {
        if std::mem::take(&mut last_is_unreadable)
            && let Some(unreadable) = recovered.segments.back_mut()
        {
            unreadable.last_seq = first_seq - 1;
        }
        let mut segment = Segment::new(first_seq, begun_s(first_seq));
        let path = directory.join(segment.file_name());
        let bytes = match read_patiently(disk, &path) {
            Ok(bytes) => bytes,
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "a segment of the store cannot be read");
                counts.segments_unreadable += 1;
                is_whole = false;
                // It stays where it is: whoever wants it tries again, and counts it where that fails too.
                segment.records = 1;
                segment.bytes = READ_BYTES_MAX;
                segment.last_seq = first_seq + RECORDS_MAX - 1;
                recovered.next_seq = recovered.next_seq.max(segment.last_seq + 1);
                recovered.last_is_clean = false;
                recovered.segments.push_back(segment);
                last_is_unreadable = true;
                continue;
            }
        };
        let contents = record::read(&bytes, last_seq);
        recovered.last_is_clean = clean(disk, directory, &path, &bytes, &contents, counts);
        counts.damaged += contents.damaged;
        segment.records = contents.records.len() as u64;
        segment.bytes = contents.whole_bytes as u64;
        if let Some(last) = contents.records.last() {
            last_seq = last.seq;
            segment.last_seq = last.seq;
            recovered.epoch = epoch_of(last).or(recovered.epoch);
        }
        // A damaged line may have been several: how many numbers they had is not known.
        ends_whole = contents.damaged_at_end == 0;
        let next_seq = last_seq + contents.damaged_at_end + 1;
        recovered.next_seq = recovered.next_seq.max(next_seq).max(first_seq);
        if recovered.last_is_clean && contents.damaged + contents.repeated > 0 {
            segment.bytes = encode(&contents.records).len() as u64;
        }
        recovered.segments.push_back(segment);
    }
    // While the disk takes nothing, events go out under an epoch of which it may have the first ones only. The books
    // are not written then.
    let agree = recovered.epoch == books.as_ref().and_then(Books::epoch);
    recovered.epoch = recovered.epoch.filter(|_| is_whole && ends_whole && agree);
    Ok(recovered)
}

/// A disk that fails once may work the next time.
fn read_patiently(disk: &dyn Disk, path: &Path) -> io::Result<Vec<u8>> {
    let mut read = disk.read(path, READ_BYTES_MAX);
    for _ in 1..READ_ATTEMPTS {
        read = read.or_else(|_| disk.read(path, READ_BYTES_MAX));
    }
    read
}

/// Makes a segment hold its good records and nothing else; whether it does.
fn clean(
    disk: &dyn Disk,
    directory: &Path,
    path: &Path,
    bytes: &[u8],
    contents: &Contents,
    counts: &mut StoreCounts,
) -> bool {
    let torn = bytes.len() - contents.whole_bytes;
    let done = if contents.damaged > 0 {
        tracing::error!(
            path = %path.display(),
            lines = contents.damaged,
            "damaged records in the store are skipped; a copy goes to quarantine"
        );
        quarantine(disk, directory, path, bytes)
            .and_then(|()| replace(disk, path, &encode(&contents.records)))
    } else if contents.repeated > 0 {
        replace(disk, path, &encode(&contents.records))
    } else if torn > 0 {
        disk.open(path).and_then(|mut file| {
            file.cut(contents.whole_bytes as u64)?;
            file.sync()
        })
    } else {
        return true;
    };
    counts.torn += u64::from(torn > 0);
    match done {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "a segment of the store cannot be cleaned");
            false
        }
    }
}

fn encode(records: &[Record]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for record in records {
        record.encode(&mut bytes);
    }
    bytes
}

/// The epoch that stands in an event.
fn epoch_of(record: &Record) -> Option<Uuid> {
    let event: serde_json::Value = serde_json::from_slice(&record.json).ok()?;
    Uuid::parse_str(event["epoch"].as_str()?).ok()
}

/// Keeps a copy of a damaged segment.
fn quarantine(disk: &dyn Disk, directory: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(disk, &place(disk, directory, path)?, bytes)
}

/// Where a segment goes in quarantine; makes room there.
fn place(disk: &dyn Disk, directory: &Path, path: &Path) -> io::Result<PathBuf> {
    let quarantine = directory.join(QUARANTINE);
    disk.create_directory(&quarantine)?;
    let kept = disk.list(&quarantine)?;
    let surplus = (kept.len() + 1).saturating_sub(QUARANTINED_MAX);
    for name in &kept[..surplus] {
        remove(disk, &quarantine.join(name))?;
    }
    Ok(quarantine.join(path.file_name().unwrap_or_default()))
}
