//! Records that a receiver will never take: `dead-letter/SINK.jsonl`, with the reason, bounded by one older file
//! beside it.

use std::io;
use std::path::Path;

use serde::Serialize;
use serde_json::value::RawValue;

use super::store::disk::{Disk, DiskFile};
use super::store::record::Record;

/// Of one file; there are two.
const FILE_BYTES_MAX: u64 = 4 << 20;

#[derive(Serialize)]
struct Letter<'a> {
    schema: &'static str,
    sink: &'a str,
    seq: u64,
    why: &'a str,
    /// As text where it is no JSON.
    event: Option<&'a RawValue>,
    text: Option<String>,
}

/// Keeps a record that `sink` cannot deliver; it lasts when this returns.
pub(super) fn keep(
    disk: &dyn Disk,
    directory: &Path,
    sink: &str,
    record: &Record,
    why: &str,
) -> io::Result<()> {
    let event = serde_json::from_slice(&record.json).ok();
    let text = || String::from_utf8_lossy(&record.json).into_owned();
    let letter = Letter {
        schema: "wallwatch.dead-letter/1",
        sink,
        seq: record.seq,
        why,
        event,
        text: event.is_none().then(text),
    };
    let mut line = serde_json::to_vec(&letter)?;
    line.push(b'\n');
    let directory = directory.join("dead-letter");
    disk.create_directory(&directory)?;
    let path = directory.join(format!("{sink}.jsonl"));
    let mut file = open(disk, &directory, &path)?;
    file.append(&line)?;
    file.sync()
}

/// The file, with room for more.
fn open(disk: &dyn Disk, directory: &Path, path: &Path) -> io::Result<Box<dyn DiskFile>> {
    match disk.read(path, FILE_BYTES_MAX) {
        Ok(_) => return disk.open(path),
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
            disk.rename(path, &path.with_extension("jsonl.1"))?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let file = disk.create_new(path)?;
    disk.sync_directory(directory)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::super::store::disk::simulated::SimulatedDisk;
    use super::*;

    #[test]
    fn a_letter_has_the_record_and_the_reason_and_old_ones_go() {
        let disk = SimulatedDisk::default();
        let directory = Path::new("/spool");
        let mut record = Record {
            seq: 3,
            json: br#"{"a":1}"#.to_vec(),
        };
        keep(&disk, directory, "hec", &record, "no such index").unwrap();
        let path = Path::new("/spool/dead-letter/hec.jsonl");
        let text = String::from_utf8(disk.read(path, 1000).unwrap()).unwrap();
        expect_test::expect![[r#"
            {"schema":"wallwatch.dead-letter/1","sink":"hec","seq":3,"why":"no such index","event":{"a":1},"text":null}
        "#]]
        .assert_eq(&text);
        record.json = vec![b'x'; 3 << 20];
        for _ in 0..4 {
            keep(&disk, directory, "hec", &record, "too long").unwrap();
        }
        let sizes = disk.list(Path::new("/spool/dead-letter")).unwrap();
        assert_eq!(sizes, ["hec.jsonl", "hec.jsonl.1"]);
        let bytes = disk.read(path, u64::MAX - 1).unwrap().len() as u64;
        assert!(bytes < 2 * FILE_BYTES_MAX, "{bytes}");
    }
}
