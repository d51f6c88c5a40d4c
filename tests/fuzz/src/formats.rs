//! Logs of others: any bytes through a reader and the replay.

use wallwatch::formats::{Format, Item, Reader};

use crate::recording::replayed;

/// Bytes of an event that takes several lines; inputs of the fuzzer are shorter, but for few.
const EVENT_BYTES_MAX: usize = 4096;

/// `data` is a log.
pub fn check(format: Format, data: &[u8]) {
    let mut reader = Reader::new(format, EVENT_BYTES_MAX);
    let mut items = Vec::new();
    for (line, number) in data.split_inclusive(|&byte| byte == b'\n').zip(1..) {
        reader.handle_line(line, number, &mut items);
        for item in items.drain(..) {
            check_item(&item, number);
        }
    }
    reader.handle_end(&mut items);
    items.iter().for_each(|item| check_item(item, u64::MAX));
    replayed(data, format);
}

/// Arguments stand between NULs, and what is wrong is said of a line that there was.
fn check_item(item: &Item, number: u64) {
    match item {
        Item::Exec(exec) => {
            let arguments = exec.argv.arguments();
            let bytes: usize = arguments.map(|argument| argument.len() + 1).sum();
            assert_eq!(bytes, exec.argv.bytes.len());
            assert!(exec.argv.bytes_full >= bytes as u64);
            assert_ne!(exec.exe.known(), Some(b"".as_slice()));
            assert_ne!(exec.parent_exe.known(), Some(b"".as_slice()));
        }
        Item::Malformed(malformed) => {
            assert!((1..=number).contains(&malformed.line));
            assert!(!malformed.why.is_empty());
        }
        Item::PassedOver => {}
    }
}
