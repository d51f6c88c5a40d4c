//! The store as one sees it who only reads, while an agent may be writing.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};

use super::books::Books;
use super::cursor::{self, Cursor};
use super::disk::{Disk, HostDisk};
use super::record::{self, Record};
use super::segment::{READ_BYTES_MAX, Segment, first_seq_of};

/// The records that are there, in order, one segment in memory at a time.
pub struct Records {
    directory: PathBuf,
    segments: VecDeque<u64>,
    ready: VecDeque<Record>,
    after: u64,
    /// Lines passed over so far that are no records.
    pub damaged: u64,
}

impl Records {
    /// Those with a larger number than `after`.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read.
    pub fn after(directory: &Path, after: u64) -> io::Result<Self> {
        let names = HostDisk.list(directory)?;
        let mut segments: VecDeque<u64> =
            names.iter().filter_map(|name| first_seq_of(name)).collect();
        while segments
            .get(1)
            .is_some_and(|next| *next <= after.saturating_add(1))
        {
            segments.pop_front();
        }
        Ok(Self {
            directory: directory.to_owned(),
            segments,
            ready: VecDeque::new(),
            after,
            damaged: 0,
        })
    }
}

impl Iterator for Records {
    type Item = io::Result<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.ready.is_empty() {
            let segment = Segment::new(self.segments.pop_front()?, 0);
            let path = self.directory.join(segment.file_name());
            let bytes = match HostDisk.read(&path, READ_BYTES_MAX) {
                // The owner took it away meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Some(Err(error)),
                Ok(bytes) => bytes,
            };
            let contents = record::read(&bytes, self.after);
            self.damaged += contents.damaged;
            self.ready = contents.records.into();
        }
        let record = self.ready.pop_front()?;
        self.after = record.seq;
        Some(Ok(record))
    }
}

/// How far each sink is, by its name; and the names of those whose cursor is damaged.
///
/// # Errors
///
/// When the directory cannot be read.
pub fn cursors(directory: &Path) -> io::Result<(Vec<Cursor>, Vec<String>)> {
    let names = HostDisk.list(directory)?;
    let (mut cursors, mut damaged) = (Vec::new(), Vec::new());
    for sink in cursor::sinks(&names) {
        match Cursor::load(&HostDisk, directory, sink) {
            Ok(cursor) => cursors.extend(cursor),
            Err(_) => damaged.push(sink.to_owned()),
        }
    }
    Ok((cursors, damaged))
}

/// The epoch in the books; `None` before the first are written, and where they cannot be read.
pub fn epoch(directory: &Path) -> Option<String> {
    let books = Books::load(&HostDisk, directory).ok()??;
    books.epoch().map(|epoch| epoch.to_string())
}
