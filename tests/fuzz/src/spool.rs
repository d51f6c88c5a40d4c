//! A spool of which any file may have any content: what is still a record is there after the recovery, and a recovery
//! of what was recovered finds nothing wrong.

use std::fs;
use std::path::Path;

use wallwatch::config::StoreSettings;
use wallwatch::delivery::store::reopen;
use wallwatch::delivery::store::view::Records;

const SETTINGS: StoreSettings = StoreSettings {
    max_bytes: 4 << 20,
    max_age_s: 86_400,
    keep_delivered_s: 86_400,
};

/// Between two files.
pub(crate) const CUT: &[u8] = b"\xff\xfe--\xfe\xff";

/// What the parts of an input are, in their order.
const FILES: [&str; 4] = [
    "00000000000000000001.log",
    "00000000000000000100.log",
    "store.json",
    "cursor.file.json",
];

/// `data` is the content of a few files, with a mark between them.
pub fn check(data: &[u8]) {
    let folder = tempfile::tempdir().expect("make a folder");
    for (name, content) in FILES.iter().zip(parts(data)) {
        fs::write(folder.path().join(name), content).expect("write a file");
    }
    let before = records(folder.path());
    let (next_seq, _) = reopen(folder.path(), &SETTINGS).expect("every content can be opened");
    let after = records(folder.path());
    for record in &before {
        assert!(after.contains(record), "{record:?} is gone");
    }
    let last = after.last().map_or(0, |(seq, _)| *seq);
    assert!(next_seq > last, "{next_seq} was given already");
    let (again, counts) = reopen(folder.path(), &SETTINGS).expect("it was opened before");
    // Numbers that only damaged lines may have had are free again, under another epoch.
    assert!(again > last, "{again} was given already");
    assert_eq!(counts.torn, 0, "a tail is cut once");
    assert_eq!(records(folder.path()), after);
}

fn records(folder: &Path) -> Vec<(u64, Vec<u8>)> {
    let records = Records::after(folder, 0).expect("read the folder");
    let records = records.map(|record| record.expect("read a segment"));
    records.map(|record| (record.seq, record.json)).collect()
}

fn parts(data: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    let mut rest = data;
    while let Some(at) = rest.windows(CUT.len()).position(|window| window == CUT) {
        parts.push(&rest[..at]);
        rest = &rest[at + CUT.len()..];
    }
    parts.push(rest);
    parts
}
