//! A cpio archive in the `newc` format, the only one that the kernel unpacks:
//! <https://docs.kernel.org/driver-api/early-userspace/buffer-format.html>
//!
//! ```text
//! "070701", 13 numbers of 8 hexadecimal digits │ name NUL │ pad 4 │ data │ pad 4
//! ```
//! The last entry is named `TRAILER!!!`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};

/// A tree of files, by path without the leading slash. Parents come into being
/// by themselves; the order is that of the paths, so parents come first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tree {
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug, Clone)]
enum Entry {
    Directory { mode: u32 },
    File { mode: u32, data: Vec<u8> },
    Link { target: String },
    CharDevice { major: u32, minor: u32 },
}

const TYPE_DIRECTORY: u32 = 0o040_000;
const TYPE_FILE: u32 = 0o100_000;
const TYPE_LINK: u32 = 0o120_000;
const TYPE_CHAR_DEVICE: u32 = 0o020_000;

impl Tree {
    pub(crate) fn directory(&mut self, path: &str, mode: u32) {
        self.insert(path, Entry::Directory { mode });
    }

    pub(crate) fn file(&mut self, path: &str, mode: u32, data: impl Into<Vec<u8>>) {
        let data = data.into();
        self.insert(path, Entry::File { mode, data });
    }

    pub(crate) fn link(&mut self, path: &str, target: &str) {
        let target = target.to_owned();
        self.insert(path, Entry::Link { target });
    }

    pub(crate) fn char_device(&mut self, path: &str, major: u32, minor: u32) {
        self.insert(path, Entry::CharDevice { major, minor });
    }

    pub(crate) fn contains(&self, path: &str) -> bool {
        self.entries.contains_key(path)
    }

    fn insert(&mut self, path: &str, entry: Entry) {
        for (slash, _) in path.match_indices('/') {
            self.entries
                .entry(path[..slash].to_owned())
                .or_insert(Entry::Directory { mode: 0o755 });
        }
        self.entries.insert(path.to_owned(), entry);
    }

    pub(crate) fn write_to_file(&self, path: &Path) -> Result<()> {
        let file = File::create(path).with_context(|| format!("create {}", path.display()))?;
        let mut out = BufWriter::new(file);
        self.write_to(&mut out)
            .and_then(|()| out.flush())
            .with_context(|| format!("write {}", path.display()))
    }

    fn write_to(&self, out: &mut impl Write) -> std::io::Result<()> {
        for (inode, (name, entry)) in (1..).zip(&self.entries) {
            write_entry(out, inode, name, entry)?;
        }
        let trailer = Entry::File {
            mode: 0,
            data: Vec::new(),
        };
        write_entry(out, 0, "TRAILER!!!", &trailer)
    }
}

fn write_entry(out: &mut impl Write, inode: u32, name: &str, entry: &Entry) -> std::io::Result<()> {
    let (mode, device, data): (u32, (u32, u32), &[u8]) = match entry {
        Entry::Directory { mode } => (TYPE_DIRECTORY | mode, (0, 0), &[]),
        Entry::File { mode, data } => (TYPE_FILE | mode, (0, 0), data),
        Entry::Link { target } => (TYPE_LINK | 0o777, (0, 0), target.as_bytes()),
        Entry::CharDevice { major, minor } => (TYPE_CHAR_DEVICE | 0o600, (*major, *minor), &[]),
    };
    let length = |bytes: usize| {
        u32::try_from(bytes).map_err(|_| std::io::Error::other("file too large for cpio"))
    };
    let (data_bytes, name_bytes) = (length(data.len())?, length(name.len() + 1)?);

    let (uid, gid, link_count, modified, checksum) = (0, 0, 1, 0, 0);
    write!(out, "070701")?;
    for number in [
        inode, mode, uid, gid, link_count, modified, data_bytes, 0, 0, device.0, device.1,
        name_bytes, checksum,
    ] {
        write!(out, "{number:08X}")?;
    }
    out.write_all(name.as_bytes())?;
    out.write_all(&[0])?;
    out.write_all(padding(HEADER_BYTES + name.len() + 1))?;
    out.write_all(data)?;
    out.write_all(padding(data.len()))
}

const HEADER_BYTES: usize = 6 + 13 * 8;

fn padding(written: usize) -> &'static [u8] {
    &[0; 3][..written.next_multiple_of(4) - written]
}

#[cfg(test)]
mod tests {
    use super::Tree;

    #[test]
    fn an_archive_has_the_bytes_of_newc() {
        let mut tree = Tree::default();
        tree.file("etc/host", 0o644, *b"guest");
        let mut bytes = Vec::new();
        tree.write_to(&mut bytes).unwrap();

        let expect = [
            "07070100000001000041ED00000000000000000000000100000000\
             00000000000000000000000000000000000000000000000400000000etc\0\0\0",
            "07070100000002000081A400000000000000000000000100000000\
             00000005000000000000000000000000000000000000000900000000etc/host\0\0guest\0\0\0",
            "070701000000000000800000000000000000000000000100000000\
             00000000000000000000000000000000000000000000000B00000000TRAILER!!!\0\0\0\0",
        ]
        .concat();
        assert_eq!(String::from_utf8(bytes).unwrap(), expect);
    }

    #[test]
    fn parents_come_first_and_keep_their_own_mode() {
        let mut tree = Tree::default();
        tree.directory("tmp", 0o1777);
        tree.link("tmp/a/b", "../c");
        let names: Vec<_> = tree.entries.keys().map(String::as_str).collect();
        assert_eq!(names, ["tmp", "tmp/a", "tmp/a/b"]);
        let mut bytes = Vec::new();
        tree.write_to(&mut bytes).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.contains("000043FF"), "{text}");
        assert!(text.contains("0000A1FF"), "{text}");
    }
}
